//! Images made of sandboxes: what starts from one has the same files, and nothing in them harms the host.
#![cfg(test)]

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use runner::error::{Class, RunnerError};
use runner::image::upper::{self, Layer, UpperError};
use runner::sandbox::spec::Spec;
use rustix::fs::{FileType, Mode, XattrFlags};

use crate::ground::{Ground, explain, order};
use crate::life::settled;
use crate::objects::{Objects, furnished, tree};

const FIRST: u32 = 3_400_000_000;

fn of_image(image: &str) -> Spec {
    Spec { image: image.to_owned(), ..order() }
}

/// A name as the control plane gives it.
fn fresh_name() -> String {
    format!("captured/{}", order().id)
}

/// Lists what the image store holds of sandboxes.
fn layers(ground: &Ground) -> BTreeSet<String> {
    let names = std::fs::read_dir(ground.home.path().join("images/layers")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("captured-") || name.starts_with("incoming-")).collect()
}

#[test]
fn a_sandbox_of_a_snapshot_has_the_same_files() {
    let ground = Ground::new();
    let before = ground.census();
    let (spec, files) = furnished(&ground);
    let (running, stopped) = (fresh_name(), fresh_name());
    let added = ground.host().capture(&spec.id, &running).map_err(explain).unwrap();
    // Of 3 MiB of noise and a sparse file of 20 MB.
    assert!((3 << 20..4 << 20).contains(&added), "{added}");
    assert_eq!(ground.host().capture(&spec.id, &running).map_err(explain).unwrap(), added);
    assert_eq!(tree(&ground, &spec.id), files);
    ground.host().stop(&spec.id, false).map_err(explain).unwrap();
    assert_eq!(ground.host().capture(&spec.id, &stopped).map_err(explain).unwrap(), added);
    // Whose layer one is can be told by its name alone: tenants share none.
    assert_eq!(layers(&ground).len(), 2);
    let mut before_last = String::new();
    for image in [&running, &stopped] {
        let copy = of_image(image);
        ground.host().create(&copy).map_err(explain).unwrap();
        assert_eq!(tree(&ground, &copy.id), files);
        // What its own start changes nothing of, and what is changed there stays there.
        ground.execute(&copy.id, "echo changed > /root/file; rm /root/program");
        before_last = tree(&ground, &copy.id);
        ground.host().destroy(&copy.id).map_err(explain).unwrap();
    }
    assert_ne!(before_last, files);
    // The sandbox that it was taken of goes on, and may go.
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(tree(&ground, &spec.id), files);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    let copy = of_image(&running);
    ground.host().create(&copy).map_err(explain).unwrap();
    assert_eq!(tree(&ground, &copy.id), files);
    ground.host().destroy(&copy.id).map_err(explain).unwrap();
    settled(&ground, &before);
}

#[test]
fn a_snapshot_of_a_snapshot_has_both_layers() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    ground.execute(&spec.id, "echo first > /root/first; echo gone > /root/gone");
    let first = fresh_name();
    ground.host().capture(&spec.id, &first).map_err(explain).unwrap();
    let copy = of_image(&first);
    ground.host().create(&copy).map_err(explain).unwrap();
    ground.execute(&copy.id, "echo second > /root/second; rm /root/gone /bin/ip");
    let files = tree(&ground, &copy.id);
    let second = fresh_name();
    ground.host().capture(&copy.id, &second).map_err(explain).unwrap();
    let last = of_image(&second);
    ground.host().create(&last).map_err(explain).unwrap();
    assert_eq!(tree(&ground, &last.id), files);
    // The first can be forgotten: its layer is a part of the second.
    ground.host().forget(&first).map_err(explain).unwrap();
    for id in [&spec.id, &copy.id] {
        ground.host().destroy(id).map_err(explain).unwrap();
    }
    assert_eq!(layers(&ground).len(), 2);
    ground.host().stop(&last.id, true).map_err(explain).unwrap();
    ground.host().start(&last.id).map_err(explain).unwrap();
    assert_eq!(tree(&ground, &last.id), files);
    ground.host().destroy(&last.id).map_err(explain).unwrap();
    ground.host().forget(&second).map_err(explain).unwrap();
    assert_eq!(layers(&ground), BTreeSet::new());
}

#[test]
fn a_forgotten_image_stays_for_those_that_were_made_from_it() {
    let (ground, objects) = (Ground::new(), Objects::new());
    let (spec, files) = furnished(&ground);
    let image = fresh_name();
    ground.host().capture(&spec.id, &image).map_err(explain).unwrap();
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    let (running, archived) = (of_image(&image), of_image(&image));
    for spec in [&running, &archived] {
        ground.host().create(spec).map_err(explain).unwrap();
    }
    let saved = objects.archive(&ground, &archived);
    ground.host().forget(&image).map_err(explain).unwrap();
    ground.host().forget(&image).map_err(explain).unwrap();
    // It is found again by a host that was opened anew.
    let ground = ground.reopen();
    assert_eq!(tree(&ground, &running.id), files);
    ground.host().stop(&running.id, true).map_err(explain).unwrap();
    ground.host().start(&running.id).map_err(explain).unwrap();
    assert_eq!(tree(&ground, &running.id), files);
    ground.host().destroy(&running.id).map_err(explain).unwrap();
    assert_eq!(layers(&ground).len(), 1, "the archived sandbox needs it");
    objects.restore(&ground, &archived, &saved).map_err(explain).unwrap();
    ground.host().start(&archived.id).map_err(explain).unwrap();
    assert_eq!(tree(&ground, &archived.id), files);
    // Archived again, it is deleted without having come back.
    objects.archive(&ground, &archived);
    assert_eq!(layers(&ground).len(), 1);
    ground.host().destroy(&archived.id).map_err(explain).unwrap();
    assert_eq!(layers(&ground), BTreeSet::new());
    let refused = ground.host().create(&of_image(&image)).unwrap_err();
    assert!(matches!(refused, RunnerError::ImageMissing { .. }));
    // What was imported is never forgotten.
    ground.host().forget("tiny").map_err(explain).unwrap();
    ground.host().forget("captured/nothing").map_err(explain).unwrap();
    // What a crash left in the middle of this goes with the next start.
    let left = ["captured-half", "incoming-gone-captured-half"]
        .map(|name| ground.home.path().join("images/layers").join(name));
    for path in &left {
        std::fs::create_dir_all(path.join("deep/er")).unwrap();
    }
    assert_eq!(layers(&ground).len(), 2);
    let ground = ground.reopen();
    assert_eq!(layers(&ground), BTreeSet::new());
    let last = order();
    ground.host().create(&last).map_err(explain).unwrap();
    ground.host().destroy(&last.id).map_err(explain).unwrap();
}

#[test]
fn what_is_not_here_cannot_be_captured() {
    let ground = Ground::new();
    let refused = ground.host().capture(&order().id, &fresh_name()).unwrap_err();
    assert_eq!(refused.class(), Class::Gone);
    assert_eq!(layers(&ground), BTreeSet::new());
}

#[test]
fn a_tree_that_no_layer_can_hold_is_refused_and_leaves_nothing() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    let dig = "cd /root; i=0; while [ $i -lt 300 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done; echo dug";
    assert_eq!(ground.execute(&spec.id, dig), (0, "dug".to_owned()));
    let refused = ground.host().capture(&spec.id, &fresh_name()).unwrap_err();
    assert_eq!(refused.class(), Class::Reject);
    let said = explain(refused);
    assert!(said.contains("more than 256 directories in one another"), "{said}");
    assert_eq!(layers(&ground), BTreeSet::new());
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

/// A directory in which a tenant may have put anything, and room for the layer.
struct Upper {
    home: tempfile::TempDir,
}

impl Upper {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for name in ["upper", "layer", "links"] {
            std::fs::create_dir(home.path().join(name)).unwrap();
        }
        Self { home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("upper").join(name)
    }

    fn layer(&self, name: &str) -> PathBuf {
        self.home.path().join("layer").join(name)
    }

    fn node(&self, name: &str, kind: FileType, device: u64) {
        rustix::fs::mknodat(rustix::fs::CWD, self.path(name), kind, Mode::from_raw_mode(0o644), device)
            .unwrap();
    }

    fn give(&self, name: &str, user: u32) {
        std::os::unix::fs::lchown(self.path(name), Some(user), Some(user)).unwrap();
    }

    fn copy(&self) -> Result<Layer, UpperError> {
        let upper: OwnedFd = std::fs::File::open(self.home.path().join("upper")).unwrap().into();
        upper::copy(
            &upper,
            &self.home.path().join("layer"),
            &self.home.path().join("links"),
            FIRST,
            "captured/test",
        )
    }
}

fn set(path: &Path, name: &CStr, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn get(path: &Path, name: &CStr) -> Option<Vec<u8>> {
    let mut value = vec![0; 1000];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn whatever_lies_in_a_sandbox_harms_nobody() {
    let upper = Upper::new();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "host").unwrap();
    // Links out of the sandbox, and files that nobody may open.
    std::os::unix::fs::symlink(outside.path(), upper.path("way")).unwrap();
    std::os::unix::fs::symlink("../../../etc/shadow", upper.path("shadow")).unwrap();
    std::os::unix::fs::symlink("/proc/self/fd/0", upper.path("magic")).unwrap();
    for (name, kind, device) in [
        ("pipe", FileType::Fifo, 0),
        ("socket", FileType::Socket, 0),
        ("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
        ("disk", FileType::BlockDevice, rustix::fs::makedev(7, 0)),
        ("hidden", FileType::CharacterDevice, 0),
    ] {
        upper.node(name, kind, device);
    }
    // A program with rights, one with those of another, links to it, and an access list.
    std::fs::write(upper.path("program"), "#!").unwrap();
    upper.give("program", FIRST);
    std::fs::set_permissions(upper.path("program"), PermissionsExt::from_mode(0o6755)).unwrap();
    let capability = |root: u32| {
        let mut value = vec![1, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        value.extend(root.to_le_bytes());
        value
    };
    set(&upper.path("program"), c"security.capability", &capability(FIRST));
    std::fs::hard_link(upper.path("program"), upper.path("again")).unwrap();
    std::fs::write(upper.path("strange"), "").unwrap();
    set(&upper.path("strange"), c"security.capability", &capability(1234));
    set(&upper.path("strange"), c"user.note", b"kept");
    set(&upper.path("strange"), c"trusted.secret", b"the host's");
    upper.give("strange", 12);
    let list = |user: u32| {
        let mut value = vec![2, 0, 0, 0];
        for (tag, id) in [(1_u8, u32::MAX), (2, user), (4, u32::MAX), (0x10, u32::MAX), (0x20, u32::MAX)] {
            value.extend([tag, 0, 6, 0]);
            value.extend(id.to_le_bytes());
        }
        value
    };
    set(&upper.path("strange"), c"system.posix_acl_access", &list(FIRST + 1000));
    std::fs::create_dir(upper.path("opaque")).unwrap();
    set(&upper.path("opaque"), c"trusted.overlay.opaque", b"y");
    upper.give("opaque", FIRST + 65_535);
    let long = format!("new\nline and {}", "x".repeat(240));
    std::fs::File::create(upper.path(&long)).unwrap().set_len(1 << 40).unwrap();

    let made = upper.copy().unwrap();
    assert!(made.bytes < 100, "{made:?}");
    assert_eq!(std::fs::read_link(upper.layer("way")).unwrap(), outside.path());
    assert_eq!(std::fs::read_link(upper.layer("shadow")).unwrap(), Path::new("../../../etc/shadow"));
    assert!(upper.layer("magic").is_symlink());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    let kind = |name: &str| std::fs::symlink_metadata(upper.layer(name)).map(|metadata| metadata.file_type());
    assert!(kind("pipe").unwrap().is_fifo() && kind("socket").unwrap().is_socket());
    assert!(kind("null").is_err() && kind("disk").is_err(), "a device was made");
    let hidden = std::fs::symlink_metadata(upper.layer("hidden")).unwrap();
    assert!(hidden.file_type().is_char_device() && hidden.rdev() == 0);
    let program = std::fs::metadata(upper.layer("program")).unwrap();
    assert_eq!((program.uid(), program.gid(), program.mode() & 0o7777, program.nlink()), (0, 0, 0o6755, 3));
    assert_eq!(program.ino(), std::fs::metadata(upper.layer("again")).unwrap().ino());
    let plain = get(&upper.layer("program"), c"security.capability").unwrap();
    assert_eq!((plain.len(), plain[3], plain[5]), (20, 2, 4));
    let strange = upper.layer("strange");
    assert_eq!(std::fs::metadata(&strange).unwrap().uid(), 65_534);
    assert_eq!(get(&strange, c"security.capability"), None);
    assert_eq!(get(&strange, c"trusted.secret"), None);
    assert_eq!(get(&strange, c"user.note").unwrap(), b"kept");
    assert_eq!(get(&strange, c"system.posix_acl_access").unwrap(), list(1000));
    assert_eq!(get(&upper.layer("opaque"), c"trusted.overlay.opaque").unwrap(), b"y");
    assert_eq!(std::fs::metadata(upper.layer("opaque")).unwrap().uid(), 65_535);
    let sparse = std::fs::metadata(upper.layer(&long)).unwrap();
    assert_eq!((sparse.len(), sparse.blocks()), (1 << 40, 0));
}

#[test]
fn the_digest_of_a_layer_is_that_of_its_files() {
    let digest = |change: &dyn Fn(&Upper)| {
        let upper = Upper::new();
        std::fs::create_dir(upper.path("a")).unwrap();
        std::fs::write(upper.path("a/file"), "content").unwrap();
        change(&upper);
        for name in ["a/file", "a", ""] {
            let time = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 5 };
            let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            let _ = rustix::fs::utimensat(rustix::fs::CWD, upper.path(name), &times, flags);
        }
        upper.copy().unwrap().digest
    };
    let plain = digest(&|_| {});
    assert_eq!(plain, digest(&|_| {}));
    let mut seen = BTreeSet::from([plain]);
    let changes: [&dyn Fn(&Upper); 6] = [
        &|upper| std::fs::write(upper.path("a/file"), "Content").unwrap(),
        &|upper| std::fs::set_permissions(upper.path("a/file"), PermissionsExt::from_mode(0o600)).unwrap(),
        &|upper| upper.give("a/file", FIRST + 5),
        &|upper| std::fs::rename(upper.path("a/file"), upper.path("a/other")).unwrap(),
        &|upper| set(&upper.path("a/file"), c"user.note", b"x"),
        &|upper| upper.node("hidden", FileType::CharacterDevice, 0),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(seen.insert(digest(change)), "change {number} was not seen");
    }
}

#[test]
fn forks_of_a_snapshot_and_its_removal_do_not_wait_for_each_other_for_ever() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    let image = fresh_name();
    ground.host().capture(&spec.id, &image).map_err(explain).unwrap();
    let parent = of_image(&image);
    ground.host().create(&parent).map_err(explain).unwrap();
    ground.host().forget(&image).map_err(explain).unwrap();
    let (told, done) = std::sync::mpsc::channel();
    let ground = std::sync::Arc::new(ground);
    for number in 0..4 {
        let (ground, told, parent) = (ground.clone(), told.clone(), parent.clone());
        std::thread::spawn(move || {
            for _ in 0..5 {
                let child = order();
                if number % 2 == 0 {
                    ground.host().fork(&parent.id, &child).map(drop).map_err(explain).unwrap();
                    ground.host().destroy(&child.id).map_err(explain).unwrap();
                } else {
                    // Each is removed with its snapshot, which collects what nobody uses.
                    let image = fresh_name();
                    ground.host().capture(&parent.id, &image).map_err(explain).unwrap();
                    ground.host().forget(&image).map_err(explain).unwrap();
                }
            }
            let _ = told.send(());
        });
    }
    for _ in 0..4 {
        done.recv_timeout(std::time::Duration::from_mins(2)).expect("nobody waits for ever");
    }
    for id in [&spec.id, &parent.id] {
        ground.host().destroy(id).map_err(explain).unwrap();
    }
    assert_eq!(layers(&ground), BTreeSet::new());
}
