//! A file system that our formatter made grows, to any size, and is whole afterwards.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use linux::ext4::growth;
use linux::mount::Attributes;
use linux::{ext4, loopback, mount};
use rustix::fs::{Mode, OFlags};

/// A disk image whose file goes away with it.
struct Image(PathBuf);

impl Drop for Image {
    fn drop(&mut self) {
        // Nothing is left to do for a test when this fails.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// How a file system is made larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the kernel, while it is mounted.
    InUse,
    /// By us, while it is not.
    AtRest,
}

/// Sizes within one block of descriptors, over its end at 16 GiB, and starting beyond it.
const SIZES_GIB: [&[u64]; 5] = [&[1, 2, 10], &[1, 3, 20], &[17, 33], &[10, 16, 17], &[3, 100]];

#[test]
fn a_disk_at_rest_grows_and_the_checker_finds_nothing_to_mend() {
    if rustix::process::geteuid().is_root() {
        for sizes_gib in SIZES_GIB {
            grows(Way::AtRest, sizes_gib);
        }
    } else {
        println!("skipped: mounting needs root");
    }
}

#[test]
fn a_disk_in_use_grows_and_the_checker_finds_nothing_to_mend() {
    let may = std::fs::read_to_string("/proc/self/status").expect("status");
    let may = may.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("capabilities").trim();
    // Bit 24 is CAP_SYS_RESOURCE.
    if u64::from_str_radix(may, 16).expect("a number") & 1 << 24 != 0 {
        for sizes_gib in SIZES_GIB {
            grows(Way::InUse, sizes_gib);
        }
    } else {
        println!("skipped: growing in use needs CAP_SYS_RESOURCE, which this root does not have");
    }
}

/// A mounted disk, and what keeps it mounted.
struct Mounted {
    root: OwnedFd,
    _mount: OwnedFd,
}

fn mounted(file: &File) -> Mounted {
    let device = loopback::attach(file).expect("a loop device");
    let mount = mount::filesystem("ext4", &[("source", &device.path)], Attributes::empty()).expect("mount");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let root = rustix::fs::openat(&mount, ".", flags, Mode::empty()).expect("the root directory");
    Mounted { root, _mount: mount }
}

fn released(path: &Path) {
    while loopback::find(path).expect("devices").is_some() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn grows(way: Way, sizes_gib: &[u64]) {
    let sum: u64 = sizes_gib.iter().sum();
    let image = Image(std::env::temp_dir().join(format!("growth-{}-{way:?}-{sum}", std::process::id())));
    let file = File::options().read(true).write(true).create_new(true).open(&image.0).expect("a fresh image");
    let path = image.0.canonicalize().expect("path");
    ext4::format(&file, sizes_gib.first().expect("a size") << 30, [9; 16], 1_700_000_000).expect("format");
    let mut disk = mounted(&file);
    let mut last = 0;
    for (turn, gib) in sizes_gib.iter().enumerate() {
        if turn > 0 && way == Way::InUse {
            file.set_len(gib << 30).expect("a longer file");
            let device = loopback::find(&path).expect("devices").expect("a device");
            loopback::adopt_size(&device).expect("a larger device");
            growth::in_use(&disk.root, gib << 30).expect("a larger file system");
            // Again, as after a crash.
            growth::in_use(&disk.root, gib << 30).expect("nothing to do");
            assert!(growth::in_use(&disk.root, 1 << 29).is_err(), "it cannot shrink");
        } else if turn > 0 {
            drop(disk);
            released(&path);
            assert!(!growth::needs_recovery(&file).expect("superblock"));
            growth::at_rest(&file, gib << 30).expect("a larger file system");
            growth::at_rest(&file, gib << 30).expect("nothing to do");
            growth::at_rest(&file, 1 << 29).expect("nothing to do");
            check(&image);
            disk = mounted(&file);
        }
        let status = rustix::fs::fstatvfs(&disk.root).expect("status");
        let bytes = status.f_blocks * status.f_frsize;
        assert!(bytes > last && bytes > (gib << 30) * 9 / 10 && bytes <= gib << 30, "{gib} GiB: {bytes}");
        assert_eq!(status.f_files, gib * 8 * 8192);
        last = bytes;
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let written =
            rustix::fs::openat(&disk.root, format!("file-{turn}"), flags, Mode::from_raw_mode(0o600));
        File::from(written.expect("a file")).write_all(&vec![7; 1 << 20]).expect("a mebibyte");
    }
    // The new groups are of use: with more files than the first ones can hold.
    for number in 0..20_u32 {
        let name = format!("directory-{number}");
        rustix::fs::mkdirat(&disk.root, &name, Mode::from_raw_mode(0o700)).expect("a directory");
    }
    drop(disk);
    released(&path);
    assert_eq!(growth::size_bytes(&file).expect("superblock"), sizes_gib.last().expect("a size") << 30);
    let used = std::os::unix::fs::MetadataExt::blocks(&file.metadata().expect("metadata")) * 512;
    assert!(used < 300 << 20, "growing wrote {used} bytes");
    check(&image);
}

fn check(image: &Image) {
    let check = std::process::Command::new("e2fsck").arg("-fn").arg(&image.0).output();
    let check = check.expect("e2fsck is missing: apt-get install e2fsprogs");
    let said = String::from_utf8_lossy(&check.stdout);
    assert!(check.status.success() && !said.contains("Fix?"), "{said}");
}

/// How the test below tells its copy what to grow.
const IMAGE: &str = "GROWTH_IMAGE";
/// From one block of descriptors to two.
const KILLED_GIB: (u64, u64) = (1, 18);

#[test]
fn whoever_grows_a_disk_at_rest_may_be_killed_at_any_moment() {
    let image = Image(std::env::temp_dir().join(format!("growth-{}-killed", std::process::id())));
    let (old, new) = (KILLED_GIB.0 << 30, KILLED_GIB.1 << 30);
    let open =
        || File::options().read(true).write(true).create(true).truncate(false).open(&image.0).expect("image");
    let mut outcomes = [0, 0];
    for round in 0..14_u32 {
        let file = open();
        file.set_len(0).expect("an empty file");
        ext4::format(&file, old, [9; 16], 1_700_000_000).expect("format");
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["--exact", "growth::the_copy_that_is_killed", "--nocapture"])
            .env(IMAGE, &image.0)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a copy of this program");
        let mut said = BufReader::new(child.stdout.take().expect("its output")).lines();
        assert!(said.any(|line| line.is_ok_and(|line| line.contains("grows now"))), "it never began");
        std::thread::sleep(std::time::Duration::from_micros(250 << round));
        child.kill().expect("kill");
        child.wait().expect("wait");
        let size = growth::size_bytes(&open()).expect("superblock");
        assert!(size == old || size == new, "{size}");
        outcomes[usize::from(size == new)] += 1;
        check(&image);
        growth::at_rest(&open(), new).expect("asked again it grows");
        assert_eq!(growth::size_bytes(&open()).expect("superblock"), new);
        check(&image);
    }
    println!("killed while it grew: {} kept the old size, {} had the new one", outcomes[0], outcomes[1]);
    assert!(outcomes[0] > 0, "none was killed in time");
}

/// Not a test of its own: the copy that [`whoever_grows_a_disk_at_rest_may_be_killed_at_any_moment`] kills.
#[test]
#[expect(clippy::disallowed_methods, reason = "how the test tells its copy what to grow")]
fn the_copy_that_is_killed() {
    let Ok(path) = std::env::var(IMAGE) else { return };
    let file = File::options().read(true).write(true).open(path).expect("image");
    println!("grows now");
    growth::at_rest(&file, KILLED_GIB.1 << 30).expect("grow");
}
