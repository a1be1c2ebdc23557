//! What the fake host has: sandboxes, backups and images, and whether anything of a sandbox was ever lost.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use engine::port::{Class, ImageOrder, RunnerError};
use types::sandbox::{Network, Observed};
use types::work::Work;
use types::{BuildId, SandboxId, VolumeId};

use crate::fake_runner::Call;

/// The host.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) sandboxes: HashMap<SandboxId, Held>,
    /// What is in the object storage.
    pub(super) backups: HashMap<SandboxId, u64>,
    pub(super) images: HashSet<String>,
    pub(super) volumes: HashSet<VolumeId>,
    /// What images were asked for, in order.
    pub(super) orders: Vec<ImageOrder>,
    /// What builds said.
    pub(super) logs: HashMap<BuildId, Vec<u8>>,
    /// How large an image is.
    pub(super) image_bytes: Option<u64>,
    pub(super) work: HashMap<SandboxId, Work>,
    /// Sandboxes whose files were made and not removed since.
    made: HashSet<SandboxId>,
    /// What went wrong that no runner would notice.
    pub(super) losses: Vec<String>,
    writes: u64,
    pub(super) calls: Vec<Call>,
    pub(super) failures: HashMap<&'static str, VecDeque<Class>>,
    pub(super) late_failures: HashMap<&'static str, VecDeque<Class>>,
    pub(super) delays: HashMap<&'static str, Duration>,
}

/// A sandbox as the host has it.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) running: bool,
    pub(super) paused: bool,
    pub(super) network: Network,
    /// Why its first process ended by itself.
    pub(super) ended: Option<String>,
    /// Stands for its files: another number whenever processes may have written.
    content: u64,
}

impl Memory {
    /// Puts a sandbox where a former process of the server left it.
    pub(super) fn put(&mut self, id: SandboxId, observed: Observed, network: Network) {
        match observed {
            Observed::Started | Observed::Stopped | Observed::Paused => {
                let running = observed != Observed::Stopped;
                let paused = observed == Observed::Paused;
                let content = self.write();
                self.made.insert(id);
                self.sandboxes.insert(id, Held { running, paused, network, ended: None, content });
            }
            _ => {
                self.sandboxes.remove(&id);
                self.made.remove(&id);
            }
        }
    }

    /// Makes the files of a sandbox unless they are there.
    pub(super) fn make(&mut self, id: SandboxId, network: &Network) {
        if self.sandboxes.contains_key(&id) {
            return;
        }
        if !self.made.insert(id) {
            self.losses.push(format!("{id} was made twice"));
        }
        let content = self.write();
        let held = Held { running: false, paused: false, network: network.clone(), ended: None, content };
        self.sandboxes.insert(id, held);
    }

    /// Runs a sandbox whose files are there.
    pub(super) fn run(&mut self, id: SandboxId, network: &Network) -> Result<(), RunnerError> {
        let content = self.write();
        let held = self.held(id, "start")?;
        *held = Held { running: true, paused: false, network: network.clone(), ended: None, content };
        Ok(())
    }

    /// Ends the processes of a sandbox, whose last words change its files.
    pub(super) fn end(&mut self, id: SandboxId, reason: Option<&str>) -> Result<(), RunnerError> {
        let content = self.write();
        let held = self.held(id, "stop")?;
        if held.running {
            held.content = content;
            held.ended = reason.map(str::to_owned);
        }
        (held.running, held.paused) = (false, false);
        Ok(())
    }

    pub(super) fn hold(&mut self, id: SandboxId, paused: bool) -> Result<(), RunnerError> {
        match self.sandboxes.get_mut(&id) {
            Some(held) if held.running => {
                held.paused = paused;
                Ok(())
            }
            _ => Err(error(Class::Gone, format!("pause or resume {id}"))),
        }
    }

    pub(super) fn back_up(&mut self, id: SandboxId) -> Result<(), RunnerError> {
        let content = self.held(id, "back up")?.content;
        self.backups.insert(id, content);
        Ok(())
    }

    /// Removes the files here; they must be in the object storage as they are.
    pub(super) fn release(&mut self, id: SandboxId) {
        let backup = self.backups.get(&id).copied();
        if let Some(held) = self.sandboxes.remove(&id)
            && (held.running || backup != Some(held.content))
        {
            self.losses.push(format!("{id} was released with {held:?}, its backup is of {backup:?}"));
        }
    }

    /// Brings the files back in the place of what is here.
    pub(super) fn restore(&mut self, id: SandboxId, network: &Network) -> Result<(), RunnerError> {
        let Some(content) = self.backups.get(&id).copied() else {
            return Err(error(Class::Reject, format!("restore {id}")));
        };
        if let Some(held) = self.sandboxes.get(&id)
            && (held.running || held.content != content)
        {
            self.losses.push(format!("{id} was restored over {held:?} from {content}"));
        }
        let held = Held { running: false, paused: false, network: network.clone(), ended: None, content };
        self.sandboxes.insert(id, held);
        self.made.insert(id);
        Ok(())
    }

    pub(super) fn destroy(&mut self, id: SandboxId) {
        self.sandboxes.remove(&id);
        self.backups.remove(&id);
        self.made.remove(&id);
    }

    pub(super) fn held(&mut self, id: SandboxId, action: &str) -> Result<&mut Held, RunnerError> {
        self.sandboxes.get_mut(&id).ok_or_else(|| error(Class::Gone, format!("{action} {id}")))
    }

    pub(super) fn observed(&self, id: SandboxId) -> Observed {
        match self.sandboxes.get(&id) {
            None => Observed::Absent,
            Some(held) if held.paused => Observed::Paused,
            Some(held) if held.running => Observed::Started,
            Some(_) => Observed::Stopped,
        }
    }

    fn write(&mut self) -> u64 {
        self.writes += 1;
        self.writes
    }
}

pub(super) fn error(class: Class, action: String) -> RunnerError {
    RunnerError { class, action, source: Some("a cause".into()) }
}
