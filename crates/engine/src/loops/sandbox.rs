//! Keeps true: every sandbox is what was asked for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store::Store;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use types::sandbox::{Observed, Sandbox};
use types::{Clock, SandboxId};

use crate::act::{Reaction, Seen, act, ended, react, reason};
use crate::driver::Reconcile;
use crate::plan::{Step, plan};
use crate::port::{Runner, RunnerError};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Brings sandboxes to rest with one runner.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) store: Store,
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) clock: Arc<dyn Clock>,
    /// How many sandboxes are made or started at once.
    pub(crate) starting: Semaphore,
    /// How many other steps run at once. Apart from `starting`, because a stop may wait for processes for seconds.
    pub(crate) ending: Semaphore,
    pub(crate) give_up_after: Duration,
    pub(crate) stopping: CancellationToken,
}

/// How long to wait before the next try.
struct Patience {
    pause: Duration,
    since: Option<Instant>,
}

#[async_trait]
impl Reconcile for Keeper {
    type Key = SandboxId;
    type Row = Sandbox;

    async fn reconcile(&self, id: SandboxId, hint: Option<Sandbox>, woken: &Notify) -> Option<Sandbox> {
        let mut patience = Patience::new();
        let mut known = hint;
        while !self.stopping.is_cancelled() {
            let sandbox = match known.take() {
                Some(sandbox) => sandbox,
                None => self.read(id).await?,
            };
            let Some(step) = plan(&sandbox) else {
                return Some(sandbox);
            };
            known = match self.step(&sandbox, &step).await? {
                Ok(seen) => {
                    patience = Patience::new();
                    self.record(&sandbox, &seen).await
                }
                Err(error) => self.recover(&sandbox, &step, &error, &mut patience, woken).await,
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

impl Keeper {
    /// Does one step under a permit; `None` when the permits are closed.
    async fn step(&self, sandbox: &Sandbox, step: &Step) -> Option<Result<Seen, RunnerError>> {
        let permits = match step {
            Step::Create | Step::Start => &self.starting,
            Step::Observe | Step::Stop { .. } | Step::Destroy | Step::SetNetwork(_) | Step::Resize(_) => {
                &self.ending
            }
        };
        let _permit = permits.acquire().await.ok()?;
        let began = Instant::now();
        let result = act(self.runner.as_ref(), sandbox, step).await;
        if result.is_ok() {
            let took_ms = began.elapsed().as_millis();
            info!(sandbox.id = %sandbox.id, ?step, took_ms, "did a step");
        }
        Some(result)
    }

    /// Deals with a failed step; returns the row when it is known.
    async fn recover(
        &self,
        sandbox: &Sandbox,
        step: &Step,
        error: &RunnerError,
        patience: &mut Patience,
        woken: &Notify,
    ) -> Option<Sandbox> {
        let id = sandbox.id;
        let reaction = match react(step, error.class) {
            Reaction::Again if patience.ended(self.give_up_after) => Reaction::Fail,
            reaction => reaction,
        };
        warn!(sandbox.id = %id, ?step, ?reaction, class = ?error.class, reason = reason(error), "a step failed");
        match reaction {
            Reaction::Done => self.record(sandbox, &Seen::Destroyed).await,
            Reaction::Insist | Reaction::Again => {
                self.pause(patience, woken).await;
                None
            }
            Reaction::Look => {
                self.pause(patience, woken).await;
                self.record(sandbox, &Seen::Unknown).await
            }
            // The sandbox is as it was, and goes on: only the wish was too much.
            Reaction::Fail if matches!(step, Step::Resize(_)) => {
                self.record(sandbox, &Seen::ResizeRefused { reason: reason(error) }).await
            }
            Reaction::Fail => {
                self.contain(sandbox, step).await;
                let reason = reason(error);
                let seen = if self.keeps_files(sandbox, step).await {
                    Seen::Ended { reason }
                } else {
                    Seen::Failed { reason }
                };
                self.record(sandbox, &seen).await
            }
        }
    }

    /// Tells whether what failed left a sandbox that can be tried again: its files are there. One that was never made
    /// goes instead.
    async fn keeps_files(&self, sandbox: &Sandbox, step: &Step) -> bool {
        if *step == Step::Create {
            return false;
        }
        matches!(self.runner.observe(sandbox.id).await, Ok(look) if look.observed == Observed::Stopped)
    }

    /// Ends a sandbox whose network policy could not be put in force: it must not run on under the old one.
    async fn contain(&self, sandbox: &Sandbox, step: &Step) {
        if let Step::SetNetwork(_) = step
            && let Err(error) = self.runner.stop(sandbox.id, true).await
        {
            error!(sandbox.id = %sandbox.id, reason = reason(&error), "cannot end a sandbox without its network policy");
        }
    }

    /// Writes what was seen, on top of whatever requests wrote meanwhile. Returns the new row, `None` when the row is
    /// gone or the store stays away until the shutdown.
    async fn record(&self, sandbox: &Sandbox, seen: &Seen) -> Option<Sandbox> {
        let mut patience = Patience::new();
        let mut current = sandbox.clone();
        loop {
            let updated = seen.apply(current, self.clock.now());
            let updated = if matches!(seen, Seen::Ended { .. }) { ended(updated) } else { updated };
            match self.store.sandbox_update_observed(updated).await {
                Ok(Some(written)) => return Some(written),
                Ok(None) => {}
                Err(error) => {
                    error!(sandbox.id = %sandbox.id, error = &error as &dyn std::error::Error, "cannot write a sandbox");
                    self.pause(&mut patience, &Notify::new()).await;
                }
            }
            if self.stopping.is_cancelled() && patience.since.is_some() {
                return None;
            }
            current = self.read(sandbox.id).await?;
        }
    }

    /// Reads the row, trying again while the store is away; `None` when there is none, or at the shutdown.
    async fn read(&self, id: SandboxId) -> Option<Sandbox> {
        let mut patience = Patience::new();
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
            self.pause(&mut patience, &Notify::new()).await;
        }
    }

    /// Waits before the next try, unless something changes or the engine stops.
    async fn pause(&self, patience: &mut Patience, woken: &Notify) {
        tokio::select! {
            () = tokio::time::sleep(patience.next()) => {}
            () = woken.notified() => {}
            () = self.stopping.cancelled() => {}
        }
    }
}

impl Patience {
    const fn new() -> Self {
        Self { pause: FIRST_PAUSE, since: None }
    }

    /// Tells whether the first failure was longer ago than `limit`.
    fn ended(&self, limit: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= limit)
    }

    /// Returns the next pause, each twice as long as the one before.
    fn next(&mut self) -> Duration {
        self.since.get_or_insert_with(Instant::now);
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}
