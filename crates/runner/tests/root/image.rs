//! Images are not trusted: what they put where the runner works must not lead it astray.

use tar::{Builder, EntryType};
use testkit::rootfs;

use crate::ground::{Ground, import, order};
use crate::life::settled;

/// Makes an image whose root holds the given links besides a busybox, and tries to start it.
fn start(ground: &Ground, name: &str, links: &[(&str, &str)]) -> Result<String, String> {
    let path = ground.home.path().join(format!("{name}.tar"));
    let mut archive = Builder::new(std::fs::File::create(&path).unwrap());
    rootfs::entry(&mut archive, "bin/", EntryType::Directory, 0o755, 0, b"").unwrap();
    let busybox = std::fs::read("/bin/busybox").unwrap();
    rootfs::entry(&mut archive, "bin/sh", EntryType::Regular, 0o755, 0, &busybox).unwrap();
    for (at, target) in links {
        rootfs::link(&mut archive, at, target).unwrap();
    }
    archive.finish().unwrap();
    import(ground.host(), &path, name);
    let spec = runner::sandbox::spec::Spec { image: name.to_owned(), ..order() };
    let created = ground.host().create(&spec).map_err(crate::ground::explain);
    created.map(|_| spec.id)
}

#[test]
fn links_in_place_of_mount_points_are_refused_and_leave_nothing() {
    let ground = Ground::new();
    let before = ground.census();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    for (name, at) in
        [("hostile-proc", "proc"), ("hostile-dev", "dev"), ("hostile-sys", "sys"), ("hostile-etc", "etc")]
    {
        let refused = start(&ground, name, &[(at, target)]).expect_err(name);
        assert!(refused.contains(at), "{name}: {refused}");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "{name} wrote outside");
    }
    settled(&ground, &before);
}

#[test]
fn links_in_place_of_files_that_the_runner_writes_are_replaced() {
    let ground = Ground::new();
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    let target = victim.to_str().unwrap();
    let path = ground.home.path().join("files.tar");
    let mut archive = Builder::new(std::fs::File::create(&path).unwrap());
    for directory in ["bin/", "etc/"] {
        rootfs::entry(&mut archive, directory, EntryType::Directory, 0o755, 0, b"").unwrap();
    }
    let busybox = std::fs::read("/bin/busybox").unwrap();
    rootfs::entry(&mut archive, "bin/sh", EntryType::Regular, 0o755, 0, &busybox).unwrap();
    for file in ["etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/passwd"] {
        rootfs::link(&mut archive, file, target).unwrap();
    }
    archive.finish().unwrap();
    import(ground.host(), &path, "files");
    let spec = runner::sandbox::spec::Spec { image: "files".to_owned(), ..order() };
    ground.host().create(&spec).map_err(crate::ground::explain).unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    let (_, resolvers) = ground.execute(&spec.id, "while read line; do echo $line; done < /etc/resolv.conf");
    assert_eq!(resolvers, "nameserver 192.0.2.1");
    ground.host().destroy(&spec.id).unwrap();
}

#[test]
fn an_unknown_image_is_named() {
    let ground = Ground::new();
    let spec = runner::sandbox::spec::Spec { image: "nowhere".to_owned(), ..order() };
    let refused = ground.host().create(&spec).map_err(crate::ground::explain).unwrap_err();
    assert!(refused.contains("nowhere"), "{refused}");
}
