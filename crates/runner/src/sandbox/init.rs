//! What the first process of a sandbox does before it becomes the daemon: arrange its root, then give up its powers.
//!
//! Runs in the spawner's child, in namespaces of its own, on one thread. The image is untrusted: everything below its
//! root is opened by descriptor without following links.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use linux::errno::{CallError, Context as _};
use linux::mount::{self, Attributes};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::net::Attachment;

/// What the runner asks the child to become. Travels to the spawner as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the machine inside.
    pub host_name: String,
    /// Lines of `/etc/resolv.conf`.
    pub resolvers: Vec<String>,
    /// How many files one process may have open.
    pub open_files: u64,
}

/// What the runner tells the child once the host side is ready.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Step {
    /// The message carries the root file system as a detached mount.
    Root,
    /// The link is there; the limits hold. Nothing is left to wait for.
    Go {
        /// How the link's inner end is to be set up.
        link: Attachment,
    },
}

/// The descriptors a child starts with.
#[derive(Debug)]
pub struct Inherited {
    /// Talks to the runner: takes [`Step`]s, then carries the daemon's word that it is ready.
    pub control: OwnedFd,
    /// The daemon's listening socket.
    pub listener: OwnedFd,
    /// The sealed daemon program.
    pub daemon: OwnedFd,
    /// The daemon's settings. They hold the sandbox's variables, so they travel as a descriptor: an argument could be
    /// read by every process inside.
    pub settings: OwnedFd,
    /// Lead into the version 1 control groups that limit it.
    pub doors: Vec<OwnedFd>,
}

/// Hidden from the sandbox: they tell of the host, or change it.
const MASKED_FILES: [&str; 7] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/sysrq-trigger",
    "/proc/kmsg",
];

/// Hidden directories: firmware, DMI and power data of the host, its security modules, and its loop devices, whose
/// files tell of other sandboxes.
const MASKED_DIRECTORIES: [&str; 8] = [
    "/proc/acpi",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/class/dmi",
    "/sys/devices/virtual/dmi",
    "/sys/devices/virtual/block",
    "/sys/devices/virtual/powercap",
    "/sys/kernel/security",
];

/// Parts of `/proc` that may be read but not written, on top of what the user namespace refuses.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/tty"];

/// Devices of the host that are safe to share: none keeps anything.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Files in `/etc` that name the sandbox and its resolvers, in the order of their contents below. They are mounted, as
/// container engines do it: written into the disk, each would cost a copy of its directory, and a full disk would keep
/// the sandbox from starting.
const FILES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

/// Sets the sandbox up and becomes the daemon; returns only the error that stopped it.
pub fn run(
    plan: &Plan,
    filter: &linux::seccomp::Filter,
    inherited: Inherited,
) -> Result<Infallible, CallError> {
    linux::cgroup::enter(&inherited.doors)?;
    linux::namespace::become_root()?;
    rustix::process::setsid().context("setsid", "first process")?;
    mount::make_private(open_directory("/")?)?;
    // Made while the runner still builds the root file system, put in place when it has arrived.
    let parts = Parts::prepare(plan)?;
    let root = receive_root(&inherited.control)?;
    mount::attach(&root, open_directory("/")?)?;
    parts.place(&root)?;
    mount::pivot(&root)?;
    drop(root);
    mask()?;
    linux::exec::silence()?;
    linux::process::forget_ended_children(false)?;
    let link = receive_go(&inherited.control)?;
    link.configure_inside()?;
    linux::exec::set_host_name(&plan.host_name)?;
    linux::exec::limit_open_files(plan.open_files)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    filter.install()?;
    linux::capability::drop_all_but_kept()?;
    let Inherited { control, listener, daemon, settings, .. } = inherited;
    linux::exec::execute(daemon, &["daytona-daemon", "fd:5"], &[], &[listener, control, settings])
}

fn open_directory(path: &str) -> Result<OwnedFd, CallError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).context("open", path)
}

fn receive_root(control: impl AsFd) -> Result<OwnedFd, CallError> {
    match receive(control)? {
        (Step::Root, Some(root)) => Ok(root),
        (step, _) => Err(unexpected(&step)),
    }
}

fn receive_go(control: impl AsFd) -> Result<Attachment, CallError> {
    match receive(control)? {
        (Step::Go { link }, _) => Ok(link),
        (step, _) => Err(unexpected(&step)),
    }
}

fn unexpected(step: &Step) -> CallError {
    CallError { call: "receive", operand: format!("{step:?}"), source: io::ErrorKind::InvalidData.into() }
}

/// Waits for the runner's next message. When the runner is gone, so is the reason to start.
fn receive(control: impl AsFd) -> Result<(Step, Option<OwnedFd>), CallError> {
    let mut buffer = [0; 4096];
    let (length, descriptors) = linux::socket::receive(control, &mut buffer)?;
    let message = buffer.get(..length).filter(|message| !message.is_empty());
    let message =
        message.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof)).context("receive", "step")?;
    let step = serde_json::from_slice(message).map_err(io::Error::from).context("receive", "step")?;
    Ok((step, descriptors.into_iter().next()))
}

/// The kernel file systems of a sandbox, detached.
struct Parts {
    proc: OwnedFd,
    sys: OwnedFd,
    dev: OwnedFd,
    terminals: OwnedFd,
    shared_memory: OwnedFd,
    queues: OwnedFd,
    devices: Vec<(&'static str, OwnedFd)>,
    /// Holds [`FILES`].
    files: OwnedFd,
}

impl Parts {
    fn prepare(plan: &Plan) -> Result<Self, CallError> {
        let quiet = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
        let quiet_without_devices = quiet | Attributes::MOUNT_ATTR_NODEV;
        let read_only = quiet_without_devices | Attributes::MOUNT_ATTR_RDONLY;
        let mut devices = Vec::new();
        for name in DEVICES {
            devices.push((name, mount::clone_path(&format!("/dev/{name}"))?));
        }
        let files = mount::filesystem("tmpfs", &[("size", "1m"), ("nr_inodes", "8")], quiet_without_devices)?;
        let host_name = &plan.host_name;
        let hosts = format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {host_name}\n");
        let contents = [hosts, format!("{host_name}\n"), plan.resolvers.join("\n") + "\n"];
        for (name, text) in FILES.iter().zip(contents) {
            mount::write_file(&files, name, &text)?;
        }
        Ok(Self {
            files,
            proc: mount::filesystem("proc", &[], quiet_without_devices)?,
            sys: mount::filesystem("sysfs", &[], read_only)?,
            dev: mount::filesystem("tmpfs", &[("size", "64k"), ("nr_inodes", "64"), ("mode", "755")], quiet)?,
            terminals: mount::filesystem(
                "devpts",
                &[("ptmxmode", "0666"), ("mode", "620"), ("gid", "5"), ("max", "256")],
                quiet,
            )?,
            shared_memory: mount::filesystem(
                "tmpfs",
                &[("size", "64m"), ("mode", "1777")],
                quiet_without_devices,
            )?,
            queues: mount::filesystem("mqueue", &[], quiet_without_devices)?,
            devices,
        })
    }

    fn place(&self, root: &OwnedFd) -> Result<(), CallError> {
        mount::attach(&self.proc, mount::ensure_directory(root, "proc")?)?;
        mount::attach(&self.sys, mount::ensure_directory(root, "sys")?)?;
        mount::attach(&self.dev, mount::ensure_directory(root, "dev")?)?;
        let dev = &self.dev;
        mount::attach(&self.terminals, mount::ensure_directory(dev, "pts")?)?;
        mount::attach(&self.shared_memory, mount::ensure_directory(dev, "shm")?)?;
        mount::attach(&self.queues, mount::ensure_directory(dev, "mqueue")?)?;
        for (name, device) in &self.devices {
            mount::attach(device, mount::ensure_file(dev, name)?)?;
        }
        let links = [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ];
        for (name, target) in links {
            rustix::fs::symlinkat(target, dev, name).context("symlinkat", name)?;
        }
        let etc = mount::ensure_directory(root, "etc")?;
        for name in FILES {
            mount::attach(mount::clone_tree(&self.files, name, false)?, mount::ensure_file(&etc, name)?)?;
        }
        Ok(())
    }
}

/// Covers what the sandbox shall not see; paths are ours now, below our own `/proc` and `/sys`.
fn mask() -> Result<(), CallError> {
    let open =
        |path: &str| rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    for path in MASKED_FILES {
        match open(path) {
            Ok(target) => mount::attach(mount::clone_path("/dev/null")?, target)?,
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error).context("open", path),
        }
    }
    let empty =
        mount::filesystem("tmpfs", &[("size", "4k"), ("nr_inodes", "2")], Attributes::MOUNT_ATTR_RDONLY)?;
    for path in MASKED_DIRECTORIES {
        match open(path) {
            Ok(target) => mount::attach(mount::clone_tree(&empty, "", false)?, target)?,
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error).context("open", path),
        }
    }
    for path in READ_ONLY {
        match open(path) {
            Ok(target) => {
                let tree = mount::clone_tree(&target, "", true)?;
                mount::restrict(&tree, Attributes::MOUNT_ATTR_RDONLY, true)?;
                mount::attach(tree, target)?;
            }
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error).context("open", path),
        }
    }
    Ok(())
}
