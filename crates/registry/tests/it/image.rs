//! Images of a few bytes, and what it takes to push and pull them.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _};
use std::time::Duration;

use registry::client::{Client, Resolved};
use registry::manifest::{OCI_LAYER_GZIP, Platform};
use registry::settings::{Host, Mirror};
use registry::{Credentials, Descriptor, Digest, Reference, RegistryError, Settings};
use serde_json::json;

/// Settings that do not wait long.
pub(crate) fn settings(hosts: &[(&str, Host)]) -> Settings {
    Settings {
        hosts: hosts
            .iter()
            .map(|(name, host)| ((*name).to_owned(), host.clone()))
            .collect::<BTreeMap<_, _>>(),
        silence: Duration::from_secs(20),
        retry_pause: Duration::from_millis(1),
    }
}

/// A host that is spoken to without TLS.
pub(crate) fn plain() -> Host {
    Host { plain_http: true, ..Host::default() }
}

pub(crate) fn mirror(url: &str) -> Mirror {
    Mirror { url: url.to_owned(), ca_pem: None, credentials: None }
}

pub(crate) fn user() -> Credentials {
    let (name, password) = testkit::docker_registry::USER;
    Credentials { username: name.to_owned(), password: password.to_owned() }
}

pub(crate) fn client(settings: &Settings) -> Client {
    Client::new(settings).unwrap()
}

pub(crate) fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

pub(crate) fn descriptor(kind: &str, content: &[u8]) -> Descriptor {
    let size = u64::try_from(content.len()).unwrap();
    Descriptor { media_type: kind.to_owned(), digest: Digest::of(content), size, platform: None }
}

/// Content that no compression makes smaller.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(step).collect()
}

/// The configuration of an image for this machine with so many layers.
pub(crate) fn configuration(layers: usize) -> Vec<u8> {
    let Platform { architecture, os, .. } = Platform::here();
    let diff_ids: Vec<String> =
        (0..layers).map(|layer| Digest::of(&[u8::try_from(layer).unwrap()]).to_string()).collect();
    let value = json!({
        "architecture": architecture, "os": os, "config": { "Entrypoint": ["/x"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    value.to_string().into_bytes()
}

/// Pushes an image of these layers; returns its manifest's digest.
pub(crate) async fn push(
    client: &Client,
    target: &Reference,
    credentials: Option<&Credentials>,
    layers: &[Vec<u8>],
) -> Result<Digest, RegistryError> {
    let push = client.push(target, credentials, std::iter::empty())?;
    let home = tempfile::tempdir().unwrap();
    let send = async |kind: &str, content: &[u8]| {
        let blob = descriptor(kind, content);
        let path = home.path().join(blob.digest.hex());
        std::fs::write(&path, content).unwrap();
        if !push.has(&blob.digest).await? {
            push.send(&blob, &path, &|_| {}).await?;
        }
        assert!(push.has(&blob.digest).await?);
        Ok::<_, RegistryError>(blob)
    };
    let mut sent = Vec::new();
    for layer in layers {
        sent.push(send(OCI_LAYER_GZIP, layer).await?);
    }
    let config = send("", &configuration(layers.len())).await?;
    push.finish(&config, &sent).await
}

/// Finds out what a name stands for.
pub(crate) async fn resolve(
    client: &Client,
    source: &Reference,
    credentials: Option<&Credentials>,
) -> Result<Resolved, RegistryError> {
    client.pull(source, credentials)?.resolve(&Platform::here(), 1 << 30).await
}

/// Pulls an image; returns what its layers hold.
pub(crate) async fn pull(
    client: &Client,
    source: &Reference,
    credentials: Option<&Credentials>,
) -> Result<Vec<Vec<u8>>, RegistryError> {
    let pull = client.pull(source, credentials)?;
    let resolved = pull.resolve(&Platform::here(), 1 << 30).await?;
    let mut layers = Vec::new();
    for blob in &resolved.manifest.layers {
        let mut file = tempfile::tempfile().unwrap();
        pull.fetch(blob, &file, &|_| {}).await?;
        file.rewind().unwrap();
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        layers.push(content);
    }
    Ok(layers)
}

/// Prints an error with its causes.
pub(crate) fn explain(error: &RegistryError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
