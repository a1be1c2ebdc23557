//! A runner in memory: keeps the contract of [`Runner`], remembers what was asked of it, and fails when told to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use engine::port::{Class, Look, Runner, RunnerError, Started};
use types::SandboxId;
use types::egress::Egress;
use types::inspection::Inspection;
use types::resource::Resources;
use types::sandbox::{Network, Observed, Sandbox};
use types::snapshot::Snapshot;

/// What was asked of the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Look up an image.
    Snapshot,
    /// Make and start.
    Create,
    /// Start.
    Start,
    /// Stop.
    Stop {
        /// Without asking the processes.
        force: bool,
    },
    /// Remove.
    Destroy,
    /// Look.
    Observe,
    /// Change the network.
    SetNetwork,
    /// Change the limits.
    Resize,
    /// Probe.
    Inspect,
    /// Tell what went out.
    Egress,
}

/// A host in memory.
#[derive(Debug, Default)]
pub struct FakeRunner {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sandboxes: HashMap<SandboxId, Held>,
    calls: Vec<Call>,
    failures: HashMap<&'static str, VecDeque<Class>>,
    delays: HashMap<&'static str, Duration>,
}

/// A sandbox as the host has it.
#[derive(Debug, Clone)]
struct Held {
    running: bool,
    network: Network,
    /// Why its first process ended by itself.
    ended: Option<String>,
}

impl Call {
    /// Names the call, whatever its operands, for [`FakeRunner::fail`] and [`FakeRunner::delay`].
    const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Create => "create",
            Self::Start => "start",
            Self::Stop { .. } => "stop",
            Self::Destroy => "destroy",
            Self::Observe => "observe",
            Self::SetNetwork => "set_network",
            Self::Resize => "resize",
            Self::Inspect => "inspect",
            Self::Egress => "egress",
        }
    }
}

impl FakeRunner {
    /// The snapshot that every fake runner has.
    pub const SNAPSHOT: &'static str = "default";
    /// What its daemon calls itself.
    pub const DAEMON_VERSION: &'static str = "0.0.0-fake";

    /// Lets the next calls named `call` fail, one per class.
    pub fn fail(&self, call: &'static str, classes: &[Class]) {
        self.state().failures.entry(call).or_default().extend(classes);
    }

    /// Lets every call named `call` take so long.
    pub fn delay(&self, call: &'static str, delay: Duration) {
        self.state().delays.insert(call, delay);
    }

    /// Puts a sandbox on the host, as a former process of the server left it.
    pub fn put(&self, id: SandboxId, observed: Observed, network: Network) {
        let mut state = self.state();
        match observed {
            Observed::Started | Observed::Stopped => {
                let running = observed == Observed::Started;
                state.sandboxes.insert(id, Held { running, network, ended: None });
            }
            _ => {
                state.sandboxes.remove(&id);
            }
        }
    }

    /// Ends a sandbox's first process, as a crash of it does.
    pub fn end(&self, id: SandboxId, reason: &str) {
        if let Some(held) = self.state().sandboxes.get_mut(&id) {
            held.running = false;
            held.ended = Some(reason.to_owned());
        }
    }

    /// Returns what the host has of a sandbox.
    pub fn observed(&self, id: SandboxId) -> Observed {
        match self.state().sandboxes.get(&id) {
            None => Observed::Absent,
            Some(held) if held.running => Observed::Started,
            Some(_) => Observed::Stopped,
        }
    }

    /// Returns the policy in force for a sandbox.
    pub fn network(&self, id: SandboxId) -> Option<Network> {
        self.state().sandboxes.get(&id).map(|held| held.network.clone())
    }

    /// Counts the sandboxes on the host.
    pub fn len(&self) -> usize {
        self.state().sandboxes.len()
    }

    /// Tells whether the host has no sandbox.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what was asked since the last time, lookups of snapshots left out.
    pub fn take_calls(&self) -> Vec<Call> {
        let calls = std::mem::take(&mut self.state().calls);
        calls.into_iter().filter(|call| *call != Call::Snapshot).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call, waits as told, and fails as told.
    async fn enter(&self, call: Call) -> Result<(), RunnerError> {
        let delay = {
            let mut state = self.state();
            state.calls.push(call);
            state.delays.get(call.name()).copied()
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        match self.state().failures.get_mut(call.name()).and_then(VecDeque::pop_front) {
            Some(class) => Err(error(class, format!("{} as the test said", call.name()))),
            None => Ok(()),
        }
    }

    fn run(&self, sandbox: &Sandbox, must_exist: bool) -> Result<Started, RunnerError> {
        let mut state = self.state();
        if must_exist && !state.sandboxes.contains_key(&sandbox.id) {
            return Err(error(Class::Gone, format!("start {}", sandbox.id)));
        }
        let held = Held { running: true, network: sandbox.network.clone(), ended: None };
        state.sandboxes.insert(sandbox.id, held);
        Ok(Started { daemon_version: Self::DAEMON_VERSION.to_owned() })
    }
}

fn error(class: Class, action: String) -> RunnerError {
    RunnerError { class, action, source: Some("a cause".into()) }
}

#[async_trait]
impl Runner for FakeRunner {
    async fn snapshot(&self, name: &str) -> Result<Option<Snapshot>, RunnerError> {
        self.enter(Call::Snapshot).await?;
        Ok((name == Self::SNAPSHOT).then(|| Snapshot {
            name: name.to_owned(),
            image: format!("{name}@sha256:0"),
            resources: Resources::default(),
        }))
    }

    async fn create(&self, sandbox: &Sandbox) -> Result<Started, RunnerError> {
        self.enter(Call::Create).await?;
        self.run(sandbox, false)
    }

    async fn start(&self, sandbox: &Sandbox) -> Result<Started, RunnerError> {
        self.enter(Call::Start).await?;
        self.run(sandbox, true)
    }

    async fn stop(&self, id: SandboxId, force: bool) -> Result<(), RunnerError> {
        self.enter(Call::Stop { force }).await?;
        match self.state().sandboxes.get_mut(&id) {
            Some(held) => {
                held.running = false;
                Ok(())
            }
            None => Err(error(Class::Gone, format!("stop {id}"))),
        }
    }

    async fn destroy(&self, id: SandboxId) -> Result<(), RunnerError> {
        self.enter(Call::Destroy).await?;
        self.state().sandboxes.remove(&id);
        Ok(())
    }

    async fn observe(&self, id: SandboxId) -> Result<Look, RunnerError> {
        self.enter(Call::Observe).await?;
        let ended = self.state().sandboxes.get(&id).and_then(|held| held.ended.clone());
        Ok(Look { observed: self.observed(id), ended })
    }

    async fn set_network(&self, id: SandboxId, network: &Network) -> Result<(), RunnerError> {
        self.enter(Call::SetNetwork).await?;
        match self.state().sandboxes.get_mut(&id) {
            Some(held) => {
                held.network = network.clone();
                Ok(())
            }
            None => Err(error(Class::Gone, format!("set the network of {id}"))),
        }
    }

    async fn resize(&self, id: SandboxId, _resources: Resources) -> Result<(), RunnerError> {
        self.enter(Call::Resize).await?;
        let known = self.state().sandboxes.contains_key(&id);
        known.then_some(()).ok_or_else(|| error(Class::Gone, format!("resize {id}")))
    }

    async fn inspect(&self, _id: SandboxId) -> Result<Inspection, RunnerError> {
        self.enter(Call::Inspect).await?;
        Ok(Inspection::default())
    }

    async fn egress(&self, _id: SandboxId) -> Result<Egress, RunnerError> {
        self.enter(Call::Egress).await?;
        Ok(Egress::default())
    }
}
