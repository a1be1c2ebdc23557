//! A first process prepared ahead: in namespaces of its own, limited, linked, its kernel file systems mounted. It lacks
//! a root file system, a daemon and a sandbox to be.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use linux::cgroup::Group;
use linux::errno::{CallError, Context as _};

use crate::error::RunnerError;
use crate::ground::Ground;
use crate::net::Attachment;
use crate::place;
use crate::sandbox::init::{Inherited, Step};
use crate::sandbox::spec::Process;
use crate::sandbox::undo::Undo;

/// One prepared process. What it holds on the host goes with it, until a sandbox [`Cell::keep`]s it.
#[derive(Debug)]
pub struct Cell {
    /// Its place; decides its ids and its address.
    pub index: u32,
    /// Speaks with the process.
    pub control: OwnedFd,
    /// What names the process after a restart of the server.
    pub process: Process,
    /// The process.
    pub pidfd: OwnedFd,
    /// What limits it.
    pub group: Group,
    link: Attachment,
    ground: Arc<Ground>,
    /// Whether the place is given back with the cell.
    owns_place: bool,
    kept: bool,
}

impl Cell {
    /// Prepares a process in a place that nobody has; the place is given back when that fails, and with the cell.
    pub fn new(ground: &Arc<Ground>) -> Result<Self, RunnerError> {
        let full = || RunnerError::Full { places: ground.places.count() };
        let index = ground.places.take().ok_or_else(full)?;
        let mut cell = Self::prepare(ground, index).inspect_err(|_| ground.places.release(index))?;
        cell.owns_place = true;
        Ok(cell)
    }

    /// Prepares a process in the place of a sandbox that is here already.
    pub fn of(ground: &Arc<Ground>, index: u32) -> Result<Self, RunnerError> {
        Self::prepare(ground, index)
    }

    fn prepare(ground: &Arc<Ground>, index: u32) -> Result<Self, RunnerError> {
        let failed = |action: &'static str| {
            move |source: CallError| RunnerError::Kernel { action, id: place::group_name(index), source }
        };
        let name = place::group_name(index);
        let mut undo = Undo::default();
        // Named before it is made: one that is made half is taken back, too.
        let named = ground.group(index);
        undo.push(move || drop(named.remove()));
        let group = ground.hierarchy.create(&ground.group_parent, &name, &ground.first_limits);
        let group = group.map_err(failed("limit the processes"))?;
        let (ours, theirs) = linux::socket::pair().map_err(failed("open the control socket"))?;
        let daemon =
            ground.daemon.try_clone().context("dup", "daemon").map_err(failed("share the daemon"))?;
        let inherited = Inherited {
            control: theirs,
            daemon,
            events: group.events().map_err(failed("open the events of the control groups"))?,
            doors: group.doors().map_err(failed("open the control groups"))?,
        };
        let version_2 = match group.version_2() {
            Some(path) => Some(open(path).map_err(failed("open the control group"))?),
            None => None,
        };
        let base = place::first_id(ground.id_base, index);
        let spawned = ground.spawner.spawn(base, ground.plan(), &inherited, version_2.as_ref())?;
        drop(inherited);
        let pidfd = spawned.pidfd.try_clone().context("dup", "pidfd").map_err(failed("keep the process"));
        undo.push(move || drop(ground.clear(index, &spawned.pidfd)));
        let pidfd = pidfd?;
        linux::process::spare_from_memory_killer(spawned.pid).map_err(failed("spare the first process"))?;
        let link = ground.network.prepare(index, spawned.pid);
        let link = link.map_err(|source| RunnerError::Network { id: name.clone(), source })?;
        send(&ours, &Step::Link(link.clone()), &[]).map_err(failed("link the first process"))?;
        wait_until_prepared(&ours, ground.boot_timeout_ms, &name)?;
        // Without this the first packet of a sandbox on a busy host is lost, and waits a second to be sent again.
        ground.network.settle(&link).map_err(|source| RunnerError::Network { id: name.clone(), source })?;
        let start_time = linux::process::start_time(spawned.pid).ok_or_else(|| ended(&name))?;
        let process = Process::new(spawned.pid, start_time);
        undo.keep();
        let ground = ground.clone();
        Ok(Self { index, control: ours, process, pidfd, group, link, ground, owns_place: false, kept: false })
    }

    /// Tells whether the process still waits for its sandbox.
    pub fn is_alive(&self) -> bool {
        matches!(linux::process::wait(&self.pidfd, 0), Ok(false))
    }

    /// Leaves the place to the sandbox that the cell was given to.
    pub fn leave_place(&mut self) {
        self.owns_place = false;
    }

    /// Gives the process away: from here on it is a sandbox's.
    pub fn keep(mut self) -> Result<OwnedFd, RunnerError> {
        let failed = |source| RunnerError::Kernel {
            action: "keep the process",
            id: self.link.link_name.clone(),
            source,
        };
        let pidfd = self.pidfd.try_clone().context("dup", "pidfd").map_err(failed)?;
        self.kept = true;
        Ok(pidfd)
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // A place that could not be cleared is nobody's until the next start finds what is left by its name.
        if self.ground.clear(self.index, &self.pidfd).is_ok() && self.owns_place {
            self.ground.places.release(self.index);
        }
    }
}

fn open(path: &std::path::Path) -> Result<OwnedFd, CallError> {
    std::fs::File::open(path).map(OwnedFd::from).context("open", path.display())
}

/// Sends the process its next step.
pub(crate) fn send(control: &OwnedFd, step: &Step, descriptors: &[&OwnedFd]) -> Result<(), CallError> {
    let message = serde_json::to_vec(step).map_err(std::io::Error::from).context("encode", "step")?;
    let descriptors: Vec<_> = descriptors.iter().map(|descriptor| descriptor.as_fd()).collect();
    linux::socket::send(control, &message, &descriptors)
}

/// Waits for the process's word that it is prepared, or for the reason why it never will be.
fn wait_until_prepared(control: &OwnedFd, timeout_ms: u32, name: &str) -> Result<(), RunnerError> {
    match hear(control, timeout_ms, name)?.as_str() {
        Heard::PREPARED => Ok(()),
        other => {
            Err(RunnerError::Boot { id: name.to_owned(), reason: format!("it said `{other}` too early") })
        }
    }
}

/// What a first process says.
pub(crate) struct Heard;

impl Heard {
    /// It waits for its root file system.
    pub(crate) const PREPARED: &'static str = "P";
    /// It gives up, for the reason that follows.
    pub(crate) const ENDED: char = 'E';
    /// It is the daemon, of the version that follows, and answers.
    pub(crate) const READY: char = 'R';
}

/// Waits for the process's next word; its last words are an error.
pub(crate) fn hear(control: &OwnedFd, timeout_ms: u32, id: &str) -> Result<String, RunnerError> {
    let refused = |reason: String| RunnerError::Boot { id: id.to_owned(), reason };
    let spoke = linux::process::wait(control, timeout_ms).map_err(|error| refused(error.to_string()))?;
    if !spoke {
        return Err(refused(format!("no answer within {timeout_ms} ms")));
    }
    let mut buffer = [0; 4096];
    let (length, _) =
        linux::socket::receive(control, &mut buffer).map_err(|error| refused(error.to_string()))?;
    let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
    match text.strip_prefix(Heard::ENDED) {
        Some(reason) => Err(refused(reason.trim().to_owned())),
        None if text.is_empty() => Err(ended(id)),
        None => Ok(text),
    }
}

/// Returns why the process gave up, if it did.
pub(crate) fn last_words(control: &OwnedFd, id: &str) -> Option<RunnerError> {
    let spoke = linux::process::wait(control, 20).unwrap_or_default();
    spoke.then(|| hear(control, 0, id).err()).flatten()
}

fn ended(id: &str) -> RunnerError {
    RunnerError::Boot { id: id.to_owned(), reason: "the first process ended without a word".to_owned() }
}
