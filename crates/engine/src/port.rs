//! What the engine needs of a runner. The same trait is met by the real one and by `testkit::FakeRunner`.

use async_trait::async_trait;
use types::build::{Made, Recipe};
use types::egress::Egress;
use types::inspection::Inspection;
use types::metric::Metrics;
use types::registry::Login;
use types::resource::Resources;
use types::sandbox::{Network, Observed, Sandbox};
use types::snapshot::Snapshot;
use types::volume::VolumeMount;
use types::work::Work;
use types::{BuildId, OrganizationId, SandboxId, VolumeId};

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

    /// Removes everything of the sandbox, its backup included; succeeds when there is nothing.
    async fn destroy(&self, sandbox: &Sandbox) -> Result<(), RunnerError>;

    /// Holds every process of a running sandbox; memory and connections stay.
    async fn pause(&self, id: SandboxId) -> Result<(), RunnerError>;

    /// Lets the processes of a paused sandbox go on.
    async fn resume(&self, id: SandboxId) -> Result<(), RunnerError>;

    /// Makes and starts `child` with the files that `parent` has now, running or not; returns once it takes its first
    /// command. A failed fork leaves nothing behind.
    async fn fork(&self, parent: SandboxId, child: &Sandbox) -> Result<Started, RunnerError>;

    /// Makes an image of the files that the sandbox has now, running or not.
    async fn capture(&self, id: SandboxId, image: &str) -> Result<Captured, RunnerError>;

    /// Removes an image that [`Runner::capture`] or [`Runner::prepare`] made; succeeds when there is none.
    async fn forget(&self, image: &str) -> Result<(), RunnerError>;

    /// Pulls or builds an image. Who drops the future gives it up: what was made so far may stay, to be gone on with, and is
    /// removed by [`Runner::forget`].
    async fn prepare(&self, order: &ImageOrder) -> Result<Made, RunnerError>;

    /// Returns what a build has said so far, from the byte `from` on and not more than one answer holds; empty at its end.
    async fn build_log(&self, id: BuildId, from: u64) -> Result<Vec<u8>, RunnerError>;

    /// Removes what a build said.
    async fn forget_build_log(&self, id: BuildId) -> Result<(), RunnerError>;

    /// Copies the files that the sandbox has now into the object storage, running or not.
    async fn backup(&self, sandbox: &Sandbox) -> Result<Saved, RunnerError>;

    /// Removes everything of the sandbox but its backup; succeeds when there is nothing.
    async fn release(&self, id: SandboxId) -> Result<(), RunnerError>;

    /// Brings the files of the sandbox back from its backup and checks them; nothing runs afterwards.
    async fn restore(&self, sandbox: &Sandbox) -> Result<(), RunnerError>;

    /// Repairs the files of the sandbox where they are, so that it can be started.
    async fn recover(&self, sandbox: &Sandbox) -> Result<(), RunnerError>;

    /// Looks at the host.
    async fn observe(&self, id: SandboxId) -> Result<Look, RunnerError>;

    /// Applies a network policy to the sandbox, running or not.
    async fn set_network(&self, id: SandboxId, network: &Network) -> Result<(), RunnerError>;

    /// Makes the place of a volume's files; one that is there stays as it is.
    async fn volume_create(&self, id: VolumeId) -> Result<(), RunnerError>;

    /// Removes a volume's files; succeeds when there are none.
    async fn volume_delete(&self, id: VolumeId) -> Result<(), RunnerError>;

    /// Mounts a volume into the sandbox, now if it runs, and at each start.
    async fn attach(&self, id: SandboxId, mount: &VolumeMount) -> Result<(), RunnerError>;

    /// Changes what the sandbox is called by those that are linked to it.
    async fn rename(&self, id: SandboxId, name: &str) -> Result<(), RunnerError>;

    /// Changes the limits of the sandbox, running or not. What cannot be met changes nothing and is rejected.
    async fn resize(&self, id: SandboxId, resources: Resources) -> Result<(), RunnerError>;

    /// Probes how the sandbox is isolated, and what it has run into.
    async fn inspect(&self, id: SandboxId) -> Result<Inspection, RunnerError>;

    /// Tells what the sandbox is busy with.
    async fn work(&self, id: SandboxId) -> Result<Work, RunnerError>;

    /// Tells what the sandbox uses now.
    async fn metrics(&self, id: SandboxId) -> Result<Metrics, RunnerError>;

    /// Tells what became of the packets and names that the sandbox asked for.
    async fn egress(&self, id: SandboxId) -> Result<Egress, RunnerError>;
}

/// What a look at the host saw of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// `Absent`, `Stopped`, `Paused` or `Started`.
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

/// An image that was made of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// What it adds to the image that the sandbox was made from.
    pub size_bytes: u64,
}

/// An image that is to be pulled or built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOrder {
    /// Names what is said meanwhile.
    pub id: BuildId,
    /// The tenant that it is for, and whose archives it copies from.
    pub organization_id: OrganizationId,
    /// The reference that it gets in the image store.
    pub image: String,
    /// What makes it.
    pub recipe: Recipe,
    /// What sandboxes from it run first, in place of what the image says; for one that is pulled.
    pub entrypoint: Option<Vec<String>>,
    /// What is shown to registries; of two for one host the first.
    pub logins: Vec<Login>,
}

/// A copy of a sandbox's files in the object storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Its key.
    pub object: String,
    /// SHA-256 of what it holds, unpacked; lowercase hexadecimal.
    pub digest: String,
    /// Its size in the object storage.
    pub bytes: u64,
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
