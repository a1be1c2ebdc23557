//! Tries on the real kernel what a sandbox is made of, and takes it back.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use linux::cgroup::{Hierarchy, Limits};
use linux::errno::{CallError, Context as _};
use linux::mount::{self, Attributes};
use linux::namespace::{self, SingleThreaded};
use linux::netlink::{Family as NetlinkFamily, Socket};
use linux::nflog::Listener;
use linux::nft::{Family, Hook, Transaction, inspect};
use rustix::fs::{Mode, OFlags};

use crate::error::chain;
use crate::place::IDS_PER_SANDBOX;
use crate::sandbox::disk::{self, Disk};
use crate::spawner;

/// The first id that the attempted sandbox gets.
const ID_BASE: u32 = 1_000_000;
/// Size of the attempted disk.
const DISK_BYTES: u64 = 256 << 20;
/// A log group that no server listens to.
const LOG_GROUP: u16 = 61_847;
/// What an attempted group may use.
const LIMITS: Limits = Limits { cpu_thousandths: 500, memory_bytes: 64 << 20, processes: 16 };

/// How an attempt ended: what was found, or why it failed.
pub(super) type Outcome = Result<String, String>;

/// How each part of a sandbox could be made.
#[derive(Debug, Clone)]
pub(super) struct Sandbox {
    /// A process in namespaces of its own, with ids of its own.
    pub(super) namespaces: Outcome,
    /// The kernel's file systems and the call policy, inside.
    pub(super) inside: Outcome,
    /// A layer shown with other ids.
    pub(super) id_maps: Outcome,
    /// A disk on a loop device.
    pub(super) disk: Outcome,
    /// A root of layer and disk, from descriptors alone.
    pub(super) overlay: Outcome,
}

/// A directory for attempts that goes away with this.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a directory in `place`, or in the nearest directory above it that exists.
    pub(super) fn new(place: &Path) -> Result<Self, String> {
        let existing = place.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
        let path = existing.join(format!(".daytona-doctor-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| error.to_string())?;
        Ok(Self { path })
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Files alone; what is mounted has no path.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn outcome<T>(result: Result<T, CallError>, found: &str) -> Outcome {
    result.map(|_| found.to_owned()).map_err(|error| chain(&error))
}

/// Makes a process as the spawner does, a disk as the pool does, and a root of both.
pub(super) fn sandbox(scratch: &Scratch) -> Sandbox {
    let disk = make_disk(scratch);
    let layer = scratch.path().join("layer");
    let _ = fs::create_dir(&layer);
    let told = |error: &CallError| chain(error);
    let (namespaces, inside, id_maps, overlay) = match Child::start() {
        Ok(child) => {
            let mapped = map_layer(&layer, &child);
            let overlay = match (&mapped, &disk) {
                (Ok(layer), Ok(disk)) => {
                    let layers = layer.try_clone().context("dup", "layer").map(|layer| vec![layer]);
                    layers.and_then(|layers| mount::overlay(&layers, &disk.upper, &disk.work))
                }
                _ => Err(std::io::Error::other("it needs both a layer with other ids and a disk"))
                    .context("fsopen", "overlay"),
            };
            (Ok("seven of its own".to_owned()), child.finish(), mapped, overlay)
        }
        Err(reason) => {
            let unknown = || Err(std::io::Error::other("not tried")).context("mount_setattr", "layer");
            (Err(reason), Err("not tried".to_owned()), unknown(), unknown())
        }
    };
    Sandbox {
        namespaces,
        inside,
        id_maps: outcome(id_maps, "layers are shared with other ids"),
        disk: disk.as_ref().map(|_| "ext4 on a loop device".to_owned()).map_err(told),
        overlay: outcome(overlay, "an overlay of descriptors, without a path"),
    }
}

fn make_disk(scratch: &Scratch) -> Result<Disk, CallError> {
    let path = scratch.path().join("disk.ext4");
    let disk = disk::make(&path, DISK_BYTES, [7; 16], 1)?;
    disk.give(ID_BASE)?;
    Ok(disk)
}

fn map_layer(layer: &Path, child: &Child) -> Result<OwnedFd, CallError> {
    let layer = mount::clone_path(&layer.to_string_lossy())?;
    mount::map_ids(&layer, namespace::user_namespace(child.pid)?)?;
    Ok(layer)
}

/// A process in all namespaces, which waits until it is let go and then tries what the first process of a sandbox does.
struct Child {
    pid: i32,
    pidfd: OwnedFd,
    go: OwnedFd,
}

impl Child {
    fn start() -> Result<Self, String> {
        let told = |error: CallError| chain(&error);
        let proof = SingleThreaded::prove().map_err(told)?;
        let filter = spawner::policy().map_err(|error| chain(&error))?;
        let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let (ready, go) = pipe.map_err(|error| error.to_string())?;
        let mut parents_end = Some(go);
        let body = || {
            drop(parents_end.take());
            let mut byte = [0];
            if !matches!(rustix::io::read(&ready, &mut byte), Ok(1)) {
                return 9;
            }
            let quiet = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NODEV;
            if namespace::become_root().is_err() {
                return 1;
            }
            if mount::filesystem("proc", &[], quiet).is_err() {
                return 2;
            }
            if mount::filesystem("sysfs", &[], quiet).is_err() {
                return 3;
            }
            i32::from(filter.install().is_err()) * 4
        };
        let child = namespace::spawn(&proof, namespace::ALL, None, body).map_err(told)?;
        let go = parents_end.take().ok_or("the pipe to the child is closed")?;
        let child = Self { pid: child.pid, pidfd: child.pidfd, go };
        if let Err(error) = namespace::write_id_maps(child.pid, ID_BASE, IDS_PER_SANDBOX) {
            // What it said does not matter any more.
            let _ = child.finish();
            return Err(chain(&error));
        }
        Ok(child)
    }

    /// Lets the child try, and collects it.
    fn finish(self) -> Outcome {
        let told = rustix::io::write(&self.go, b"g");
        drop(self.go);
        if !matches!(linux::process::wait(&self.pidfd, 5000), Ok(true)) {
            let _ = linux::process::kill(&self.pidfd);
        }
        let pid = rustix::process::Pid::from_raw(self.pid);
        let ended = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty());
        let status = ended.ok().flatten().and_then(|(_, status)| status.exit_status());
        match (told, status) {
            (Ok(_), Some(0)) => Ok("kernel file systems, and the policy of system calls".to_owned()),
            (_, Some(1)) => Err("the process cannot become root of its namespace".to_owned()),
            (_, Some(2)) => Err("no fresh /proc can be mounted inside".to_owned()),
            (_, Some(3)) => Err("no fresh /sys can be mounted inside".to_owned()),
            (_, Some(4)) => Err("the kernel takes no filter of system calls".to_owned()),
            (_, status) => Err(format!("the process ended with {status:?}")),
        }
    }
}

/// Limits a group and reads the limits back.
pub(super) fn groups() -> Outcome {
    let try_out = || {
        let hierarchy = Hierarchy::detect()?;
        let parent = format!("daytona-doctor-{}", std::process::id());
        let made = hierarchy.create(&parent, "probe", &LIMITS);
        let read = made.as_ref().map_err(|error| chain(error)).and_then(|group| {
            let read = group.limits().map_err(|error| chain(&error))?;
            if read == LIMITS { Ok(()) } else { Err(format!("asked for {LIMITS:?}, got {read:?}")) }
        });
        for name in ["probe", ""] {
            hierarchy.group(&parent, name).remove()?;
        }
        Ok::<_, CallError>(read)
    };
    try_out().map_err(|error| chain(&error))?.map(|()| "limits were set and read back".to_owned())
}

/// Makes a table of packet filter rules with a chain that packets pass through, and removes it.
pub(super) fn packet_filter() -> Outcome {
    let name = format!("daytona-doctor-{}", std::process::id());
    let try_out = || {
        let mut socket = Socket::open(NetlinkFamily::Netfilter)?;
        let mut change = Transaction::of(Family::Inet, &name);
        change.create_table();
        for (chain, hook) in [("pass", Hook::Forward), ("source", Hook::SourceNat)] {
            change.renew_chain(chain, Some(hook));
        }
        change.commit(&mut socket)?;
        let mut change = Transaction::of(Family::Inet, &name);
        change.delete_table();
        change.commit(&mut socket)
    };
    outcome(try_out(), "rules were made and removed")
}

/// Listens for refused packets.
pub(super) fn packet_log() -> Outcome {
    outcome(Listener::open(LOG_GROUP), "refused packets can be told")
}

/// Names chains of others that drop what they do not know, each with its table, and tells whether Docker's exceptions
/// are there and whether firewalld is.
pub(super) fn other_firewalls() -> Result<(Vec<String>, bool, bool), String> {
    let mut socket = Socket::open(NetlinkFamily::Netfilter).map_err(|error| chain(&error))?;
    let chains = inspect::list_chains(&mut socket).map_err(|error| chain(&error))?;
    let drops = chains
        .iter()
        .filter(|chain| chain.forwards && chain.drops_by_default && !chain.table.starts_with("daytona"))
        .map(|chain| format!("{} of table {}", chain.name, chain.table));
    let has_exceptions = chains.iter().any(|chain| chain.name == "DOCKER-USER");
    let is_firewalld = chains.iter().any(|chain| chain.table == "firewalld");
    Ok((drops.collect(), has_exceptions, is_firewalld))
}

/// Tells whether two files can share their blocks.
pub(super) fn shares_blocks(scratch: &Scratch) -> bool {
    let path = |name: &str| scratch.path().join(name);
    let made = fs::write(path("original"), vec![1; 8192])
        .and_then(|()| Ok((File::open(path("original"))?, File::create(path("copy"))?)));
    made.is_ok_and(|(original, copy)| rustix::fs::ioctl_ficlone(&copy, &original).is_ok())
}

/// Returns how long a small write takes to reach the disk, the middle one of nine.
pub(super) fn write_through(scratch: &Scratch) -> Result<Duration, String> {
    let path = scratch.path().join("written");
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file =
        rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).map_err(|error| error.to_string())?;
    let mut times = Vec::new();
    for _ in 0..9 {
        let started = Instant::now();
        rustix::io::write(&file, &[1; 4096]).map_err(|error| error.to_string())?;
        rustix::fs::fsync(file.as_fd()).map_err(|error| error.to_string())?;
        times.push(started.elapsed());
    }
    times.sort();
    times.get(4).copied().ok_or_else(|| "nothing was written".to_owned())
}
