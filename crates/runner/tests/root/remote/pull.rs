//! Images are pulled once, by whoever may have them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use registry::Credentials;
use runner::error::chain;
use runner::image::remote::Progress;
use serde_json::json;
use testkit::docker_registry::DockerRegistry;

use super::ground::{
    Place, file, gzip, host, lower, merged, open_registry, order, plain, run, tree, upper, user, zstd,
};

#[test]
fn what_is_unpacked_is_what_another_tool_unpacks() {
    let server = open_registry();
    let place = Place::new(&[server.address()]);
    let name = format!("{}/team/image:1", server.address());
    place.seed(
        &name,
        None,
        &[gzip(&lower()), zstd(&file("middle", b"of zstd")), gzip(&upper()), plain(&file("top", b"plain"))],
    );
    let pulled = place.pull(&name, None).unwrap();
    assert_eq!(pulled.image.name, pulled.digest.to_string());
    // And one with the directory that an archive has something in and says nothing of.
    assert_eq!(pulled.image.layers.len(), 5);
    assert_eq!((pulled.image.user.as_str(), pulled.image.working_directory.as_str()), ("1000:1000", "/srv"));
    assert_eq!(pulled.image.entrypoint, ["/bin/sh", "-c"]);
    assert_eq!(pulled.image.command, ["true"]);
    assert_eq!(pulled.image.environment[1], ("A".to_owned(), "b=c".to_owned()));
    assert_eq!(pulled.image.exposed_ports, ["80/tcp"]);
    assert_eq!(pulled.image.labels["l"], "1");
    assert!(pulled.image.size_bytes > 0);

    // The same image, fetched by `skopeo` and unpacked by `umoci`.
    let home = tempfile::tempdir().unwrap();
    let layout = format!("{}/layout:1", home.path().display());
    run("skopeo", &["copy", "--src-tls-verify=false", &format!("docker://{name}"), &format!("oci:{layout}")]);
    // Version 0.4 of the peer knows no zstd: it gets that layer as gzip.
    let twin = format!("{}/team/twin:1", server.address());
    place.seed(
        &twin,
        None,
        &[gzip(&lower()), gzip(&file("middle", b"of zstd")), gzip(&upper()), gzip(&file("top", b"plain"))],
    );
    let layout = format!("{}/twin:1", home.path().display());
    run("skopeo", &["copy", "--src-tls-verify=false", &format!("docker://{twin}"), &format!("oci:{layout}")]);
    let bundle = home.path().join("bundle");
    run("umoci", &["unpack", "--image", &layout, bundle.to_str().unwrap()]);
    let ours = merged(&place.store, &pulled.image.layers);
    let theirs = tree(&bundle.join("rootfs"));
    assert_eq!(ours, theirs);
    let all = ours.join("\n");
    for (there, is_there) in
        [("gone/new", true), ("gone/file", false), ("hidden/lower", false), ("hidden/upper", true)]
    {
        assert_eq!(all.contains(there), is_there, "{there}: {all}");
    }
}

#[test]
fn an_index_gives_this_machines_image() {
    let server = open_registry();
    let place = Place::new(&[server.address()]);
    let ours = place.seed(&format!("{}/x:ours", server.address()), None, &[gzip(&file("a", b"ours"))]);
    let theirs = place.seed(&format!("{}/x:theirs", server.address()), None, &[gzip(&file("a", b"theirs"))]);
    let here = registry::manifest::Platform::here().architecture;
    let entry = |digest: &registry::Digest, architecture: &str| {
        let path = format!(
            "{}/docker/registry/v2/blobs/sha256/{}/{}/data",
            server.files().display(),
            &digest.hex()[..2],
            digest.hex()
        );
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest.to_string(),
            "size": std::fs::metadata(path).unwrap().len(), "platform": { "os": "linux", "architecture": architecture },
        })
    };
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry(&theirs, "s390x"), entry(&ours, &here)],
    });
    put_manifest(
        server.address(),
        "x",
        "many",
        "application/vnd.oci.image.index.v1+json",
        &index.to_string(),
    );
    let pulled = place.pull(&format!("{}/x:many", server.address()), None).unwrap();
    assert_eq!(pulled.image.name, ours.to_string());
    assert_ne!(pulled.digest, ours);
    let only = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json", "manifests": [],
    });
    put_manifest(
        server.address(),
        "x",
        "none",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        &only.to_string(),
    );
    let refused = place.pull(&format!("{}/x:none", server.address()), None).unwrap_err();
    assert!(chain(&refused).contains("this host needs"), "{}", chain(&refused));
}

/// Puts a manifest there as it is.
fn put_manifest(address: &str, repository: &str, tag: &str, kind: &str, body: &str) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "PUT /v2/{repository}/manifests/{tag} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[test]
fn many_who_pull_the_same_fetch_it_once() {
    let server = open_registry();
    let place = Place::new(&[server.address()]);
    let noise: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let names: Vec<String> = ["one", "two"].map(|name| format!("{}/{name}:1", server.address())).to_vec();
    for name in &names {
        place.seed(name, None, &[gzip(&file("large", &noise))]);
    }
    let fetched = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for at in 0..6 {
            let (place, name, fetched) = (&place, &names[at % 2], &fetched);
            scope.spawn(move || {
                let last = Mutex::new(Progress::default());
                let moved = AtomicUsize::new(0);
                let tell = |progress: Progress| {
                    let mut last = last.lock().unwrap();
                    // What is moved comes in parts; what is here already counts when it is finished.
                    if progress.done_bytes > last.done_bytes
                        && progress.layers_done == 0
                        && progress.done_bytes < progress.total_bytes
                    {
                        moved.store(1, Ordering::Relaxed);
                    }
                    *last = progress;
                };
                place.store.pull(&place.remote, &order(name, None), &tell).unwrap();
                let last = *last.lock().unwrap();
                assert_eq!((last.done_bytes, last.layers_done), (last.total_bytes, 1));
                fetched.fetch_add(moved.load(Ordering::Relaxed), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(fetched.load(Ordering::Relaxed), 1);
    assert_eq!(place.list("layers").len(), 1);
    assert_eq!(place.list("blobs"), [""; 0]);
}

#[test]
fn nobody_gets_an_image_for_its_name_alone() {
    let server = DockerRegistry::with_password(None).unwrap();
    let evil = open_registry();
    let place = Place::new(&[server.address(), evil.address()]);
    let name = format!("{}/private:1", server.address());
    let secret = file("secret", b"of one tenant");
    let digest = place.seed(&name, Some(&user()), &[gzip(&secret)]);
    let pulled = place.pull(&name, Some(user())).unwrap();
    // It is here now, for those whom the registry lets have it.
    for credentials in [None, Some(Credentials { password: "wrong".to_owned(), ..user() })] {
        let refused = place.pull(&name, credentials.clone()).unwrap_err();
        assert!(chain(&refused).contains("credentials"), "{}", chain(&refused));
        let pinned = format!("{}/private@{digest}", server.address());
        assert!(place.pull(&pinned, credentials).is_err());
    }
    assert_eq!(place.pull(&name, Some(user())).unwrap(), pulled);
    // A registry of somebody's own that says it has the layer: all that is known of it is its digest.
    let liar = format!("{}/liar:1", evil.address());
    let mut layer = gzip(&file("other", b"x"));
    layer.diff_id = registry::Digest::of(&secret);
    place.seed(&liar, None, &[layer]);
    let refused = place.pull(&liar, None).unwrap_err();
    assert!(chain(&refused).contains("something else"), "{}", chain(&refused));
    assert_eq!(place.list("names").len(), 1);
    assert_eq!(host(&name), server.address());
}

#[test]
fn an_order_that_is_taken_back_ends() {
    let server = open_registry();
    let place = Place::new(&[server.address()]);
    let name = format!("{}/x:1", server.address());
    place.seed(&name, None, &[gzip(&file("a", b"a"))]);
    let order = order(&name, None);
    order.stop.cancel();
    let ended = place.store.pull(&place.remote, &order, &|_| {}).unwrap_err();
    assert!(matches!(ended, runner::error::RunnerError::Stopped { .. }), "{}", chain(&ended));
    // Or in the middle, when its first layer is there.
    let order = super::ground::order(&name, None);
    let ended = place.store.pull(&place.remote, &order, &|_| order.stop.cancel()).unwrap_err();
    assert!(matches!(ended, runner::error::RunnerError::Stopped { .. }), "{}", chain(&ended));
    place.pull(&name, None).unwrap();
}
