//! Images made to harm: each is refused with a reason and leaves nothing, or runs and stays inside.

use std::path::Path;

use runner::image::Description;
use runner::sandbox::spec::Spec;
use tar::{Builder, EntryType, Header};

use crate::ground::{Ground, explain, order};
use crate::life::settled;

type Archive = Builder<std::fs::File>;

/// An image: its name, what must become of it, and how it is made.
type Case = (&'static str, End, Box<dyn FnOnce(&mut Archive)>);

/// Images that are refused when they start, because something is where the runtime mounts.
const IN_THE_WAY: [&str; 6] =
    ["dev-file", "sys-file", "proc-link", "sys-link", "dev-link", "hosts-directory"];

/// What must become of an image.
enum End {
    /// Its import fails, and the reason has this in it.
    Refused(&'static str),
    /// It is imported; whether or not it starts, nothing happens outside of it.
    Contained,
}

/// Appends an entry whose name and target are taken as they are.
fn raw(archive: &mut Archive, path: &[u8], kind: EntryType, target: &[u8], content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content.len() as u64);
    let fields = header.as_gnu_mut().unwrap();
    for (field, bytes) in [(&mut fields.name, path), (&mut fields.linkname, target)] {
        field.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    }
    header.set_cksum();
    archive.append(&header, content).unwrap();
}

/// An empty file below so many directories, whose name is longer than a header holds.
fn deep(archive: &mut Archive, directories: usize) {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    archive.append_data(&mut header, "d/".repeat(directories) + "f", std::io::empty()).unwrap();
}

fn file(archive: &mut Archive, path: &str) {
    raw(archive, path.as_bytes(), EntryType::Regular, b"", b"evil");
}

fn directory(archive: &mut Archive, path: &str) {
    raw(archive, path.as_bytes(), EntryType::Directory, b"", b"");
}

fn link(archive: &mut Archive, path: &str, target: &str) {
    raw(archive, path.as_bytes(), EntryType::Symlink, target.as_bytes(), b"");
}

fn hard_link(archive: &mut Archive, path: &str, target: &str) {
    raw(archive, path.as_bytes(), EntryType::Link, target.as_bytes(), b"");
}

/// Appends an extended header (pax) before the next entry.
fn extended(archive: &mut Archive, pairs: &[(&str, &[u8])]) {
    archive.append_pax_extensions(pairs.iter().copied()).unwrap();
}

/// Appends a file that claims `size` bytes, all but none of them a hole.
fn sparse(archive: &mut Archive, path: &str, size: u64) {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_path(path).unwrap();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    let fields = header.as_gnu_mut().unwrap();
    fields.set_real_size(size);
    fields.sparse[0].set_offset(size);
    fields.sparse[0].set_length(0);
    header.set_cksum();
    archive.append(&header, std::io::empty()).unwrap();
}

/// Directories in one another that no single name is long enough for: a link leads to the end of the first half.
fn deeper_than_it_looks(archive: &mut Archive) {
    let half = "d/".repeat(40);
    directory(archive, &half);
    link(archive, "l0", half.trim_end_matches('/'));
    for step in 1..10 {
        let (from, to) = (format!("l{}/{half}", step - 1), format!("l{step}"));
        directory(archive, &from);
        link(archive, &to, from.trim_end_matches('/'));
    }
}

#[expect(clippy::too_many_lines, reason = "one table")]
fn cases(outside: &Path) -> Vec<Case> {
    use End::{Contained, Refused};
    let target = outside.to_str().unwrap().to_owned();
    let victim = format!("{target}/victim");
    let to = move |path: &'static str| {
        let target = target.clone();
        move |archive: &mut Archive| link(archive, path, &target)
    };
    let case = |name, end, build: Box<dyn FnOnce(&mut Archive)>| (name, end, build);
    let through = |path: &'static str, then: fn(&mut Archive)| {
        let way = to(path);
        Box::new(move |archive: &mut Archive| {
            way(archive);
            then(archive);
        }) as Box<dyn FnOnce(&mut Archive)>
    };
    vec![
        case("dots", Refused("`..`"), Box::new(|archive| file(archive, "../victim"))),
        case("dots-within", Refused("`..`"), Box::new(|archive| file(archive, "a/../../victim"))),
        case("dots-absolute", Refused("`..`"), Box::new(|archive| file(archive, "/../victim"))),
        case("dots-directory", Refused("`..`"), Box::new(|archive| directory(archive, "../evil/"))),
        case("dots-hard-link", Refused("`..`"), Box::new(|archive| hard_link(archive, "grab", "../victim"))),
        case("dots-whiteout", Refused("`..`"), Box::new(|archive| file(archive, "../.wh.victim"))),
        case("dots-opaque", Refused("`..`"), Box::new(|archive| file(archive, "../.wh..wh..opq"))),
        case("whiteout-parent", Refused("names no file"), Box::new(|archive| file(archive, ".wh..."))),
        case("whiteout-self", Refused("names no file"), Box::new(|archive| file(archive, ".wh.."))),
        case("whiteout-none", Refused("names no file"), Box::new(|archive| file(archive, ".wh."))),
        case("whiteout-below", Refused("names no file"), Box::new(|archive| file(archive, "a/b/.wh..."))),
        case("whiteout", Contained, Box::new(|archive| file(archive, "tmp/.wh.nothing"))),
        case("opaque", Contained, Box::new(|archive| file(archive, "tmp/.wh..wh..opq"))),
        case("absolute", Contained, Box::new(|archive| file(archive, "/tmp/absolute"))),
        case("way-file", Refused("way"), through("way", |archive| file(archive, "way/victim"))),
        case("way-whiteout", Refused("way"), through("way", |archive| file(archive, "way/.wh.victim"))),
        case("way-opaque", Refused("way"), through("way", |archive| file(archive, "way/.wh..wh..opq"))),
        case("way-link", Refused("way"), through("way", |archive| link(archive, "way/victim", "/etc"))),
        case("way-directory", Contained, through("way", |archive| directory(archive, "way/"))),
        case("way-over", Contained, through("way", |archive| file(archive, "way"))),
        case("way-hard", Refused("grab"), through("way", |archive| hard_link(archive, "grab", "way/victim"))),
        case("hard-to-host", Refused("grab"), Box::new(move |archive| hard_link(archive, "grab", &victim))),
        case("hard-to-itself", Refused("grab"), Box::new(|archive| hard_link(archive, "grab", "grab"))),
        case("hard-to-root", Refused("root"), Box::new(|archive| hard_link(archive, "grab", "/"))),
        case("hard-to-directory", Refused("grab"), Box::new(|archive| hard_link(archive, "grab", "tmp"))),
        case(
            "link-up",
            Contained,
            Box::new(|archive| {
                link(archive, "up", "../../../..");
                file(archive, "up/inside");
            }),
        ),
        case(
            "link-loop",
            Refused("loop"),
            Box::new(|archive| {
                link(archive, "loop", "loop");
                file(archive, "loop/x");
            }),
        ),
        case(
            "directory-to-link",
            Refused("x"),
            Box::new(move |archive| {
                directory(archive, "d/");
                link(archive, "d", "/nowhere/at/all");
                file(archive, "d/x");
            }),
        ),
        case(
            "full-directory-to-link",
            Refused("holds files"),
            Box::new(|archive| {
                file(archive, "d/x");
                link(archive, "d", "/tmp");
            }),
        ),
        case(
            "file-to-directory",
            Contained,
            Box::new(|archive| {
                file(archive, "d");
                directory(archive, "d/");
                file(archive, "d/x");
                file(archive, "d/x");
            }),
        ),
        case(
            "link-to-directory",
            Contained,
            through("d", |archive| {
                directory(archive, "d/");
                file(archive, "d/x");
            }),
        ),
        case(
            "file-for-directory",
            Refused("f/x"),
            Box::new(|archive| {
                file(archive, "f");
                file(archive, "f/x");
            }),
        ),
        case("sparse-bomb", Refused("64 GiB"), Box::new(|archive| sparse(archive, "bomb", 1 << 60))),
        case(
            "sparse-bombs",
            Refused("64 GiB"),
            Box::new(|archive| {
                // Either fits; both do not.
                for (number, size) in [1 << 20, 64 << 30].into_iter().enumerate() {
                    sparse(archive, &format!("bomb{number}"), size);
                }
            }),
        ),
        case("sparse", Contained, Box::new(|archive| sparse(archive, "sparse", 256 << 20))),
        case(
            "claims",
            Refused(""),
            Box::new(|archive| {
                let mut header = Header::new_gnu();
                header.set_path("claims").unwrap();
                header.set_mode(0o644);
                header.set_uid(0);
                header.set_gid(0);
                header.set_size(1 << 34);
                header.set_cksum();
                archive.append(&header, &b"little"[..]).unwrap();
            }),
        ),
        case(
            "claims-all",
            Refused(""),
            Box::new(|archive| {
                let mut header = Header::new_gnu();
                header.set_path("claims").unwrap();
                header.as_gnu_mut().unwrap().size = [0xff; 12];
                header.set_cksum();
                archive.append(&header, std::io::empty()).unwrap();
            }),
        ),
        case(
            "owner",
            Refused("owner above 65535"),
            Box::new(|archive| {
                let mut header = Header::new_gnu();
                header.set_path("owned").unwrap();
                header.set_mode(0o644);
                header.set_uid(65_536);
                header.set_gid(0);
                header.set_size(0);
                header.set_cksum();
                archive.append(&header, std::io::empty()).unwrap();
            }),
        ),
        case("deep", Refused("256 directories"), Box::new(deeper_than_it_looks)),
        case("long", Refused(""), Box::new(|archive| deep(archive, 3000))),
        case("longest", Refused(""), Box::new(|archive| deep(archive, 2000))),
        case(
            "pax-path",
            Refused("`..`"),
            Box::new(|archive| {
                extended(archive, &[("path", b"../victim")]);
                file(archive, "harmless");
            }),
        ),
        case(
            "pax-link",
            Refused("`..`"),
            Box::new(|archive| {
                extended(archive, &[("linkpath", b"../victim")]);
                hard_link(archive, "grab", "bin/sh");
            }),
        ),
        case(
            "pax-size",
            Refused(""),
            Box::new(|archive| {
                extended(archive, &[("size", b"9000000000000000000")]);
                file(archive, "claims");
            }),
        ),
        case(
            "pax-overlay",
            Contained,
            Box::new(|archive| {
                extended(
                    archive,
                    &[
                        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
                        ("SCHILY.xattr.trusted.overlay.metacopy", b""),
                        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                        ("SCHILY.xattr.security.selinux", b"evil"),
                    ],
                );
                file(archive, "redirected");
            }),
        ),
        case(
            "pax-capability",
            Refused("capable"),
            Box::new(|archive| {
                extended(archive, &[("SCHILY.xattr.security.capability", b"nonsense")]);
                file(archive, "capable");
            }),
        ),
        case(
            "bytes",
            Contained,
            Box::new(|archive| {
                raw(archive, b"tmp/\xff\xfe\x1b[31m", EntryType::Regular, b"", b"evil");
                raw(archive, b"tmp/link", EntryType::Symlink, b"\xff\xfe", b"");
            }),
        ),
        case(
            "proc-filled",
            Contained,
            Box::new(|archive| {
                for path in ["proc/self/exe", "proc/sys/kernel/core_pattern", "proc/1/root/x", "sys/kernel/x"]
                {
                    file(archive, path);
                }
            }),
        ),
        case("dev-console", Contained, through("dev/console", |_| ())),
        case("dev-null", Contained, through("dev/null", |archive| link(archive, "dev/ptmx", "/etc/passwd"))),
        case("dev-pts", Contained, through("dev/pts", |_| ())),
        case("dev-shm", Contained, through("dev/shm", |_| ())),
        case("dev-file", Contained, Box::new(|archive| file(archive, "dev"))),
        case("sys-file", Contained, Box::new(|archive| file(archive, "sys"))),
        case("proc-link", Contained, through("proc", |_| ())),
        case("sys-link", Contained, through("sys", |_| ())),
        case("dev-link", Contained, through("dev", |_| ())),
        case("tmp-link", Contained, through("tmp", |_| ())),
        case("root-link", Contained, through("root", |_| ())),
        case("hosts-directory", Contained, Box::new(|archive| directory(archive, "etc/hosts/"))),
        case("passwd-link", Contained, through("etc/passwd", |_| ())),
        case("passwd-endless", Contained, Box::new(|archive| link(archive, "etc/passwd", "/dev/zero"))),
        case(
            "passwd-pipe",
            Contained,
            Box::new(|archive| raw(archive, b"etc/passwd", EntryType::Fifo, b"", b"")),
        ),
        case(
            "group-pipe",
            Contained,
            Box::new(|archive| raw(archive, b"etc/group", EntryType::Fifo, b"", b"")),
        ),
        case("passwd-huge", Contained, Box::new(|archive| sparse(archive, "etc/passwd", 1 << 30))),
        case(
            "passwd-directory",
            Contained,
            Box::new(|archive| {
                raw(archive, b"etc/.wh.passwd", EntryType::Regular, b"", b"");
                directory(archive, "etc/passwd/");
            }),
        ),
        case("resolvers-link", Contained, through("etc/resolv.conf", |_| ())),
        case(
            "resolvers-pipe",
            Contained,
            Box::new(|archive| raw(archive, b"etc/resolv.conf", EntryType::Fifo, b"", b"")),
        ),
        case(
            "root-of-others",
            Contained,
            Box::new(|archive| raw(archive, b"./", EntryType::Directory, b"", b"")),
        ),
        case(
            "kinds",
            Contained,
            Box::new(|archive| {
                for kind in [b'8', b'V', b'M', b'Z', b'A'] {
                    raw(archive, format!("kind-{kind}").as_bytes(), EntryType::new(kind), b"", b"");
                }
            }),
        ),
    ]
}

/// Lists the layers and what is being unpacked.
fn layers(ground: &Ground) -> Vec<String> {
    let entries = std::fs::read_dir(ground.home.path().join("images/layers")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_hostile_image_is_refused_or_contained() {
    let ground = Ground::new();
    let before = ground.census();
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    for (name, end, build) in cases(outside.path()) {
        println!("{name}");
        std::fs::write(&victim, "untouched").unwrap();
        // Where a path with `..` would lead out of the directory of a layer.
        std::fs::write(ground.home.path().join("images/layers/victim"), "untouched").unwrap();
        let known = layers(&ground);
        let archive = testkit::rootfs::tiny_with(ground.home.path(), name, |archive| {
            build(archive);
            Ok(())
        });
        let description = Description {
            name: name.to_owned(),
            user: String::new(),
            working_directory: "/".to_owned(),
            environment: vec![("PATH".to_owned(), "/bin".to_owned())],
        };
        let imported = ground.host().images().import(&archive.unwrap(), description).map_err(explain);
        match (&end, &imported) {
            (End::Refused(reason), Err(error)) => {
                assert!(error.contains(reason), "{name}: {error}");
                assert_eq!(layers(&ground), known, "{name} left something");
                assert!(ground.host().images().find(name).unwrap().is_none(), "{name} is known");
            }
            (End::Contained, Ok(_)) => {
                // Nothing but what stands in the way of the runtime's own mounts keeps an image from starting.
                let reason = run(&ground, name);
                assert_eq!(reason.is_some(), IN_THE_WAY.contains(&name), "{name}: {reason:?}");
            }
            (End::Refused(_), Ok(_)) => panic!("{name} was imported"),
            (End::Contained, Err(error)) => panic!("{name} was not imported: {error}"),
        }
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched", "{name}");
        let neighbour = ground.home.path().join("images/layers/victim");
        assert_eq!(std::fs::read_to_string(neighbour).unwrap(), "untouched", "{name}");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1, "{name} wrote outside");
    }
    settled(&ground, &before);
}

/// Starts a sandbox of the image. When it starts, what is inside is inside; when not, returns why.
fn run(ground: &Ground, name: &str) -> Option<String> {
    let spec = Spec { image: name.to_owned(), ..order() };
    match ground.host().create(&spec).map_err(explain) {
        Ok(_) => {
            let (code, said) =
                ground.execute(&spec.id, "echo inside; cat /way/victim /tmp/victim /root/victim");
            assert!(said.starts_with("inside") && !said.contains("untouched"), "{name}: {code} {said}");
            // The masks and mounts are in place, whatever the image had there.
            let (_, mounts) = ground.execute(&spec.id, "cat /proc/self/mountinfo");
            for mount in
                [" /proc ", " /sys ", " /dev ", " /dev/null ", " /dev/pts ", " /etc/hosts ", " /proc/keys "]
            {
                assert!(mounts.contains(mount), "{name}: nothing is mounted at {mount}: {mounts}");
            }
            assert_eq!(ground.execute(&spec.id, "cat /etc/resolv.conf").1, "nameserver 192.0.2.1", "{name}");
            ground.host().destroy(&spec.id).map_err(explain).unwrap();
            None
        }
        Err(reason) => Some(reason),
    }
}

/// What an archive says of the overlay must not be believed: it could show other layers' files.
#[test]
fn attributes_of_the_overlay_are_not_taken_from_an_image() {
    let ground = Ground::new();
    let archive = testkit::rootfs::tiny_with(ground.home.path(), "attributes", |archive| {
        extended(
            archive,
            &[("SCHILY.xattr.trusted.overlay.redirect", b"/etc"), ("SCHILY.xattr.user.mark", b"1")],
        );
        file(archive, "redirected");
        Ok(())
    });
    crate::ground::import(ground.host(), &archive.unwrap(), "attributes");
    let image = ground.host().images().find("attributes").unwrap().unwrap();
    let layer = ground.host().images().layer(&image.layers[0]);
    let mut names = vec![0; 4096];
    let length = rustix::fs::listxattr(layer.join("redirected"), &mut names[..]).unwrap();
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    assert!(!names.contains("trusted"), "{names}");
}

/// Garbage, a cut archive and an empty one.
#[test]
fn what_is_no_archive_is_refused_and_leaves_nothing() {
    let ground = Ground::new();
    let known = layers(&ground);
    let whole = std::fs::read(ground.home.path().join("tiny.tar")).unwrap();
    let garbage: Vec<u8> = (0..100_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (name, bytes) in
        [("cut", &whole[..whole.len() / 2]), ("garbage", &garbage), ("cut-short", &whole[..700])]
    {
        let path = ground.home.path().join(format!("{name}.tar"));
        std::fs::write(&path, bytes).unwrap();
        let description = Description {
            name: name.to_owned(),
            user: String::new(),
            working_directory: String::new(),
            environment: Vec::new(),
        };
        let refused = ground.host().images().import(&path, description).map_err(explain).unwrap_err();
        assert!(refused.contains(name), "{refused}");
        assert_eq!(layers(&ground), known, "{name} left something");
    }
}
