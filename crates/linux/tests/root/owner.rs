//! Files change their owners in a file system at rest; the kernel and the checker judge the result.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use linux::ext4::owner::{Shift, identify, shift};
use linux::mount::Attributes;
use linux::{ext4, loopback, mount};
use rustix::fs::{Mode, OFlags, XattrFlags};

const FROM: u32 = 3_600_000_000;
const TO: u32 = 1_000_000;
const SHIFT: Shift = Shift { from: FROM, to: TO, count: 65_536 };
const FORTH: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const CAPABILITY: &str = "security.capability";

/// A mounted disk and where its root is.
struct Mounted {
    root: PathBuf,
    _held: [OwnedFd; 2],
}

fn mounted(file: &File) -> Mounted {
    let device = loopback::attach(file).expect("a loop device");
    let mounted =
        mount::filesystem("ext4", &[("source", &device.path)], Attributes::empty()).expect("mounted");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(&mounted, ".", flags, Mode::empty()).expect("a directory");
    Mounted { root: PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd())), _held: [mounted, root] }
}

fn unmount(mounted: Mounted, path: &Path) {
    drop(mounted);
    while loopback::find(path).expect("devices").is_some() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// What a walk sees of a file: owner, group, mode, and the attributes that hold ids.
type Seen = (u32, u32, u32, Vec<(String, Vec<u8>)>);

fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).expect("names");
    let names = names.get(..length).expect("names").split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut all: Vec<(String, Vec<u8>)> = names
        .map(|name| {
            let name = String::from_utf8_lossy(name).into_owned();
            let mut value = vec![0; 8192];
            let length = rustix::fs::lgetxattr(path, &name, &mut value[..]).expect("a value");
            value.truncate(length);
            (name, value)
        })
        .collect();
    all.sort();
    all
}

fn walk(directory: &Path, found: &mut BTreeMap<Vec<u8>, Seen>) {
    for entry in std::fs::read_dir(directory).expect("entries") {
        let path = entry.expect("an entry").path();
        if path.ends_with("d".repeat(200)) {
            // The deep ones have a look of their own.
            continue;
        }
        let status = path.symlink_metadata().expect("status");
        let seen = (status.uid(), status.gid(), status.mode(), attributes(&path));
        found.insert(path.as_os_str().as_bytes().to_vec(), seen);
        if status.is_dir() {
            walk(&path, found);
        }
    }
}

fn access_list(user: u32) -> Vec<u8> {
    let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &[6, 0], &id.to_le_bytes()].concat();
    let none = u32::MAX;
    [
        2_u32.to_le_bytes().to_vec(),
        entry(1, none),
        entry(2, user),
        entry(4, none),
        entry(8, user + 1),
        entry(16, none),
        entry(32, none),
    ]
    .concat()
}

fn capability(root: u32) -> Vec<u8> {
    let mut value = vec![1, 0, 0, 3, 0, 4, 0, 0];
    value.extend([0; 12]);
    value.extend(root.to_le_bytes());
    value
}

fn set(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, XattrFlags::empty()).expect(name);
}

/// Makes files of every kind, with the attributes in the inode, in a block, and in a block that two share.
fn fill(root: &Path, base: u32) {
    let file = |name: &str, owner: u32, mode: u32| {
        let path = root.join(name);
        std::fs::write(&path, name).expect("written");
        chown(&path, Some(owner), Some(owner + 5)).expect("owned");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
        path
    };
    file("plain", base, 0o644);
    file("last", base + 65_530, 0o600);
    file("set-id", base + 1000, 0o6755);
    file("of the host", 0, 0o4755);
    file("before", base - 10, 0o644);
    let capable = file("capable", base, 0o755);
    set(&capable, CAPABILITY, &capability(base));
    let listed = file("listed", base + 1, 0o664);
    set(&listed, FORTH, &access_list(base + 1000));
    for name in ["large-1", "large-2"] {
        let large = file(name, base + 2, 0o664);
        set(&large, "user.large", &[b'x'; 3000]);
        set(&large, FORTH, &access_list(base + 1000));
        set(&large, CAPABILITY, &capability(base));
    }
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).expect("a link");
    lchown(root.join("link"), Some(base + 3), Some(base + 3)).expect("owned");
    std::fs::hard_link(root.join("plain"), root.join("again")).expect("a hard link");
    let device = rustix::fs::makedev(0, 0);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("whiteout"),
        rustix::fs::FileType::CharacterDevice,
        Mode::from_raw_mode(0),
        device,
    )
    .expect("a whiteout");
    let directory = root.join("directory");
    std::fs::create_dir(&directory).expect("made");
    chown(&directory, Some(base + 7), Some(base + 7)).expect("owned");
    set(&directory, DEFAULT, &access_list(base + 8));
    for number in 0..20_000_u32 {
        let path = directory.join(number.to_string());
        File::create(&path).expect("made");
        chown(&path, Some(base + number), Some(base)).expect("owned");
    }
}

fn expected(seen: &Seen) -> Seen {
    let id = |id: u32| if (FROM..FROM + 65_536).contains(&id) { id - FROM + TO } else { id };
    let (user, group, mode, attributes) = seen.clone();
    let word = |value: &mut [u8], at: usize| {
        let place: &mut [u8; 4] = value.get_mut(at..at + 4).expect("an id").try_into().expect("four");
        *place = id(u32::from_le_bytes(*place)).to_le_bytes();
    };
    let attributes = attributes.into_iter().map(|(name, mut value)| {
        match name.as_str() {
            FORTH | DEFAULT => [16, 32].into_iter().for_each(|at| word(&mut value, at)),
            CAPABILITY => word(&mut value, 20),
            _ => {}
        }
        (name, value)
    });
    (id(user), id(group), mode, attributes.collect())
}

#[test]
fn every_owner_in_the_range_changes_and_nothing_else_does() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting needs root");
        return;
    }
    let path = std::env::temp_dir().canonicalize().expect("a directory");
    let path = path.join(format!("owner-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("a file");
    ext4::format(&file, 1 << 30, [3; 16], 0).expect("formatted");
    // Groups beyond those that the first blocks describe.
    let file = File::options().read(true).write(true).open(&path).expect("a file");
    ext4::growth::at_rest(&file, 17 << 30).expect("grown");
    let disk = mounted(&file);
    fill(&disk.root, FROM);
    let mut before = BTreeMap::new();
    walk(&disk.root, &mut before);
    let user = rustix::fs::Uid::from_raw(FROM + 9);
    rustix::fs::fchown(deep(&disk.root, true), Some(user), None).expect("owned");
    let root = disk.root.clone();
    unmount(disk, &path);

    let file = File::options().read(true).write(true).open(&path).expect("a file");
    let began = std::time::Instant::now();
    let changed = shift(&file, SHIFT).expect("shifted");
    println!("{changed} owners changed in {:?}", began.elapsed());
    assert_eq!(shift(&file, SHIFT).expect("shifted again"), 0);
    identify(&file, [9; 16]).expect("another name");
    let check = Command::new("e2fsck").arg("-fn").arg(&path).output().expect("e2fsck");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let tell = Command::new("dumpe2fs").arg("-h").arg(&path).output().expect("dumpe2fs");
    let tell = String::from_utf8_lossy(&tell.stdout).into_owned();
    assert!(tell.contains("09090909-0909-0909-0909-090909090909"), "{tell}");

    let disk = mounted(&file);
    let deepest = rustix::fs::fstat(deep(&disk.root, false)).expect("status");
    assert_eq!((deepest.st_uid, deepest.st_gid), (TO + 9, 0));
    let mut after = BTreeMap::new();
    walk(&disk.root, &mut after);
    let (old, new) = (root.as_os_str().as_bytes().len(), disk.root.as_os_str().as_bytes().len());
    let strip = |all: BTreeMap<Vec<u8>, Seen>, prefix: usize| -> BTreeMap<Vec<u8>, Seen> {
        all.into_iter().map(|(path, seen)| (path.get(prefix..).expect("a path").to_vec(), seen)).collect()
    };
    let (before, after) = (strip(before, old), strip(after, new));
    assert_eq!(before.len(), after.len());
    for (path, seen) in &before {
        assert_eq!(after.get(path), Some(&expected(seen)), "{}", String::from_utf8_lossy(path));
    }
    unmount(disk, &path);
    std::fs::remove_file(path).expect("removed");
}

/// Goes down deeper than a path may be long, and than a program that keeps a descriptor for each level could go.
fn deep(root: &Path, make: bool) -> OwnedFd {
    let name = "d".repeat(200);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = rustix::fs::open(root, flags, Mode::empty()).expect("a directory");
    for _ in 0..3000 {
        if make {
            rustix::fs::mkdirat(&at, &name, Mode::from_raw_mode(0o700)).expect("made");
        }
        at = rustix::fs::openat(&at, &name, flags, Mode::empty()).expect("opened");
    }
    at
}
