//! The kernel file systems of a sandbox: `/proc`, `/sys` and `/dev`, with everything covered that tells of the host or
//! changes it.
//!
//! They are made, filled and covered while they are detached, before there is a root file system to put them in: no
//! path of an image is walked for it, and no request waits for it.

use std::os::fd::{AsFd, OwnedFd};

use linux::errno::{CallError, Context as _};
use linux::mount::{self, Attributes};
use rustix::fs::{Mode, OFlags};

/// Files below `/proc` that are hidden from the sandbox: they tell of the host, or change it.
const MASKED_FILES: [&str; 9] = [
    "kcore",
    "kallsyms",
    "keys",
    "key-users",
    "timer_list",
    "sched_debug",
    "sysrq-trigger",
    "kmsg",
    "diskstats",
];

/// Hidden directories below `/proc`; those of file systems tell of the disks of other sandboxes.
const MASKED_IN_PROC: [&str; 4] = ["acpi", "scsi", "fs/ext4", "fs/jbd2"];

/// Hidden directories below `/sys`: firmware, DMI and power data of the host, its security modules, and its loop
/// devices, whose files tell of other sandboxes.
const MASKED_IN_SYS: [&str; 7] = [
    "firmware",
    "class/dmi",
    "devices/virtual/dmi",
    "devices/virtual/block",
    "devices/virtual/powercap",
    "fs/ext4",
    "kernel/security",
];

/// Parts of `/proc` that may be read but not written, on top of what the user namespace refuses.
const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "tty"];

/// Devices of the host that are safe to share: none keeps anything.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Files in `/etc` that name the sandbox and its resolvers. They are mounted, as container engines do it: written into
/// the disk, each would cost a copy of its directory, and a full disk would keep the sandbox from starting.
const FILES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

/// The directory that covers hidden ones.
const EMPTY: &str = "empty";

/// The kernel file systems of a sandbox, detached.
pub(super) struct Parts {
    proc: OwnedFd,
    sys: OwnedFd,
    dev: OwnedFd,
    /// Holds [`FILES`].
    files: OwnedFd,
    /// One mount for each of [`FILES`].
    mounts: Vec<(&'static str, OwnedFd)>,
}

impl Parts {
    /// Makes and covers them; `resolvers` are the lines of `/etc/resolv.conf`.
    pub(super) fn prepare(resolvers: &[String]) -> Result<Self, CallError> {
        let quiet = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
        let quiet_without_devices = quiet | Attributes::MOUNT_ATTR_NODEV;
        let read_only = quiet_without_devices | Attributes::MOUNT_ATTR_RDONLY;
        let files = mount::filesystem("tmpfs", &[("size", "1m"), ("nr_inodes", "8")], quiet_without_devices)?;
        for (name, text) in FILES.iter().zip(["", "", &(resolvers.join("\n") + "\n")]) {
            mount::write_file(&files, name, text)?;
        }
        let mounts = FILES.iter().map(|name| Ok((*name, mount::clone_tree(&files, name, false)?)));
        let mounts = mounts.collect::<Result<_, CallError>>()?;
        rustix::fs::mkdirat(&files, EMPTY, Mode::from_raw_mode(0o555)).context("mkdirat", EMPTY)?;
        let empty = mount::clone_tree(&files, EMPTY, false)?;
        mount::restrict(&empty, Attributes::MOUNT_ATTR_RDONLY, false)?;
        let sys = mount::filesystem("sysfs", &[], read_only)?;
        hide(&sys, &MASKED_IN_SYS, &empty)?;
        Ok(Self { proc: proc(quiet_without_devices, &empty)?, sys, dev: dev(quiet)?, files, mounts })
    }

    /// Puts them into a root file system, of which nothing is trusted.
    pub(super) fn place(&self, root: &OwnedFd, host_name: &str) -> Result<(), CallError> {
        mount::attach(&self.proc, mount::ensure_directory(root, "proc")?)?;
        mount::attach(&self.sys, mount::ensure_directory(root, "sys")?)?;
        mount::attach(&self.dev, mount::ensure_directory(root, "dev")?)?;
        let hosts = format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {host_name}\n");
        mount::fill_file(&self.files, "hosts", &hosts)?;
        mount::fill_file(&self.files, "hostname", &format!("{host_name}\n"))?;
        let etc = mount::ensure_directory(root, "etc")?;
        for (name, file) in &self.mounts {
            mount::attach(file, mount::ensure_file(&etc, name)?)?;
        }
        Ok(())
    }
}

/// Opens what is to be covered in one of our own file systems; `None` where this kernel has no such thing.
fn target(parent: impl AsFd, path: &str) -> Result<Option<OwnedFd>, CallError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, path, flags, Mode::empty()) {
        Ok(target) => Ok(Some(target)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error).context("openat", path),
    }
}

fn hide(parent: &OwnedFd, directories: &[&str], empty: &OwnedFd) -> Result<(), CallError> {
    for path in directories {
        if let Some(target) = target(parent, path)? {
            mount::attach(mount::clone_tree(empty, "", false)?, target)?;
        }
    }
    Ok(())
}

fn proc(attributes: Attributes, empty: &OwnedFd) -> Result<OwnedFd, CallError> {
    let proc = mount::filesystem("proc", &[], attributes)?;
    for name in MASKED_FILES {
        if let Some(target) = target(&proc, name)? {
            mount::attach(mount::clone_path("/dev/null")?, target)?;
        }
    }
    for name in READ_ONLY {
        if let Some(target) = target(&proc, name)? {
            let tree = mount::clone_tree(&target, "", false)?;
            mount::restrict(&tree, Attributes::MOUNT_ATTR_RDONLY, false)?;
            mount::attach(tree, target)?;
        }
    }
    // Last, because a read-only part covers what was hidden in it.
    hide(&proc, &MASKED_IN_PROC, empty)?;
    Ok(proc)
}

fn dev(attributes: Attributes) -> Result<OwnedFd, CallError> {
    let without_devices = attributes | Attributes::MOUNT_ATTR_NODEV;
    let dev =
        mount::filesystem("tmpfs", &[("size", "64k"), ("nr_inodes", "64"), ("mode", "755")], attributes)?;
    let terminals = [("ptmxmode", "0666"), ("mode", "620"), ("gid", "5"), ("max", "256")];
    let terminals = mount::filesystem("devpts", &terminals, attributes)?;
    let shared_memory = [("size", "64m"), ("mode", "1777")];
    let shared_memory = mount::filesystem("tmpfs", &shared_memory, without_devices)?;
    let queues = mount::filesystem("mqueue", &[], without_devices)?;
    for (name, mounted) in [("pts", terminals), ("shm", shared_memory), ("mqueue", queues)] {
        mount::attach(mounted, mount::ensure_directory(&dev, name)?)?;
    }
    for name in DEVICES {
        mount::attach(mount::clone_path(&format!("/dev/{name}"))?, mount::ensure_file(&dev, name)?)?;
    }
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ];
    for (name, target) in links {
        rustix::fs::symlinkat(target, &dev, name).context("symlinkat", name)?;
    }
    Ok(dev)
}
