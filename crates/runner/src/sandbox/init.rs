//! What the first process of a sandbox does before it becomes the daemon: arrange its root, then give up its powers.
//!
//! Runs in the spawner's child, in namespaces of its own, on one thread. Most of it happens before it is known whose
//! sandbox it will be. The image is untrusted: everything below its root is opened by descriptor without following links.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use linux::errno::{CallError, Context as _};
use linux::mount::{self, Attributes};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::net::Attachment;
use crate::sandbox::parts::Parts;

/// What every first process is told when it is made. Travels to the spawner as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Lines of `/etc/resolv.conf`.
    pub resolvers: Vec<String>,
    /// How many files one process may have open.
    pub open_files: u64,
}

/// What the runner tells the process, in this order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Step {
    /// The link is there, and its inner end is to be set up like this. The process says when it is prepared.
    Link(Attachment),
    /// It is somebody's. The message carries the root file system as a detached mount, and those that go into it.
    Root {
        /// Name of the machine inside.
        host_name: String,
        /// Where further mounts go, in their order.
        #[serde(default)]
        places: Vec<Place>,
    },
    /// The limits hold, the rules are in force. The message carries the daemon's listening socket and its settings.
    Go,
}

/// Where a mount goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    /// Its path inside.
    pub path: String,
    /// Whether it is a file and no directory.
    pub is_file: bool,
}

/// The descriptors a first process is made with.
#[derive(Debug)]
pub struct Inherited {
    /// Talks to the runner: takes [`Step`]s, then carries the daemon's word that it is ready.
    pub control: OwnedFd,
    /// The sealed daemon program.
    pub daemon: OwnedFd,
    /// Where the daemon reads what its control groups have counted.
    pub events: Vec<OwnedFd>,
    /// Lead into the version 1 control groups that limit it.
    pub doors: Vec<OwnedFd>,
}

/// Prepares a sandbox, becomes one, and then its daemon; returns only the error that stopped it.
pub fn run(
    plan: &Plan,
    filter: &linux::seccomp::Filter,
    inherited: Inherited,
) -> Result<Infallible, CallError> {
    let Inherited { control, daemon, events, doors } = inherited;
    linux::cgroup::enter(&doors)?;
    drop(doors);
    linux::namespace::become_root()?;
    rustix::process::setsid().context("setsid", "first process")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    mount::make_private(open_directory("/")?)?;
    let parts = Parts::prepare(&plan.resolvers)?;
    linux::exec::silence()?;
    // Whoever waits for a root file system sees nothing of the host, and keeps none of its mounts.
    stand_on_nothing()?;
    linux::process::forget_ended_children(false)?;
    linux::exec::limit_open_files(plan.open_files)?;
    receive_link(&control)?.configure_inside()?;
    linux::socket::send(&control, PREPARED, &[])?;

    let (host_name, root, further) = receive_root(&control)?;
    mount::attach(&root, open_directory("/")?)?;
    parts.place(&root, &host_name)?;
    for (place, further) in further {
        mount::attach(further, mount::ensure_place(&root, &place.path, place.is_file)?)?;
    }
    // Below it is the empty directory on which the process stood; whoever finds a way there finds nothing.
    mount::enter(&root)?;
    drop((root, parts));
    linux::exec::set_host_name(&host_name)?;
    filter.install()?;
    linux::capability::drop_all_but_kept()?;
    let (listener, settings) = receive_go(&control)?;
    // What the process may do is settled; nothing that follows can widen it.
    let given: Vec<OwnedFd> = [listener, control, settings].into_iter().chain(events).collect();
    linux::exec::execute(daemon, &["daytona-daemon", "fd:5"], &[], &given)
}

/// Makes an empty directory the root, for as long as there is no other.
fn stand_on_nothing() -> Result<(), CallError> {
    let options = [("size", "4k"), ("nr_inodes", "2")];
    let empty = mount::filesystem("tmpfs", &options, Attributes::MOUNT_ATTR_RDONLY)?;
    mount::attach(&empty, open_directory("/")?)?;
    mount::pivot(&empty)
}

/// The longest message: paths of many mounts.
const LONGEST_STEP: usize = 64 * 1024;

/// What the process says when it waits for a root file system; see `cell::Heard`.
const PREPARED: &[u8] = b"P";

pub(super) fn open_directory(path: &str) -> Result<OwnedFd, CallError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).context("open", path)
}

fn receive_link(control: impl AsFd) -> Result<Attachment, CallError> {
    match receive(control)? {
        (Step::Link(link), _) => Ok(link),
        (step, _) => Err(unexpected(&step)),
    }
}

/// Mounts and where they go.
type Further = Vec<(Place, OwnedFd)>;

fn receive_root(control: impl AsFd) -> Result<(String, OwnedFd, Further), CallError> {
    match receive(control)? {
        (Step::Root { host_name, places }, descriptors) => {
            let mut descriptors = descriptors.into_iter();
            let root = first(descriptors.by_ref().take(1))?;
            Ok((host_name, root, places.into_iter().zip(descriptors).collect()))
        }
        (step, _) => Err(unexpected(&step)),
    }
}

fn receive_go(control: impl AsFd) -> Result<(OwnedFd, OwnedFd), CallError> {
    match receive(control)? {
        (Step::Go, mut descriptors) => {
            let settings = descriptors.pop();
            let listener = first(descriptors)?;
            Ok((listener, first(settings)?))
        }
        (step, _) => Err(unexpected(&step)),
    }
}

fn first(descriptors: impl IntoIterator<Item = OwnedFd>) -> Result<OwnedFd, CallError> {
    let first = descriptors.into_iter().next();
    first.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)).context("receive", "descriptor")
}

fn unexpected(step: &Step) -> CallError {
    CallError { call: "receive", operand: format!("{step:?}"), source: io::ErrorKind::InvalidData.into() }
}

/// Waits for the runner's next message. When the runner is gone, so is the reason to start.
fn receive(control: impl AsFd) -> Result<(Step, Vec<OwnedFd>), CallError> {
    let mut buffer = vec![0; LONGEST_STEP];
    let (length, descriptors) = linux::socket::receive(control, &mut buffer)?;
    let message = buffer.get(..length).filter(|message| !message.is_empty());
    let message =
        message.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof)).context("receive", "step")?;
    let step = serde_json::from_slice(message).map_err(io::Error::from).context("receive", "step")?;
    Ok((step, descriptors))
}
