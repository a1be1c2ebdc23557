//! Keeps true: every sandbox is what was asked for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store::Store;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};
use types::sandbox::Sandbox;
use types::{Clock, SandboxId};

use crate::act::act;
use crate::awake::{KeepAwake, Looks};
use crate::deadline::{Deadlines, Failed};
use crate::driver::{Driver, Reconcile};
use crate::loops::build::Maker;
use crate::loops::patience::{LONGEST_PAUSE, Patience, pause};
use crate::plan::{Step, plan};
use crate::port::{Class, Runner, RunnerError};
use crate::seen::Seen;

/// Brings sandboxes to rest with one runner.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) store: Store,
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) permits: Permits,
    pub(crate) deadlines: Deadlines,
    pub(crate) first_pause: Duration,
    pub(crate) give_up_after: Duration,
    /// What keeps a sandbox awake whose labels do not say.
    pub(crate) keep_awake: KeepAwake,
    pub(crate) looks: Looks,
    /// Makes images.
    pub(crate) builds: Driver<Maker>,
    /// After how long a snapshot that nobody used is put out of use.
    pub(crate) unused_after: Option<Duration>,
    /// Hears of other sandboxes that were changed on the way.
    pub(crate) others: UnboundedSender<Sandbox>,
    /// Steps that have a deadline, each a task of its own, because one that holds its thread cannot be waited for.
    pub(crate) steps: TaskTracker,
    /// Hears that a warm pool may have something to do.
    pub(crate) taken: Notify,
    pub(crate) stopping: CancellationToken,
}

/// How many steps run at once. Apart from each other, because a stop may wait for processes for seconds, and a copy for
/// disks for minutes.
#[derive(Debug)]
pub(crate) struct Permits {
    /// Sandboxes that are made or started.
    pub(crate) starting: Semaphore,
    /// How many of them at once.
    pub(crate) most_starting: usize,
    /// Sandboxes that are made of others. Apart, because forks of one wait for each other, and nobody else for them.
    pub(crate) forking: Semaphore,
    /// Files that are copied.
    pub(crate) copying: Semaphore,
    /// Images that are waited for.
    pub(crate) waiting: Semaphore,
    /// Everything else.
    pub(crate) ending: Semaphore,
}

#[async_trait]
impl Reconcile for Keeper {
    type Key = SandboxId;
    type Row = Sandbox;

    async fn reconcile(&self, id: SandboxId, hint: Option<Sandbox>, woken: &Notify) -> Option<Sandbox> {
        let mut patience = Patience::new(self.first_pause);
        let mut known = hint;
        while !self.stopping.is_cancelled() {
            let sandbox = match known.take() {
                Some(sandbox) => sandbox,
                None => self.read(id).await?,
            };
            let Some(step) = plan(&sandbox) else {
                self.leave_build(&sandbox);
                return Some(sandbox);
            };
            known = match self.step(&sandbox, &step, woken).await? {
                None => None,
                Some(Ok(seen)) => {
                    // A look after a failure is a part of it: what fails again is not looked at for ever.
                    if step != Step::Observe {
                        patience = Patience::new(self.first_pause);
                    }
                    self.record(&sandbox, &seen).await
                }
                Some(Err(failed)) => self.recover(&sandbox, &step, &failed, &mut patience, woken).await,
            };
        }
        known
    }

    async fn moving(&self) -> Vec<SandboxId> {
        match self.store.sandbox_list_moving().await {
            Ok(ids) => ids,
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, "cannot list the sandboxes not at rest");
                Vec::new()
            }
        }
    }
}

impl Permits {
    /// Tells whether a sandbox is being made or started.
    pub(crate) fn is_starting(&self) -> bool {
        self.starting.available_permits() < self.most_starting
    }

    const fn of(&self, step: &Step) -> &Semaphore {
        match step {
            Step::Create | Step::Start | Step::Resume | Step::Recover => &self.starting,
            Step::Fork { .. } => &self.forking,
            Step::Backup | Step::Restore | Step::Capture(_) => &self.copying,
            // It only waits, and what it waits for has permits of its own.
            Step::Prepare(_) => &self.waiting,
            Step::Observe
            | Step::Stop { .. }
            | Step::Destroy
            | Step::Pause
            | Step::OutdateBackup
            | Step::BeginBackup
            | Step::Release
            | Step::SetNetwork(_)
            | Step::Resize(_) => &self.ending,
        }
    }
}

impl Keeper {
    /// Does one step under a permit. What comes of it is `None` when it was left for something that does not wait for it,
    /// and there is nothing at all when the permits are closed.
    async fn step(
        &self,
        sandbox: &Sandbox,
        step: &Step,
        woken: &Notify,
    ) -> Option<Option<Result<Seen, Failed>>> {
        let began = Instant::now();
        let done = async {
            let _permit = self.permits.of(step).acquire().await.ok()?;
            Some(match self.prepare(sandbox, step).await {
                Ok(()) => match step {
                    Step::Prepare(build) => self.await_build(sandbox, *build).await,
                    _ => self.call(sandbox, step).await,
                },
                Err(error) => Err(error.into()),
            })
        };
        let result = tokio::select! {
            result = done => result?,
            () = self.outranked(sandbox, step, woken) => return Some(None),
        };
        if result.is_ok() {
            let took_ms = began.elapsed().as_millis();
            info!(sandbox.id = %sandbox.id, ?step, took_ms, "did a step");
        }
        Some(Some(result))
    }

    /// Waits until something was asked for that must not wait for `step`. Only a backup and the wait for an image give way:
    /// they may take an hour, they change nothing of the sandbox, and they are begun again. What a backup has copied so far
    /// is removed by the next.
    async fn outranked(&self, sandbox: &Sandbox, step: &Step, woken: &Notify) {
        if !matches!(step, Step::Backup | Step::Prepare(_)) {
            return std::future::pending().await;
        }
        loop {
            woken.notified().await;
            match self.store.sandbox_get(sandbox.id).await {
                Ok(Some(row)) if row.desired == sandbox.desired && row.network == sandbox.network => {}
                Ok(_) => return,
                // Whoever writes next asks again.
                Err(_) => {}
            }
        }
    }

    /// Makes the call of a step, and waits for it as long as it may take.
    async fn call(&self, sandbox: &Sandbox, step: &Step) -> Result<Seen, Failed> {
        let Some((limit, word)) = self.deadlines.of(step) else {
            return Ok(act(self.runner.as_ref(), sandbox, step).await?);
        };
        let (runner, sandbox, step) = (Arc::clone(&self.runner), sandbox.clone(), step.clone());
        let mut call = self.steps.spawn(async move { act(runner.as_ref(), &sandbox, &step).await });
        match tokio::time::timeout(limit, &mut call).await {
            Ok(Ok(done)) => Ok(done?),
            // The panic's own words are in the log already.
            Ok(Err(_)) => {
                let action = "do a step: it panicked".to_owned();
                Err(RunnerError { class: Class::Bug, action, source: None }.into())
            }
            Err(_) => {
                call.abort();
                Err(Failed::late(word))
            }
        }
    }

    /// Writes what was seen, on top of whatever requests wrote meanwhile. Returns the new row, `None` when the row is
    /// gone or the store stays away until the shutdown.
    pub(crate) async fn record(&self, sandbox: &Sandbox, seen: &Seen) -> Option<Sandbox> {
        let mut patience = Patience::new(self.first_pause);
        let mut current = sandbox.clone();
        loop {
            let updated = seen.apply(current, self.clock.now());
            let written = match self.settle_snapshot(updated, sandbox.capture, seen).await {
                Ok(updated) => self.store.sandbox_update_observed(updated).await,
                Err(error) => Err(error),
            };
            match written {
                Ok(Some(written)) => return Some(written),
                Ok(None) => {}
                Err(error) => {
                    error!(sandbox.id = %sandbox.id, error = &error as &dyn std::error::Error, "cannot write a sandbox");
                    self.pause(&mut patience, &Notify::new(), LONGEST_PAUSE).await;
                }
            }
            if self.stopping.is_cancelled() && patience.has_begun() {
                return None;
            }
            current = self.read(sandbox.id).await?;
        }
    }

    /// Reads the row, trying again while the store is away; `None` when there is none, or at the shutdown.
    async fn read(&self, id: SandboxId) -> Option<Sandbox> {
        let mut patience = Patience::new(self.first_pause);
        loop {
            match self.store.sandbox_get(id).await {
                Ok(found) => return found,
                Err(error) => {
                    error!(sandbox.id = %id, error = &error as &dyn std::error::Error, "cannot read a sandbox");
                }
            }
            if self.stopping.is_cancelled() {
                return None;
            }
            self.pause(&mut patience, &Notify::new(), LONGEST_PAUSE).await;
        }
    }

    /// Waits before the next try, at most for `longest`, unless something changes or the engine stops.
    pub(crate) async fn pause(&self, patience: &mut Patience, woken: &Notify, longest: Duration) {
        pause(patience, woken, longest, &self.stopping).await;
    }
}
