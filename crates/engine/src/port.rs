//! What the engine needs of a runner. The same trait is met by the real one and by `testkit::FakeRunner`.

use async_trait::async_trait;
use types::SandboxId;
use types::egress::Egress;
use types::inspection::Inspection;
use types::resource::Resources;
use types::sandbox::{Network, Observed, Sandbox};
use types::snapshot::Snapshot;

/// A host that makes sandboxes real. Every call may be repeated after a crash: it returns what holds now.
#[async_trait]
pub trait Runner: std::fmt::Debug + Send + Sync {
    /// Looks up an image by the name that users write; `None` when this runner has none of that name.
    async fn snapshot(&self, name: &str) -> Result<Option<Snapshot>, RunnerError>;

    /// Makes the sandbox's files, limits and link and starts it; returns once it takes its first command.
    /// A failed create leaves nothing behind.
    async fn create(&self, sandbox: &Sandbox) -> Result<Started, RunnerError>;

    /// Starts a sandbox whose files exist; returns once it takes its first command.
    async fn start(&self, sandbox: &Sandbox) -> Result<Started, RunnerError>;

    /// Ends every process of the sandbox and keeps its files; with `force` without asking the processes first.
    async fn stop(&self, id: SandboxId, force: bool) -> Result<(), RunnerError>;

    /// Removes everything of the sandbox; succeeds when there is nothing.
    async fn destroy(&self, id: SandboxId) -> Result<(), RunnerError>;

    /// Looks at the host.
    async fn observe(&self, id: SandboxId) -> Result<Look, RunnerError>;

    /// Applies a network policy to the sandbox, running or not.
    async fn set_network(&self, id: SandboxId, network: &Network) -> Result<(), RunnerError>;

    /// Changes the limits of the sandbox, running or not. What cannot be met changes nothing and is rejected.
    async fn resize(&self, id: SandboxId, resources: Resources) -> Result<(), RunnerError>;

    /// Probes how the sandbox is isolated, and what it has run into.
    async fn inspect(&self, id: SandboxId) -> Result<Inspection, RunnerError>;

    /// Tells what became of the packets and names that the sandbox asked for.
    async fn egress(&self, id: SandboxId) -> Result<Egress, RunnerError>;
}

/// What a look at the host saw of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// `Absent`, `Stopped` or `Started`.
    pub observed: Observed,
    /// Why its first process ended when nobody had asked it to, for a person.
    pub ended: Option<String>,
}

/// A sandbox that takes commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Version of the daemon inside.
    pub daemon_version: String,
}

/// What to do about a runner's failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Try again later: the host was busy or away.
    Retry,
    /// Trying again cannot help: the request or the image is at fault.
    Reject,
    /// What it was about no longer exists.
    Gone,
    /// A mistake of ours.
    Bug,
}

/// A runner's failure: its class, and what it was doing.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct RunnerError {
    /// What to do about it.
    pub class: Class,
    /// The action that failed, with its operands, for the sandbox's error reason.
    pub action: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}
