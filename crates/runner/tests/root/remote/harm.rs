//! Layers made to harm, from a registry: each is refused, and leaves nothing.

use std::io::Write as _;

use registry::Digest;
use registry::manifest::OCI_LAYER_GZIP;
use runner::error::{Class, chain};
use runner::image::pull::PullOrder;
use tar::EntryType;
use testkit::rootfs::entry;

use super::ground::{Layer, Place, archive, file, gzip, open_registry, order, plain, zstd};

/// Zeros that gzip makes a thousand times smaller, after `head`.
fn bomb(head: &[u8], bytes: u64) -> Layer {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(head).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..bytes >> 20 {
        encoder.write_all(&zeros).unwrap();
    }
    Layer { kind: OCI_LAYER_GZIP, packed: encoder.finish().unwrap(), diff_id: Digest::of(b"never reached") }
}

fn header(kind: EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path("x").unwrap();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn cases() -> Vec<(&'static str, &'static str, Layer)> {
    let whole = gzip(&file("a", b"a"));
    let mut spoiled = whole.clone();
    spoiled.packed.truncate(spoiled.packed.len() - 6);
    let large = 3 << 30;
    let many = archive(|builder| {
        for number in 0..40_000 {
            entry(builder, &format!("f{number}"), EntryType::Regular, 0o644, 0, b"").unwrap();
        }
    });
    let end = archive(|builder| entry(builder, "a", EntryType::Regular, 0o644, 0, b"a").unwrap());
    vec![
        ("another content", "something else", Layer { diff_id: Digest::of(b"x"), ..whole }),
        ("a cut archive", "unpack", spoiled),
        ("no archive", "unpack", plain(&[7; 4096])),
        ("a file of zeros", "files of more than 64 MiB", bomb(&header(EntryType::Regular, large), large)),
        ("a name without end", "before an entry", bomb(&header(EntryType::GNULongName, large), 64 << 20)),
        ("attributes without end", "before an entry", bomb(&header(EntryType::XHeader, large), 64 << 20)),
        ("an end without end", "after the last", bomb(&end, 64 << 20)),
        (
            "a device of some size",
            "files of more than 64 MiB",
            bomb(&header(EntryType::Char, large), 64 << 20),
        ),
        ("many files", "files of more than 64 MiB", zstd(&many)),
        (
            "a way out",
            "`..`",
            gzip(&archive(|builder| {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(EntryType::Regular);
                header.set_size(0);
                header.as_gnu_mut().unwrap().name[..9].copy_from_slice(b"../../out");
                header.set_cksum();
                builder.append(&header, std::io::empty()).unwrap();
            })),
        ),
    ]
}

#[test]
fn every_hostile_layer_is_refused_and_leaves_nothing() {
    let server = open_registry();
    let place = Place::new(&[server.address()]);
    for (number, (case, reason, layer)) in cases().into_iter().enumerate() {
        println!("{case}");
        let name = format!("{}/hostile:{number}", server.address());
        place.seed(&name, None, &[gzip(&file("good", b"good")), layer]);
        let order = PullOrder { most_bytes: 64 << 20, ..order(&name, None) };
        let refused = place.store.pull(&place.remote, &order, &|_| {}).unwrap_err();
        assert!(chain(&refused).contains(reason), "{case}: {}", chain(&refused));
        assert_eq!(refused.class(), Class::Reject, "{case}");
        assert_eq!(place.list("names"), [""; 0], "{case}");
        assert!(place.list("layers").len() <= 1, "{case}: {:?}", place.list("layers"));
    }
}

#[test]
fn an_image_that_is_too_large_is_refused_before_it_is_fetched() {
    let server = open_registry();
    let place = Place::new(&[server.address()]);
    let name = format!("{}/large:1", server.address());
    let noise: Vec<u8> = (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    place.seed(&name, None, &[plain(&file("a", &noise))]);
    let order = PullOrder { most_bytes: 100_000, ..order(&name, None) };
    let refused = place.store.pull(&place.remote, &order, &|_| {}).unwrap_err();
    assert!(chain(&refused).contains("more than 100000 bytes"), "{}", chain(&refused));
    assert_eq!(place.list("blobs"), [""; 0]);
}
