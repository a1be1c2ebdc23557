//! Images go to a registry, and come back the same.

use runner::image::draft::NewImage;
use runner::image::push::{Compression, PushOrder};
use runner::image::{Config, Store};
use tokio_util::sync::CancellationToken;

use super::ground::{Place, file, gzip, lower, merged, open_registry, run, tree, upper};

fn push(target: &str, compression: Compression) -> PushOrder {
    PushOrder {
        target: target.parse().unwrap(),
        credentials: None,
        compression,
        stop: CancellationToken::new(),
    }
}

/// Unpacks an archive of a layer the way a pull does, but as a layer of this host's own making.
fn own_layer(place: &Place, archive: &[u8]) -> runner::image::draft::Added {
    let draft = place.store.draft().unwrap();
    let allowance = runner::image::allowance::Allowance::default();
    runner::image::unpack::unpack(&mut &archive[..], &draft.tree(), &allowance).unwrap();
    place.store.add_layer(draft).unwrap()
}

#[test]
fn layers_made_here_come_back_the_same() {
    let server = open_registry();
    let place = Place::new(&[server.address()]);
    let (low, high) = (own_layer(&place, &lower()), own_layer(&place, &upper()));
    let config = Config {
        user: "7".to_owned(),
        entrypoint: vec!["/x".to_owned()],
        environment: vec![("A".to_owned(), "1".to_owned())],
        ..Config::default()
    };
    let layers = vec![high.layer.clone(), low.layer.clone()];
    let size_bytes = low.bytes + high.bytes;
    let image = place.store.put_image(NewImage {
        name: None,
        layers: layers.clone(),
        config: config.clone(),
        size_bytes,
    });
    let image = image.unwrap();
    let ours = merged(&place.store, &layers);
    for (tag, compression) in [("zstd", Compression::Zstd), ("gzip", Compression::Gzip)] {
        let target = format!("{}/made:{tag}", server.address());
        let first =
            place.store.push(&place.remote, &image.name, &push(&target, compression), &|_| {}).unwrap();
        // The same bytes each time.
        let again =
            place.store.push(&place.remote, &image.name, &push(&target, compression), &|_| {}).unwrap();
        assert_eq!(first, again);
        let other = Place::new(&[server.address()]);
        let pulled = other.pull(&target, None).unwrap();
        assert_eq!(pulled.digest, first.digest);
        assert_eq!(pulled.image.config(), config);
        assert_eq!(merged(&other.store, &pulled.image.layers), ours);
    }
    // Another tool sees the same, too.
    let home = tempfile::tempdir().unwrap();
    let (source, layout) =
        (format!("docker://{}/made:gzip", server.address()), format!("{}/l:1", home.path().display()));
    run("skopeo", &["copy", "--src-tls-verify=false", &source, &format!("oci:{layout}")]);
    let bundle = home.path().join("bundle");
    run("umoci", &["unpack", "--image", &layout, bundle.to_str().unwrap()]);
    assert_eq!(tree(&bundle.join("rootfs")), ours);
}

#[test]
fn what_the_registry_has_is_not_sent_again() {
    let server = open_registry();
    let place = Place::new(&[server.address()]);
    let source = format!("{}/source:1", server.address());
    place.seed(&source, None, &[gzip(&lower()), gzip(&file("b", b"b"))]);
    let pulled = place.pull(&source, None).unwrap();
    let target = format!("{}/target:1", server.address());
    let blobs = || std::fs::read_dir(server.files().join("docker/registry/v2/blobs/sha256")).unwrap().count();
    let before = blobs();
    place.store.push(&place.remote, &pulled.image.name, &push(&target, Compression::Zstd), &|_| {}).unwrap();
    // Its configuration and its manifest alone.
    assert!(blobs() <= before + 2, "{before} blobs became {}", blobs());
    let again = Place::new(&[server.address()]).pull(&target, None).unwrap();
    assert_eq!(again.image.layers, pulled.image.layers);
    let store: &Store = &place.store;
    assert!(store.push(&place.remote, "nowhere", &push(&target, Compression::Zstd), &|_| {}).is_err());
}
