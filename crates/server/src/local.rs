//! The engine's runner, met by the host of this very process.

use std::sync::Arc;

use async_trait::async_trait;
use engine::port::{Class, Runner, RunnerError, Started};
use runner::error::{Class as HostClass, chain};
use runner::host::{Host, Presence};
use runner::sandbox::spec::Spec;
use service::Tasks;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::UnboundedSender;
use types::SandboxId;
use types::resource::Resources;
use types::sandbox::{Network, Observed, Sandbox};
use types::snapshot::Snapshot;

const GIBIBYTE: u64 = 1 << 30;

/// Hands every call to a thread that may block.
#[derive(Debug)]
pub(crate) struct LocalRunner {
    host: Arc<Host>,
    tasks: Tasks,
    /// Hears of sandboxes that ended, for whatever reason.
    ended: UnboundedSender<SandboxId>,
}

impl LocalRunner {
    /// Wraps a host; `ended` hears the ids of sandboxes whose processes are gone.
    pub(crate) fn new(host: Arc<Host>, tasks: Tasks, ended: UnboundedSender<SandboxId>) -> Self {
        Self { host, tasks, ended }
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

    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Host) -> Result<T, runner::error::RunnerError> + Send + 'static,
    ) -> Result<T, RunnerError> {
        let host = self.host.clone();
        match tokio::task::spawn_blocking(move || call(&host)).await {
            Ok(done) => done.map_err(translate),
            Err(stopped) => Err(RunnerError {
                class: Class::Bug,
                action: "call the host".to_owned(),
                source: Some(stopped.into()),
            }),
        }
    }
}

fn translate(error: runner::error::RunnerError) -> RunnerError {
    let class = match error.class() {
        HostClass::Retry => Class::Retry,
        HostClass::Reject => Class::Reject,
        HostClass::Gone => Class::Gone,
    };
    let action = error.to_string();
    let source = std::error::Error::source(&error).is_some().then(|| Cause(error).into());
    RunnerError { class, action, source }
}

/// Prints the causes below an error, whose own words are the engine's action already.
#[derive(Debug)]
struct Cause(runner::error::RunnerError);

impl std::fmt::Display for Cause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::error::Error::source(&self.0).map_or(Ok(()), |cause| formatter.write_str(&chain(cause)))
    }
}

impl std::error::Error for Cause {}

fn order(sandbox: &Sandbox) -> Spec {
    Spec {
        id: sandbox.id.to_string(),
        organization_id: sandbox.organization_id.to_string(),
        region: sandbox.region.clone(),
        snapshot: sandbox.snapshot.clone(),
        image: sandbox.image.clone(),
        user: sandbox.user.clone(),
        environment: sandbox.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        cpu_thousandths: sandbox.resources.cpu.saturating_mul(1000),
        memory_bytes: u64::from(sandbox.resources.memory_gib) * GIBIBYTE,
        disk_bytes: u64::from(sandbox.resources.disk_gib) * GIBIBYTE,
        block_all: sandbox.network.block_all,
    }
}

#[async_trait]
impl Runner for LocalRunner {
    async fn snapshot(&self, name: &str) -> Result<Option<Snapshot>, RunnerError> {
        let name = name.to_owned();
        let image = self.blocking(move |host| host.images().find(&name)).await?;
        Ok(image.map(|image| Snapshot {
            name: image.name.clone(),
            image: image.name,
            resources: Resources::default(),
        }))
    }

    async fn create(&self, sandbox: &Sandbox) -> Result<Started, RunnerError> {
        let spec = order(sandbox);
        let daemon_version = self.blocking(move |host| host.create(&spec)).await?;
        self.watch(sandbox.id);
        Ok(Started { daemon_version })
    }

    async fn start(&self, sandbox: &Sandbox) -> Result<Started, RunnerError> {
        let id = sandbox.id.to_string();
        let daemon_version = self.blocking(move |host| host.start(&id)).await?;
        self.watch(sandbox.id);
        Ok(Started { daemon_version })
    }

    async fn stop(&self, id: SandboxId, force: bool) -> Result<(), RunnerError> {
        self.blocking(move |host| host.stop(&id.to_string(), force)).await
    }

    async fn destroy(&self, id: SandboxId) -> Result<(), RunnerError> {
        self.blocking(move |host| host.destroy(&id.to_string())).await
    }

    async fn observe(&self, id: SandboxId) -> Result<Observed, RunnerError> {
        let presence = self.blocking(move |host| host.observe(&id.to_string())).await?;
        Ok(match presence {
            Presence::Absent => Observed::Absent,
            Presence::Stopped => Observed::Stopped,
            Presence::Started => Observed::Started,
        })
    }

    async fn set_network(&self, id: SandboxId, network: Network) -> Result<(), RunnerError> {
        self.blocking(move |host| host.set_block_all(&id.to_string(), network.block_all)).await
    }
}
