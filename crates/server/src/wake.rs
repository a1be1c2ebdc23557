//! Lets a paused sandbox go on for the sake of a call, as far as rows and quotas let it.

use std::sync::Arc;
use std::time::Duration;

use api::error::ApiError;
use engine::Engine;
use proxy::Refusal;
use store::standing::Standing;
use store::{Store, StoreError};
use types::quota::{Quota, Usage};
use types::sandbox::{Desired, Observed, Sandbox, state};
use types::{Clock, SandboxId};

/// How long one look waits for rest; the proxy bounds the whole.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before the next look at what did not change.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Whether a call can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Now.
    Runs,
    /// Once it goes on: it is on its way to, or pauses by itself and so goes on by itself.
    Asleep,
    /// Not before somebody asks for it, or not at all.
    Away,
}

impl Readiness {
    /// Judges a pair of states.
    pub(crate) const fn of(desired: Desired, observed: Observed, auto_pause_minutes: u32) -> Self {
        match (desired, observed) {
            (Desired::Started, Observed::Started) => Self::Runs,
            (Desired::Started, Observed::Paused) => Self::Asleep,
            (Desired::Paused, Observed::Started | Observed::Paused) if auto_pause_minutes > 0 => Self::Asleep,
            _ => Self::Away,
        }
    }
}

/// Returns the refusal of a call to a sandbox that is away.
pub(crate) fn away(desired: Desired, observed: Observed) -> Refusal {
    Refusal::NotRunning { state: state::reported(desired, observed).to_owned() }
}

/// Wakes sandboxes. Clones do the same.
#[derive(Debug, Clone)]
pub(crate) struct Waker {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<dyn Clock>,
    /// What the sandboxes of one organisation may use: one that goes on uses more than one that is paused.
    pub(crate) quota: Quota,
}

impl Waker {
    /// Returns when the sandbox runs, or why it does not. Goes on for as long as nobody drops it.
    pub(crate) async fn wake(&self, sandbox_id: SandboxId) -> Result<(), Refusal> {
        // The common case, in which nothing is read: a call that takes its time in a sandbox that runs.
        let standing = self.store.sandbox_standing(sandbox_id).await.map_err(|_| Refusal::Unavailable)?;
        let is_running = |standing: &Standing| {
            Readiness::of(standing.desired, standing.observed, standing.auto_pause) == Readiness::Runs
        };
        if standing.as_ref().is_some_and(is_running) {
            return Ok(());
        }
        loop {
            let row = self.read(sandbox_id).await?;
            match Readiness::of(row.desired, row.observed, row.intervals.auto_pause) {
                Readiness::Runs => return Ok(()),
                Readiness::Away => return Err(away(row.desired, row.observed)),
                Readiness::Asleep => {}
            }
            // A snapshot of it as it is held is finished first.
            let asked = if row.desired == Desired::Started || row.capturing() {
                Some(row)
            } else {
                self.ask(row).await?
            };
            // Where somebody else wrote first, what they wrote decides.
            if let Some(row) = asked {
                self.engine.settle(row, LOOK_PATIENCE).await.map_err(|_| Refusal::Unavailable)?;
            }
            let row = self.read(sandbox_id).await?;
            if Readiness::of(row.desired, row.observed, row.intervals.auto_pause) == Readiness::Asleep {
                tokio::time::sleep(LOOK_PAUSE).await;
            }
        }
    }

    async fn read(&self, sandbox_id: SandboxId) -> Result<Sandbox, Refusal> {
        let row = self.store.sandbox_get(sandbox_id).await.map_err(|_| Refusal::Unavailable)?;
        row.ok_or(Refusal::NotFound)
    }

    /// Asks that it goes on; `None` when somebody else wrote first.
    async fn ask(&self, row: Sandbox) -> Result<Option<Sandbox>, Refusal> {
        let now = self.clock.now();
        let before = Usage::by(&row);
        let wanted = Sandbox { desired: Desired::Started, last_activity_at: now, updated_at: now, ..row };
        let quota = self.quota.of_growth(before, Usage::by(&wanted));
        let written = self.store.sandbox_update_desired_within(wanted, &quota).await;
        written.map_err(|error| match error {
            full @ StoreError::Quota { .. } => Refusal::NoRoom { reason: ApiError::from(full).to_string() },
            _ => Refusal::Unavailable,
        })
    }
}

#[cfg(test)]
mod tests;
