//! A runner in memory: keeps the contract of [`Runner`], remembers what was asked of it, and fails when told to.

mod memory;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use engine::port::{Captured, Class, ImageOrder, Look, Runner, RunnerError, Saved, Started};
use types::build::{Made, Recipe};
use types::egress::Egress;
use types::inspection::Inspection;
use types::metric::Metrics;
use types::resource::Resources;
use types::sandbox::{Network, Observed, Sandbox};
use types::snapshot::Snapshot;
use types::volume::VolumeMount;
use types::work::Work;
use types::{BuildId, SandboxId, VolumeId};

use crate::fake_runner::memory::{Memory, error};

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
    /// Hold.
    Pause,
    /// Let go on.
    Resume,
    /// Make from another's files and start.
    Fork,
    /// Make an image of its files.
    Capture,
    /// Remove such an image.
    Forget,
    /// Pull or build an image.
    Prepare,
    /// Copy its files into the object storage.
    Backup,
    /// Remove its files, but not that copy.
    Release,
    /// Bring its files back.
    Restore,
    /// Repair its files.
    Recover,
    /// Tell what it is busy with.
    Work,
    /// Tell what it uses.
    Metrics,
    /// Probe.
    Inspect,
    /// Tell what went out.
    Egress,
    /// Make a volume.
    VolumeCreate,
    /// Remove a volume.
    VolumeDelete,
    /// Mount a volume into it.
    Attach,
}

/// A host in memory.
#[derive(Debug, Default)]
pub struct FakeRunner {
    memory: Mutex<Memory>,
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
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Fork => "fork",
            Self::Capture => "capture",
            Self::Forget => "forget",
            Self::Prepare => "prepare",
            Self::Backup => "backup",
            Self::Release => "release",
            Self::Restore => "restore",
            Self::Recover => "recover",
            Self::Work => "work",
            Self::Metrics => "metrics",
            Self::Inspect => "inspect",
            Self::Egress => "egress",
            Self::VolumeCreate => "volume_create",
            Self::VolumeDelete => "volume_delete",
            Self::Attach => "attach",
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
        self.memory().failures.entry(call).or_default().extend(classes);
    }

    /// Lets the next calls named `call` fail after they did what they were asked for, one per class.
    pub fn fail_late(&self, call: &'static str, classes: &[Class]) {
        self.memory().late_failures.entry(call).or_default().extend(classes);
    }

    /// Lets no call fail any more.
    pub fn heal(&self) {
        let mut memory = self.memory();
        memory.failures.clear();
        memory.late_failures.clear();
        memory.delays.clear();
    }

    /// Returns what was lost that no runner would notice: files made afresh over others, or released without a backup.
    pub fn losses(&self) -> Vec<String> {
        self.memory().losses.clone()
    }

    /// Lets every call named `call` take so long.
    pub fn delay(&self, call: &'static str, delay: Duration) {
        self.memory().delays.insert(call, delay);
    }

    /// Puts a sandbox on the host, as a former process of the server left it.
    pub fn put(&self, id: SandboxId, observed: Observed, network: Network) {
        self.memory().put(id, observed, network);
    }

    /// Ends a sandbox's first process, as a crash of it does.
    pub fn end(&self, id: SandboxId, reason: &str) {
        // What is not there has no process to end.
        let _ = self.memory().end(id, Some(reason));
    }

    /// Returns what the host has of a sandbox.
    pub fn observed(&self, id: SandboxId) -> Observed {
        self.memory().observed(id)
    }

    /// Returns the policy in force for a sandbox.
    pub fn network(&self, id: SandboxId) -> Option<Network> {
        self.memory().sandboxes.get(&id).map(|held| held.network.clone())
    }

    /// Tells whether the files of a sandbox are in the object storage.
    pub fn has_backup(&self, id: SandboxId) -> bool {
        self.memory().backups.contains_key(&id)
    }

    /// Puts the files of a sandbox into the object storage, as a former process of the server did.
    pub fn put_backup(&self, id: SandboxId) {
        let mut memory = self.memory();
        if memory.back_up(id).is_err() {
            memory.backups.insert(id, 0);
        }
    }

    /// Tells whether an image was made and not removed.
    pub fn has_image(&self, image: &str) -> bool {
        self.memory().images.contains(image)
    }

    /// Returns the last order of an image that was to be pulled or built.
    pub fn last_order(&self) -> Option<ImageOrder> {
        self.memory().orders.last().cloned()
    }

    /// Lets a build say something.
    pub fn say(&self, id: BuildId, text: &str) {
        self.memory().logs.entry(id).or_default().extend_from_slice(text.as_bytes());
    }

    /// Removes an image behind everybody's back.
    pub fn lose_image(&self, image: &str) {
        self.memory().images.remove(image);
    }

    /// Lets images that are made from now on be so large.
    pub fn set_image_bytes(&self, bytes: u64) {
        self.memory().image_bytes = Some(bytes);
    }

    /// Tells whether a volume was made and not removed.
    pub fn has_volume(&self, id: VolumeId) -> bool {
        self.memory().volumes.contains(&id)
    }

    /// Lets a sandbox be busy with `work` from now on.
    pub fn set_work(&self, id: SandboxId, work: Work) {
        self.memory().work.insert(id, work);
    }

    /// Counts the sandboxes on the host.
    pub fn len(&self) -> usize {
        self.memory().sandboxes.len()
    }

    /// Tells whether the host has no sandbox.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what was asked since the last time, lookups of snapshots left out.
    pub fn take_calls(&self) -> Vec<Call> {
        let calls = std::mem::take(&mut self.memory().calls);
        calls.into_iter().filter(|call| *call != Call::Snapshot).collect()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call, waits as told, and fails as told.
    async fn enter(&self, call: Call) -> Result<(), RunnerError> {
        let delay = {
            let mut memory = self.memory();
            memory.calls.push(call);
            memory.delays.get(call.name()).copied()
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        match self.memory().failures.get_mut(call.name()).and_then(VecDeque::pop_front) {
            Some(class) => Err(error(class, format!("{} as the test said", call.name()))),
            None => Ok(()),
        }
    }

    /// Fails as told, after the call did what it was asked for.
    fn leave<T>(&self, call: Call, done: T) -> Result<T, RunnerError> {
        match self.memory().late_failures.get_mut(call.name()).and_then(VecDeque::pop_front) {
            Some(class) => Err(error(class, format!("{} as the test said, too late", call.name()))),
            None => Ok(done),
        }
    }

    fn started() -> Started {
        Started { daemon_version: Self::DAEMON_VERSION.to_owned() }
    }
}

#[async_trait]
impl Runner for FakeRunner {
    async fn snapshot(&self, name: &str) -> Result<Option<Snapshot>, RunnerError> {
        self.enter(Call::Snapshot).await?;
        Ok((name == Self::SNAPSHOT || self.has_image(name)).then(|| Snapshot {
            name: name.to_owned(),
            image: format!("{name}@sha256:0"),
            resources: Resources::default(),
        }))
    }

    async fn create(&self, sandbox: &Sandbox) -> Result<Started, RunnerError> {
        self.enter(Call::Create).await?;
        self.memory().make(sandbox.id, &sandbox.network);
        self.memory().run(sandbox.id, &sandbox.network)?;
        self.leave(Call::Create, Self::started())
    }

    async fn start(&self, sandbox: &Sandbox) -> Result<Started, RunnerError> {
        self.enter(Call::Start).await?;
        self.memory().run(sandbox.id, &sandbox.network)?;
        self.leave(Call::Start, Self::started())
    }

    async fn stop(&self, id: SandboxId, force: bool) -> Result<(), RunnerError> {
        self.enter(Call::Stop { force }).await?;
        self.memory().end(id, None)?;
        self.leave(Call::Stop { force }, ())
    }

    async fn destroy(&self, sandbox: &Sandbox) -> Result<(), RunnerError> {
        self.enter(Call::Destroy).await?;
        self.memory().destroy(sandbox.id);
        self.leave(Call::Destroy, ())
    }

    async fn pause(&self, id: SandboxId) -> Result<(), RunnerError> {
        self.enter(Call::Pause).await?;
        self.memory().hold(id, true)?;
        self.leave(Call::Pause, ())
    }

    async fn resume(&self, id: SandboxId) -> Result<(), RunnerError> {
        self.enter(Call::Resume).await?;
        self.memory().hold(id, false)?;
        self.leave(Call::Resume, ())
    }

    async fn fork(&self, parent: SandboxId, child: &Sandbox) -> Result<Started, RunnerError> {
        self.enter(Call::Fork).await?;
        self.memory().held(parent, "fork")?;
        self.memory().make(child.id, &child.network);
        self.memory().run(child.id, &child.network)?;
        self.leave(Call::Fork, Self::started())
    }

    async fn capture(&self, id: SandboxId, image: &str) -> Result<Captured, RunnerError> {
        self.enter(Call::Capture).await?;
        self.memory().held(id, "capture")?;
        self.memory().images.insert(image.to_owned());
        self.leave(Call::Capture, Captured { size_bytes: 1 << 20 })
    }

    async fn forget(&self, image: &str) -> Result<(), RunnerError> {
        self.enter(Call::Forget).await?;
        self.memory().images.remove(image);
        self.leave(Call::Forget, ())
    }

    async fn prepare(&self, order: &ImageOrder) -> Result<Made, RunnerError> {
        {
            let mut memory = self.memory();
            memory.orders.push(order.clone());
            let words = match &order.recipe {
                Recipe::Pull { reference } => format!("pulling {reference}\n"),
                Recipe::Dockerfile { text, .. } => text.clone(),
            };
            memory.logs.insert(order.id, words.into_bytes());
        }
        self.enter(Call::Prepare).await?;
        let size_bytes = {
            let mut memory = self.memory();
            memory.images.insert(order.image.clone());
            memory.image_bytes.unwrap_or(1 << 20)
        };
        self.leave(Call::Prepare, Made { digest: "d".repeat(64), size_bytes, entrypoint: Vec::new() })
    }

    async fn build_log(&self, id: BuildId, from: u64) -> Result<Vec<u8>, RunnerError> {
        let memory = self.memory();
        let log = memory.logs.get(&id).map(Vec::as_slice).unwrap_or_default();
        Ok(log.get(usize::try_from(from).unwrap_or(usize::MAX)..).unwrap_or_default().to_vec())
    }

    async fn forget_build_log(&self, id: BuildId) -> Result<(), RunnerError> {
        self.memory().logs.remove(&id);
        Ok(())
    }

    async fn backup(&self, sandbox: &Sandbox) -> Result<Saved, RunnerError> {
        self.enter(Call::Backup).await?;
        self.memory().back_up(sandbox.id)?;
        let object = format!("backup of {}", sandbox.id);
        self.leave(Call::Backup, Saved { object, digest: "0".repeat(64), bytes: 1 << 20 })
    }

    async fn release(&self, id: SandboxId) -> Result<(), RunnerError> {
        self.enter(Call::Release).await?;
        self.memory().release(id);
        self.leave(Call::Release, ())
    }

    async fn restore(&self, sandbox: &Sandbox) -> Result<(), RunnerError> {
        self.enter(Call::Restore).await?;
        self.memory().restore(sandbox.id, &sandbox.network)?;
        self.leave(Call::Restore, ())
    }

    async fn recover(&self, sandbox: &Sandbox) -> Result<(), RunnerError> {
        self.enter(Call::Recover).await?;
        self.memory().held(sandbox.id, "recover")?.ended = None;
        self.leave(Call::Recover, ())
    }

    async fn work(&self, id: SandboxId) -> Result<Work, RunnerError> {
        self.enter(Call::Work).await?;
        Ok(self.memory().work.get(&id).cloned().unwrap_or_default())
    }

    async fn metrics(&self, id: SandboxId) -> Result<Metrics, RunnerError> {
        self.enter(Call::Metrics).await?;
        self.memory().held(id, "measure")?;
        Ok(Metrics { cpu_limit: 1.0, memory_limit_bytes: 1 << 30, ..Metrics::default() })
    }

    async fn observe(&self, id: SandboxId) -> Result<Look, RunnerError> {
        self.enter(Call::Observe).await?;
        let ended = self.memory().sandboxes.get(&id).and_then(|held| held.ended.clone());
        Ok(Look { observed: self.observed(id), ended })
    }

    async fn volume_create(&self, id: VolumeId) -> Result<(), RunnerError> {
        self.enter(Call::VolumeCreate).await?;
        self.memory().volumes.insert(id);
        self.leave(Call::VolumeCreate, ())
    }

    async fn volume_delete(&self, id: VolumeId) -> Result<(), RunnerError> {
        self.enter(Call::VolumeDelete).await?;
        self.memory().volumes.remove(&id);
        self.leave(Call::VolumeDelete, ())
    }

    async fn attach(&self, id: SandboxId, _mount: &VolumeMount) -> Result<(), RunnerError> {
        self.enter(Call::Attach).await?;
        self.memory().held(id, "mount a volume into")?;
        self.leave(Call::Attach, ())
    }

    async fn rename(&self, id: SandboxId, _name: &str) -> Result<(), RunnerError> {
        self.memory().held(id, "rename").map(|_| ())
    }

    async fn set_network(&self, id: SandboxId, network: &Network) -> Result<(), RunnerError> {
        self.enter(Call::SetNetwork).await?;
        self.memory().held(id, "set the network of")?.network = network.clone();
        self.leave(Call::SetNetwork, ())
    }

    async fn resize(&self, id: SandboxId, _resources: Resources) -> Result<(), RunnerError> {
        self.enter(Call::Resize).await?;
        self.memory().held(id, "resize")?;
        self.leave(Call::Resize, ())
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
