//! Registries made to harm: what they send is refused, and nothing of it is kept or waited for without end.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use registry::client::Client;
use registry::manifest::OCI_LAYER_GZIP;
use registry::settings::Host;
use registry::{Descriptor, RegistryError, Settings};
use serde_json::{Value, json};

use crate::image::{
    client, configuration, descriptor, explain, name, noise, plain, pull, resolve, settings, user,
};
use crate::liar::{Asked, Liar, Told, answer, head};
use crate::tls::Authority;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn manifest(layers: &[Descriptor], config: &[u8]) -> Vec<u8> {
    let value: Value = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": layers,
    });
    value.to_string().into_bytes()
}

/// A registry that has one image of one layer, whose content is told by `layer`.
async fn with_layer(
    size: usize,
    content: &[u8],
    layer: impl Fn(&Asked) -> Told + Send + Sync + 'static,
) -> (Liar, Client) {
    let mut blob = descriptor(OCI_LAYER_GZIP, content);
    blob.size = u64::try_from(size).unwrap();
    let wanted = blob.digest.to_string();
    let config = configuration(1);
    let manifest = manifest(&[blob], &config);
    let liar = Liar::start(move |asked| match asked.path.as_str() {
        path if path.contains("/manifests/") => answer("200 OK", &[("Content-Type", MANIFEST)], &manifest),
        path if path.ends_with(&wanted) => layer(asked),
        _ => answer("200 OK", &[], &config),
    })
    .await;
    let settings = quick(&liar.address);
    let client = client(&settings);
    (liar, client)
}

fn quick(address: &str) -> Settings {
    settings(&[(address, plain())])
}

/// For what never comes: the shortest time that tells a slow machine from silence.
fn impatient(address: &str) -> Settings {
    Settings { silence: Duration::from_secs(2), ..quick(address) }
}

async fn refused(liar: &Liar, client: &Client) -> RegistryError {
    pull(client, &name(&format!("{}/image:1", liar.address)), None).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_another_digest_or_size_are_refused() {
    let right = noise(5000);
    let mut wrong = right.clone();
    wrong[77] ^= 1;
    let cases: [(&str, Vec<u8>); 3] =
        [("other bytes", wrong), ("fewer", right[..4000].to_vec()), ("more", noise(6000))];
    for (case, sent) in cases {
        let (liar, client) = with_layer(5000, &right, move |_| answer("200 OK", &[], &sent)).await;
        let error = refused(&liar, &client).await;
        assert!(matches!(error, RegistryError::Content { .. }), "{case}: {}", explain(&error));
    }
    let (liar, client) =
        with_layer(5000, &right, |_| Told::Endless(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec()))
            .await;
    let error = refused(&liar, &client).await;
    assert!(explain(&error).contains("more came"), "{}", explain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_without_end_are_refused() {
    let liar = Liar::start(|_| Told::Endless(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec())).await;
    let error = refused(&liar, &client(&quick(&liar.address))).await;
    assert!(explain(&error).contains("more than 4194304 bytes"), "{}", explain(&error));
    let liar = Liar::start(|_| answer("200 OK", &[("Docker-Content-Digest", "sha256:00")], b"{}")).await;
    let error = refused(&liar, &client(&quick(&liar.address))).await;
    assert!(explain(&error).contains("another digest"), "{}", explain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends() {
    let liar = Liar::start(|_| Told::Hang(Vec::new())).await;
    let error = refused(&liar, &client(&impatient(&liar.address))).await;
    assert!(matches!(error, RegistryError::Stalled { .. }), "{}", explain(&error));
    let content = noise(5000);
    let part = content[..100].to_vec();
    let (liar, _) =
        with_layer(5000, &content, move |_| Told::Hang([head("200 OK", &[], 5000), part.clone()].concat()))
            .await;
    let error = refused(&liar, &client(&impatient(&liar.address))).await;
    assert!(matches!(error, RegistryError::Stalled { .. }), "{}", explain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_is_cut_is_continued_where_it_was() {
    let content = noise(300_000);
    let whole = content.clone();
    let times = Arc::new(AtomicUsize::new(0));
    let counted = times.clone();
    let (liar, client) = with_layer(content.len(), &content, move |asked| {
        counted.fetch_add(1, Ordering::SeqCst);
        let from = asked.header("range").map_or(0, |range| {
            range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap()
        });
        // 50,000 bytes each time, whatever was promised.
        let rest = &whole[from..];
        let part = rest[..rest.len().min(50_000)].to_vec();
        let (status, range) = match from {
            0 => ("200 OK", String::new()),
            _ => ("206 Partial Content", format!("bytes {from}-{}/{}", whole.len() - 1, whole.len())),
        };
        let headers: &[(&str, &str)] =
            if range.is_empty() { &[] } else { &[("Content-Range", range.as_str())] };
        Told::Cut([head(status, headers, rest.len()), part].concat())
    })
    .await;
    let layers = pull(&client, &name(&format!("{}/image:1", liar.address)), None).await.unwrap();
    assert_eq!(layers, [content]);
    assert!(times.load(Ordering::SeqCst) >= 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_try_left_is_continued_or_thrown_away() {
    let content = noise(100_000);
    let whole = content.clone();
    let (liar, client) = with_layer(content.len(), &content, move |asked| match asked.header("range") {
        Some(range) if range == "bytes=60000-" => {
            let range = format!("bytes 60000-{}/{}", whole.len() - 1, whole.len());
            answer("206 Partial Content", &[("Content-Range", &range)], &whole[60_000..])
        }
        // Ranges it does not like it passes over, as it may.
        _ => answer("200 OK", &[], &whole),
    })
    .await;
    let source = client.pull(&name(&format!("{}/image:1", liar.address)), None).unwrap();
    let blob = descriptor(OCI_LAYER_GZIP, &content);
    let mut spoiled = content[..60_000].to_vec();
    spoiled[5] ^= 1;
    let longer = [content.clone(), vec![0]].concat();
    for left in [&content[..60_000], &content[..70_000], &content[..], &spoiled, &longer, &[]] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(left).unwrap();
        source.fetch(&blob, &file, &|_| {}).await.unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut found = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut found).unwrap();
        assert!(found == content, "{} bytes were left", left.len());
    }
    let asked = liar.asked();
    assert!(asked.iter().any(|asked| asked.header("range").as_deref() == Some("bytes=60000-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_end_and_take_no_credentials_along() {
    let content = noise(1000);
    let body = content.clone();
    let storage = Liar::start(move |_| answer("200 OK", &[], &body)).await;
    let elsewhere = format!("http://{}/bucket/blob?signature=x", storage.address);
    let to = elsewhere.clone();
    let (liar, client) =
        with_layer(content.len(), &content, move |asked| match asked.header("authorization") {
            Some(_) => answer("307 Temporary Redirect", &[("Location", &to)], b""),
            None => answer("401 Unauthorized", &[("WWW-Authenticate", "Basic realm=\"x\"")], b""),
        })
        .await;
    let source = name(&format!("{}/image:1", liar.address));
    assert_eq!(pull(&client, &source, Some(&user())).await.unwrap(), [content.clone()]);
    assert!(liar.asked().iter().any(|asked| asked.header("authorization").is_some()));
    assert!(storage.asked().iter().all(|asked| asked.header("authorization").is_none()));
    assert_eq!(storage.asked().len(), 1);

    for location in ["/v2/image/manifests/1", "ftp://example.invalid/x", "file:///etc/passwd", "http://"] {
        let liar = Liar::start(move |_| answer("302 Found", &[("Location", location)], b"")).await;
        let error = refused(&liar, &crate::image::client(&quick(&liar.address))).await;
        assert!(explain(&error).contains("redirects"), "{location}: {}", explain(&error));
        assert!(liar.asked().len() <= 6, "{location}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_led_from_tls_to_plain_http() {
    let authority = Authority::new();
    let storage = Liar::start(|_| answer("200 OK", &[], b"{}")).await;
    // A real registry with TLS in front, which names a token service without.
    let token = format!(
        "auth:\n  token:\n    realm: http://{}/token\n    service: x\n    issuer: x\n    rootcertbundle: {}\n",
        storage.address,
        authority.certificate().display()
    );
    let tls = format!(
        "  tls:\n    certificate: {}\n    key: {}\n",
        authority.certificate().display(),
        authority.key().display()
    );
    let server = testkit::docker_registry::DockerRegistry::start(&token, &tls).unwrap();
    let host = Host { ca_pem: Some(authority.pem.clone()), ..Host::default() };
    let client = client(&settings(&[(server.address(), host)]));
    let error =
        resolve(&client, &name(&format!("{}/x:1", server.address())), Some(&user())).await.unwrap_err();
    assert!(explain(&error).contains("not reached over TLS"), "{}", explain(&error));
    assert!(storage.asked().is_empty(), "{:?}", storage.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_registry_is_asked_again_and_a_firm_one_is_not() {
    let times = Arc::new(AtomicUsize::new(0));
    let counted = times.clone();
    let liar = Liar::start(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => answer("503 Service Unavailable", &[], b""),
        1 => answer("429 Too Many Requests", &[("Retry-After", "0")], b""),
        _ => answer("400 Bad Request", &[], br#"{"errors":[{"code":"NAME_INVALID","message":"<script>"}]}"#),
    })
    .await;
    let error = refused(&liar, &client(&quick(&liar.address))).await;
    assert!(explain(&error).contains("400 with NAME_INVALID"), "{}", explain(&error));
    assert!(!explain(&error).contains("script"));
    assert_eq!(times.load(Ordering::SeqCst), 3);
    let liar = Liar::start(|_| answer("429 Too Many Requests", &[], b"")).await;
    let error = refused(&liar, &client(&quick(&liar.address))).await;
    assert!(matches!(error, RegistryError::Limited { .. }), "{}", explain(&error));
}
