//! What becomes of a sandbox whose step failed: tried again, looked at, put in a queue, or given up with its reason.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::Notify;
use tracing::{error, warn};
use types::sandbox::{BackupState, Observed, Sandbox};

use crate::act::{Reaction, react, reason};
use crate::deadline::Failed;
use crate::diagnose::is_full;
use crate::loops::patience::Patience;
use crate::loops::sandbox::Keeper;
use crate::plan::Step;
use crate::seen::Seen;

impl Keeper {
    /// Deals with a failed step; returns the row when it is known.
    pub(crate) async fn recover(
        &self,
        sandbox: &Sandbox,
        step: &Step,
        failed: &Failed,
        patience: &mut Patience,
        woken: &Notify,
    ) -> Option<Sandbox> {
        let reason = reason(&failed.error);
        if let Some(left) = self.queue_left(sandbox, step, failed, &reason) {
            warn!(sandbox.id = %sandbox.id, ?step, ?left, reason, "a sandbox waits for room");
            if left.is_zero() {
                return self.record(sandbox, &Seen::QueueTimedOut { reason }).await;
            }
            self.pause(patience, woken, left).await;
            return None;
        }
        let reaction = match react(step, failed.error.class) {
            _ if failed.late => Reaction::Fail,
            Reaction::Again | Reaction::Look
                if *step != Step::Release && patience.ended(self.give_up_after) =>
            {
                Reaction::Fail
            }
            reaction => reaction,
        };
        warn!(sandbox.id = %sandbox.id, ?step, ?reaction, class = ?failed.error.class, reason, "a step failed");
        match reaction {
            Reaction::Done if *step == Step::Release => self.record(sandbox, &Seen::Archived).await,
            Reaction::Done => self.record(sandbox, &Seen::Destroyed).await,
            Reaction::Insist | Reaction::Again => {
                self.pause(patience, woken, Duration::MAX).await;
                None
            }
            Reaction::Look => {
                self.pause(patience, woken, Duration::MAX).await;
                self.record(sandbox, &Seen::Unknown).await
            }
            Reaction::Fail => {
                let seen = match given_up(step, &reason) {
                    Some(seen) => seen,
                    None => self.what_is_left(sandbox, step, failed.late, reason).await,
                };
                self.record(sandbox, &seen).await
            }
        }
    }

    /// Returns how much longer a sandbox may wait for room on the host; `None` when it is not about that.
    fn queue_left(&self, sandbox: &Sandbox, step: &Step, failed: &Failed, reason: &str) -> Option<Duration> {
        let seconds = sandbox.queue_timeout?;
        let is_made = matches!(step, Step::Create | Step::Fork { .. });
        if !is_made || failed.late || !is_full(failed.error.class, reason) {
            return None;
        }
        let waited = self.clock.now().duration_since(sandbox.created_at);
        let left = SignedDuration::from_secs(i64::from(seconds)) - waited;
        Some(left.try_into().unwrap_or(Duration::ZERO))
    }

    /// Looks at what a step left that was given up: a sandbox whose files are there can be tried again, one that was
    /// never made goes instead.
    async fn what_is_left(&self, sandbox: &Sandbox, step: &Step, late: bool, reason: String) -> Seen {
        self.contain(sandbox, step).await;
        match step {
            Step::Create | Step::Fork { .. } => {
                return Seen::Failed { reason, recoverable: false, files: false };
            }
            // The backup is where it was.
            Step::Restore => return Seen::Failed { reason, recoverable: true, files: false },
            _ => {}
        }
        let is_repair = *step == Step::Recover && sandbox.observed == Observed::Error;
        match self.look_in_time(sandbox).await {
            // What took too long may come about yet: what is in error is looked at again.
            Some(Observed::Stopped) if !is_repair && !late => Seen::Ended { reason },
            Some(Observed::Absent) => {
                let recoverable = sandbox.backup.state == BackupState::Completed;
                Seen::Failed { reason, recoverable, files: false }
            }
            _ => Seen::Failed { reason, recoverable: true, files: true },
        }
    }

    /// Looks at the host; a step that took too long may hold the sandbox, and the look with it.
    async fn look_in_time(&self, sandbox: &Sandbox) -> Option<Observed> {
        let (runner, id) = (std::sync::Arc::clone(&self.runner), sandbox.id);
        let look = self.steps.spawn(async move { runner.observe(id).await });
        let look = tokio::time::timeout(self.deadlines.looking, look).await;
        Some(look.ok()?.ok()?.ok()?.observed)
    }

    /// Ends a sandbox whose network policy could not be put in force: it must not run on under the old one.
    async fn contain(&self, sandbox: &Sandbox, step: &Step) {
        if let Step::SetNetwork(_) = step
            && let Err(error) = self.runner.stop(sandbox.id, true).await
        {
            error!(sandbox.id = %sandbox.id, reason = reason(&error), "cannot end a sandbox without its network policy");
        }
    }
}

/// Returns what a step that was given up means where the sandbox goes on as it was: only the wish was too much.
fn given_up(step: &Step, reason: &str) -> Option<Seen> {
    let reason = reason.to_owned();
    match step {
        Step::Resize(_) => Some(Seen::ResizeRefused { reason }),
        Step::Capture(_) => Some(Seen::CaptureFailed { reason }),
        Step::Backup => Some(Seen::BackupFailed { reason }),
        Step::Pause | Step::Resume => Some(Seen::HoldFailed { reason }),
        Step::Prepare(_) => Some(Seen::PrepareFailed { reason }),
        Step::Observe
        | Step::Create
        | Step::Fork { .. }
        | Step::OutdateBackup
        | Step::BeginBackup
        | Step::Release
        | Step::Restore
        | Step::Recover
        | Step::Start
        | Step::Stop { .. }
        | Step::Destroy
        | Step::SetNetwork(_) => None,
    }
}
