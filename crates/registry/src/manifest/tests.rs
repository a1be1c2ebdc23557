//! Documents as registries send them, and as hostile ones do.

use serde_json::{Value, json};

use super::*;

fn descriptor(kind: &str, size: u64) -> Value {
    json!({ "mediaType": kind, "digest": Digest::of(b"x").to_string(), "size": size })
}

fn for_platform(architecture: &str, variant: Option<&str>, content: &[u8]) -> Value {
    json!({
        "mediaType": OCI_MANIFEST,
        "digest": Digest::of(content).to_string(),
        "size": content.len(),
        "platform": { "os": "linux", "architecture": architecture, "variant": variant },
    })
}

fn here() -> Platform {
    Platform { architecture: "amd64".to_owned(), os: "linux".to_owned(), variant: None }
}

fn document(value: &Value, content_type: Option<&str>) -> Result<Document, String> {
    read(value.to_string().as_bytes(), content_type)
}

#[test]
fn an_index_gives_this_machines_image() {
    let index = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            for_platform("arm64", Some("v8"), b"arm"),
            for_platform("amd64", Some("v3"), b"new machines"),
            for_platform("amd64", None, b"all machines"),
            for_platform("unknown", None, b"attestation"),
            { "nothing": "known" },
        ],
    });
    let Document::Index(entries) = document(&index, Some(OCI_INDEX)).unwrap() else { panic!("no index") };
    assert_eq!(entries.len(), 4);
    assert_eq!(choose(&entries, &here()).unwrap().digest, Digest::of(b"all machines"));
    let other = Platform { architecture: "riscv64".to_owned(), ..here() };
    let refused = choose(&entries, &other).unwrap_err();
    assert!(refused.contains("linux/arm64") && refused.contains("linux/riscv64"), "{refused}");
}

#[test]
fn a_document_that_is_two_things_is_refused() {
    let layer = descriptor("application/vnd.oci.image.layer.v1.tar", 1);
    let manifest = json!({ "schemaVersion": 2, "config": descriptor(OCI_CONFIG, 1), "layers": [layer] });
    assert!(document(&manifest, Some(OCI_MANIFEST)).is_ok());
    assert!(document(&manifest, Some("application/json; charset=utf-8")).is_ok());
    assert!(document(&manifest, None).is_ok());
    assert!(document(&manifest, Some(OCI_INDEX)).is_err());
    let mut both = manifest.clone();
    both["manifests"] = json!([]);
    assert!(document(&both, Some(OCI_MANIFEST)).is_err());
    assert!(document(&both, None).is_err());
    let mut liar = manifest;
    liar["mediaType"] = json!(DOCKER_MANIFEST);
    assert!(document(&liar, Some(OCI_MANIFEST)).is_err());
    assert!(document(&json!({ "schemaVersion": 1, "fsLayers": [] }), None).unwrap_err().contains("schema 1"));
    assert!(document(&json!({ "mediaType": "text/html" }), None).is_err());
    assert!(read(b"<html>", None).is_err());
    let negative = json!({ "config": descriptor(OCI_CONFIG, 1), "layers": [{ "digest": Digest::of(b"").to_string(), "size": -1 }] });
    assert!(document(&negative, None).is_err());
    let nested = "[".repeat(100_000);
    assert!(read(nested.as_bytes(), None).is_err());
}

#[test]
fn manifests_that_ask_for_too_much_are_refused() {
    let one = |kind: &str, size| serde_json::from_value::<Descriptor>(descriptor(kind, size)).unwrap();
    let layer = |size| one("application/vnd.oci.image.layer.v1.tar+zstd", size);
    let manifest = |layers| Manifest { config: one(OCI_CONFIG, 10), layers };
    assert!(manifest(vec![layer(5), layer(5)]).check(10).is_ok());
    assert!(manifest(vec![layer(5), layer(6)]).check(10).is_err());
    assert!(manifest(vec![layer(u64::MAX), layer(2)]).check(u64::MAX).is_err());
    assert!(manifest(vec![layer(1); MOST_LAYERS]).check(1000).is_ok());
    assert!(manifest(vec![layer(1); MOST_LAYERS + 1]).check(1000).is_err());
    let foreign = one("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", 1);
    assert!(manifest(vec![foreign]).check(10).unwrap_err().contains("foreign"));
    let large = Manifest { config: one(OCI_CONFIG, 5 << 20), layers: Vec::new() };
    assert!(large.check(1000).is_err());
}

#[test]
fn a_configuration_must_fit_its_manifest() {
    let layer = serde_json::from_value::<Descriptor>(descriptor("application/vnd.oci.image.layer.v1.tar", 1))
        .unwrap();
    let manifest = Manifest { config: layer.clone(), layers: vec![layer] };
    let body = |value: Value| serde_json::to_vec(&value).unwrap();
    let diff_id = Digest::of(b"tar").to_string();
    let good = json!({
        "architecture": "amd64", "os": "linux",
        "config": { "User": "1000", "Env": ["A=b"], "Entrypoint": ["/x"], "Cmd": null, "ExposedPorts": { "80/tcp": {} }, "Other": 1 },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] }, "history": [],
    });
    let read = |value: Value| Configuration::read(&body(value), &manifest, &here());
    let configuration = read(good.clone()).unwrap();
    let process = configuration.config.unwrap();
    assert_eq!((process.user.as_deref(), process.cmd), (Some("1000"), None));
    let mut other = good.clone();
    other["architecture"] = json!("arm64");
    assert!(read(other).unwrap_err().contains("arm64"));
    let mut fewer = good.clone();
    fewer["rootfs"]["diff_ids"] = json!([]);
    assert!(read(fewer).unwrap_err().contains("1 layers"));
    let mut bad = good;
    bad["rootfs"]["diff_ids"] = json!(["sha256:../x"]);
    assert!(read(bad).is_err());
}
