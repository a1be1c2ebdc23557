//! The engine's runner, met by the host of this very process.

use std::sync::Arc;

use async_trait::async_trait;
use engine::port::{Captured, Class, ImageOrder, Look, Runner, RunnerError, Saved, Started};
use runner::error::{Class as HostClass, chain};
use runner::host::{Host, Presence};
use runner::sandbox::spec::{Mount, Spec};
use service::Tasks;
use storage::ObjectStorage;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use types::build::{BUILT, Made};
use types::egress::Egress;
use types::inspection::Inspection;
use types::metric::Metrics;
use types::resource::Resources;
use types::sandbox::{Network, Observed, Sandbox};
use types::snapshot::Snapshot;
use types::volume::VolumeMount;
use types::work::Work;
use types::{BuildId, SandboxId, VolumeId};

use crate::image::Images;
use crate::{discretion, general, metric, objects};

const GIBIBYTE: u64 = 1 << 30;

/// Hands every call to a thread that may block.
#[derive(Debug)]
pub(crate) struct LocalRunner {
    host: Arc<Host>,
    storage: ObjectStorage,
    tasks: Tasks,
    images: Images,
    /// Hears of sandboxes that ended, for whatever reason.
    ended: UnboundedSender<SandboxId>,
}

impl LocalRunner {
    /// Wraps a host, whose archived sandboxes are in `storage`; `ended` hears the ids of sandboxes whose processes are
    /// gone.
    pub(crate) fn new(
        host: Arc<Host>,
        storage: ObjectStorage,
        tasks: Tasks,
        images: Images,
        ended: UnboundedSender<SandboxId>,
    ) -> Self {
        Self { host, storage, tasks, images, ended }
    }

    /// Tells of the end of a sandbox that runs.
    pub(crate) fn watch(&self, id: SandboxId) {
        let (host, ended) = (self.host.clone(), self.ended.clone());
        self.tasks.spawn_until_shutdown("sandbox watch", async move {
            // Another operation may hold the sandbox for a while.
            let process = tokio::task::spawn_blocking(move || host.process(&id.to_string())).await;
            let Ok(Some(pidfd)) = process else { return };
            #[expect(
                deprecated,
                reason = "its successor is unsafe for types other than owned descriptors; this is one"
            )]
            let registered = AsyncFd::new(pidfd);
            let Ok(pidfd) = registered else { return };
            if pidfd.readable().await.is_ok() {
                // Nobody listens once the server shuts down.
                let _ = ended.send(id);
            }
        });
    }

    /// Takes a step, on this very thread, while another takes over what else it had to do: to hand the call to a thread
    /// and wait for its answer costs two switches, which is more than the call itself where the processors are busy.
    /// The engine bounds how many steps there are at once.
    fn step<T>(
        &self,
        call: impl FnOnce(&Host) -> Result<T, runner::error::RunnerError> + Send,
    ) -> Result<T, RunnerError> {
        let called = || std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(&self.host)));
        tokio::task::block_in_place(called)
            .map_or_else(|_| Err(panicked()), |done| done.map_err(|error| translate(&error)))
    }

    /// Copies something that may be large, on a thread that may wait for minutes.
    async fn copy<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Host, &ObjectStorage) -> Result<T, runner::error::RunnerError> + Send + 'static,
    ) -> Result<T, RunnerError> {
        let storage = self.storage.clone();
        self.look(move |host| call(host, &storage)).await
    }

    /// Looks at something for a request, on a thread that may wait: a sandbox that is being stopped is looked at after
    /// that, and requests are many.
    async fn look<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Host) -> Result<T, runner::error::RunnerError> + Send + 'static,
    ) -> Result<T, RunnerError> {
        let host = self.host.clone();
        let done = tokio::task::spawn_blocking(move || call(&host)).await;
        done.map_or_else(|_| Err(panicked()), |done| done.map_err(|error| translate(&error)))
    }
}

/// The panic's own words are in the log already.
fn panicked() -> RunnerError {
    RunnerError { class: Class::Bug, action: "call the host: it panicked".to_owned(), source: None }
}

/// Makes of a failure with a file of a build's words one of the host's.
fn logged<T>(done: Result<std::io::Result<T>, tokio::task::JoinError>) -> Result<T, RunnerError> {
    let done = done.map_err(|_| panicked())?;
    done.map_err(|error| RunnerError {
        class: Class::Retry,
        action: "use what a build said".to_owned(),
        source: Some(Cause(error.kind().to_string()).into()),
    })
}

fn translate(error: &runner::error::RunnerError) -> RunnerError {
    let class = match error.class() {
        HostClass::Retry => Class::Retry,
        HostClass::Reject => Class::Reject,
        HostClass::Gone => Class::Gone,
    };
    let whole = chain(error);
    let told = discretion::without_paths(&whole);
    if told != whole {
        // The tenant is told the rest without them.
        warn!("a call of the host failed, with paths: {whole}");
    }
    let action = discretion::without_paths(&error.to_string());
    let source = match error {
        // What a service of the operator's answered, addresses and all, is for the log.
        runner::error::RunnerError::Storage { source, .. } => {
            warn!("the object storage failed: {whole}");
            Some(Cause(source.to_string()).into())
        }
        other => std::error::Error::source(other)
            .map(|cause| Cause(discretion::without_paths(&chain(cause))).into()),
    };
    RunnerError { class, action, source }
}

/// The causes below an error, whose own words are the engine's action already.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

/// Returns thousandths of a processor, bytes of memory and bytes of disk.
fn amounts(resources: Resources) -> (u32, u64, u64) {
    let Resources { cpu, memory_gib, disk_gib, .. } = resources;
    (cpu.saturating_mul(1000), u64::from(memory_gib) * GIBIBYTE, u64::from(disk_gib) * GIBIBYTE)
}

fn mounted(mount: &VolumeMount) -> Mount {
    let VolumeMount { volume_id, path, subpath, is_read_only } = mount.clone();
    Mount { volume_id: volume_id.to_string(), path, subpath, is_read_only }
}

fn order(sandbox: &Sandbox) -> Spec {
    let (cpu_thousandths, memory_bytes, disk_bytes) = amounts(sandbox.resources);
    let mut spec = Spec {
        id: sandbox.id.to_string(),
        organization_id: sandbox.organization_id.to_string(),
        region: sandbox.region.clone(),
        snapshot: sandbox.snapshot.clone(),
        image: sandbox.image.clone(),
        user: sandbox.user.clone(),
        environment: sandbox.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        cpu_thousandths,
        memory_bytes,
        disk_bytes,
        block_all: false,
        allow_list: Vec::new(),
        domain_allow_list: Vec::new(),
        name: sandbox.name.clone(),
        linked: sandbox.linked_id.map(|owner| owner.to_string()),
        volumes: sandbox.volumes.iter().map(mounted).collect(),
    };
    spec.set_network(&sandbox.network);
    spec
}

#[async_trait]
impl Runner for LocalRunner {
    async fn snapshot(&self, name: &str) -> Result<Option<Snapshot>, RunnerError> {
        if !general::is_general(name) && !name.starts_with(BUILT) {
            return Ok(None);
        }
        let name = name.to_owned();
        let image = self.look(move |host| host.images().find(&name)).await?;
        Ok(image.map(|image| Snapshot {
            name: image.name.clone(),
            image: image.name,
            resources: Resources::default(),
        }))
    }

    async fn create(&self, sandbox: &Sandbox) -> Result<Started, RunnerError> {
        let spec = order(sandbox);
        let daemon_version = self.step(move |host| host.create(&spec))?;
        self.watch(sandbox.id);
        Ok(Started { daemon_version })
    }

    async fn start(&self, sandbox: &Sandbox) -> Result<Started, RunnerError> {
        let Spec { id, name, linked, .. } = order(sandbox);
        let network = sandbox.network.clone();
        // The policy may have changed while it was stopped: it holds from the first packet on.
        let start = move |host: &Host| {
            host.set_network(&id, &network)?;
            host.set_link(&id, &name, linked.as_deref())?;
            host.start(&id)
        };
        let daemon_version = self.step(start)?;
        self.watch(sandbox.id);
        Ok(Started { daemon_version })
    }

    async fn stop(&self, id: SandboxId, force: bool) -> Result<(), RunnerError> {
        self.step(move |host| host.stop(&id.to_string(), force))
    }

    async fn destroy(&self, sandbox: &Sandbox) -> Result<(), RunnerError> {
        let id = sandbox.id.to_string();
        self.step(|host| host.destroy(&id))?;
        if objects::may_have(sandbox) {
            let place = objects::shelf(sandbox);
            self.copy(move |host, storage| host.discard(&id, place, storage)).await?;
        }
        Ok(())
    }

    async fn pause(&self, id: SandboxId) -> Result<(), RunnerError> {
        self.step(move |host| host.pause(&id.to_string()))
    }

    async fn resume(&self, id: SandboxId) -> Result<(), RunnerError> {
        self.step(move |host| host.resume(&id.to_string()))
    }

    async fn fork(&self, parent: SandboxId, child: &Sandbox) -> Result<Started, RunnerError> {
        let spec = order(child);
        // Not as a step: forks of one sandbox wait for each other, for as long as its disk takes to copy.
        let forked = self.look(move |host| host.fork(&parent.to_string(), &spec)).await?;
        if let Some(way) = forked.way {
            let held_us = u64::try_from(forked.held.as_micros()).unwrap_or(u64::MAX);
            debug!(sandbox.id = %child.id, %parent, held_us, ?way, "copied the disk of sandbox {parent}");
        }
        self.watch(child.id);
        Ok(Started { daemon_version: forked.daemon_version })
    }

    async fn capture(&self, id: SandboxId, image: &str) -> Result<Captured, RunnerError> {
        let image = image.to_owned();
        let size_bytes = self.copy(move |host, _| host.capture(&id.to_string(), &image)).await?;
        Ok(Captured { size_bytes })
    }

    async fn forget(&self, image: &str) -> Result<(), RunnerError> {
        let image = image.to_owned();
        let is_built = image.starts_with(BUILT);
        self.copy(move |host, _| if is_built { host.remove_image(&image) } else { host.forget(&image) }).await
    }

    async fn prepare(&self, order: &ImageOrder) -> Result<Made, RunnerError> {
        let stop = CancellationToken::new();
        // Whoever gives this up drops it.
        let _given_up = stop.clone().drop_guard();
        let (images, order) = (self.images.clone(), order.clone());
        let done = tokio::task::spawn_blocking(move || images.prepare(&order, &stop)).await;
        done.unwrap_or_else(|_| Err(panicked()))
    }

    async fn build_log(&self, id: BuildId, from: u64) -> Result<Vec<u8>, RunnerError> {
        let logs = self.images.logs.clone();
        logged(tokio::task::spawn_blocking(move || logs.read(id, from)).await)
    }

    async fn forget_build_log(&self, id: BuildId) -> Result<(), RunnerError> {
        let logs = self.images.logs.clone();
        logged(tokio::task::spawn_blocking(move || logs.remove(id)).await)
    }

    async fn backup(&self, sandbox: &Sandbox) -> Result<Saved, RunnerError> {
        let (id, place, kept) = (sandbox.id.to_string(), objects::shelf(sandbox), objects::known(sandbox));
        let saved = self.copy(move |host, storage| host.backup(&id, place, kept.as_ref(), storage)).await?;
        Ok(Saved { object: saved.object.to_string(), digest: saved.digest, bytes: saved.bytes })
    }

    async fn release(&self, id: SandboxId) -> Result<(), RunnerError> {
        self.copy(move |host, _| host.release(&id.to_string())).await
    }

    async fn restore(&self, sandbox: &Sandbox) -> Result<(), RunnerError> {
        let (spec, (object, digest)) = (order(sandbox), objects::wanted(sandbox)?);
        self.copy(move |host, storage| host.restore(&spec, &object, &digest, storage)).await
    }

    async fn recover(&self, sandbox: &Sandbox) -> Result<(), RunnerError> {
        let id = sandbox.id.to_string();
        self.step(move |host| host.recover(&id)).map(drop)
    }

    async fn work(&self, id: SandboxId) -> Result<Work, RunnerError> {
        self.look(move |host| host.work(&id.to_string())).await
    }

    async fn metrics(&self, id: SandboxId) -> Result<Metrics, RunnerError> {
        let asked = metric::ask(self.host.socket(&id.to_string())).await;
        asked.map_err(|error| RunnerError {
            class: Class::Retry,
            action: format!("measure what sandbox {id} uses"),
            source: Some(error.into()),
        })
    }

    async fn observe(&self, id: SandboxId) -> Result<Look, RunnerError> {
        let seen = self.step(move |host| host.observe(&id.to_string()))?;
        let observed = match seen.presence {
            Presence::Absent => Observed::Absent,
            Presence::Stopped => Observed::Stopped,
            Presence::Started => Observed::Started,
            Presence::Paused => Observed::Paused,
        };
        Ok(Look { observed, ended: seen.ended })
    }

    async fn volume_create(&self, id: VolumeId) -> Result<(), RunnerError> {
        self.look(move |host| host.volumes().make(&id.to_string())).await
    }

    async fn volume_delete(&self, id: VolumeId) -> Result<(), RunnerError> {
        self.look(move |host| host.volumes().remove(&id.to_string())).await
    }

    async fn attach(&self, id: SandboxId, mount: &VolumeMount) -> Result<(), RunnerError> {
        let mount = mounted(mount);
        self.look(move |host| host.attach(&id.to_string(), &mount)).await
    }

    async fn rename(&self, id: SandboxId, name: &str) -> Result<(), RunnerError> {
        self.step(move |host| host.set_link(&id.to_string(), name, None))
    }

    async fn set_network(&self, id: SandboxId, network: &Network) -> Result<(), RunnerError> {
        let network = network.clone();
        self.step(move |host| host.set_network(&id.to_string(), &network))
    }

    async fn resize(&self, id: SandboxId, resources: Resources) -> Result<(), RunnerError> {
        let (cpu_thousandths, memory_bytes, disk_bytes) = amounts(resources);
        self.step(move |host| host.resize(&id.to_string(), cpu_thousandths, memory_bytes, disk_bytes))
    }

    async fn inspect(&self, id: SandboxId) -> Result<Inspection, RunnerError> {
        let look = move |host: &Host| {
            let id = id.to_string();
            Ok(Inspection { isolation: host.isolation(&id)?, conditions: host.conditions(&id)? })
        };
        self.look(look).await
    }

    async fn egress(&self, id: SandboxId) -> Result<Egress, RunnerError> {
        self.look(move |host| host.egress(&id.to_string())).await
    }
}
