//! A sandbox's row: found, changed without losing what others write, and waited for.

use std::time::Duration;

use types::quota::Usage;
use types::sandbox::{Desired, Observed, Sandbox};

use crate::callers::Caller;
use crate::error::ApiError;
use crate::state::ApiState;

/// How often a change is tried on a newer row before the caller is asked to. Every failure is a success of somebody else,
/// so that this many are not seen unless thousands write the same sandbox.
const TRIES: u32 = 1_000;
/// How many of them follow at once; then each waits a little, for a time of its own.
const QUICK_TRIES: u32 = 4;
const LONGEST_PAUSE_MILLISECONDS: u8 = 16;

/// Finds a sandbox of the caller's organisation.
pub(crate) async fn find(state: &ApiState, caller: &Caller, reference: &str) -> Result<Sandbox, ApiError> {
    let found = state.store.sandbox_find(caller.organization_id, reference).await?;
    found.ok_or_else(|| not_found(reference))
}

fn not_found(reference: &str) -> ApiError {
    ApiError::SandboxNotFound { reference: reference.to_owned() }
}

/// Changes what is desired of a sandbox: reads it, applies `change`, and writes if nobody else did meanwhile, else again.
/// What would use more has to fit into the organisation's quota. What is gone and only remembered is not there to change.
pub(crate) async fn change(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
    change: impl Fn(Sandbox) -> Result<Sandbox, ApiError> + Send,
) -> Result<Sandbox, ApiError> {
    change_found(state, caller, reference, find(state, caller, reference).await?, change).await
}

/// The same for a row just found, which is read again only when somebody else wrote.
pub(crate) async fn change_found(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
    found: Sandbox,
    change: impl Fn(Sandbox) -> Result<Sandbox, ApiError> + Send,
) -> Result<Sandbox, ApiError> {
    let mut contention = Contention::default();
    let mut current = found;
    loop {
        if current.observed == Observed::Destroyed {
            return Err(not_found(reference));
        }
        let wanted = change(current.clone())?;
        if wanted == current {
            return Ok(current);
        }
        if current.warm_pool_id.is_some() && wanted.desired != Desired::Destroyed {
            return Err(ApiError::WaitsInPool { id: current.id.to_string() });
        }
        let quota = state.settings.quota.of_growth(Usage::by(&current), Usage::by(&wanted));
        let wanted = Sandbox { updated_at: state.clock.now(), ..wanted };
        if let Some(written) = state.store.sandbox_update_desired_within(wanted, &quota).await? {
            return Ok(written);
        }
        contention.lost(state).await?;
        current = find(state, caller, reference).await?;
    }
}

/// How often a write came too late.
#[derive(Debug, Default)]
pub(crate) struct Contention {
    lost: u32,
}

impl Contention {
    /// Steps back before the next try, or gives up.
    pub(crate) async fn lost(&mut self, state: &ApiState) -> Result<(), ApiError> {
        self.lost += 1;
        if self.lost >= TRIES {
            return Err(ApiError::Modified);
        }
        if self.lost > QUICK_TRIES {
            let mut buffer = [0];
            state.random.fill(&mut buffer);
            let [byte] = buffer;
            let pause = Duration::from_millis(u64::from(byte % LONGEST_PAUSE_MILLISECONDS));
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

/// Wakes the engine about a row just written and waits a while for rest.
pub(crate) async fn settle(state: &ApiState, sandbox: Sandbox) -> Result<Sandbox, ApiError> {
    let settled = state.engine.settle(sandbox.clone(), state.settings.patience).await?;
    Ok(settled.unwrap_or(Sandbox { observed: Observed::Destroyed, ..sandbox }))
}

/// As [`settle`], and beside it brings the row onto the disk: what was made stays made, and what was deleted deleted,
/// when the power fails right after the answer.
pub(crate) async fn settle_for_good(state: &ApiState, sandbox: Sandbox) -> Result<Sandbox, ApiError> {
    let (settled, synced) = tokio::join!(settle(state, sandbox), state.store.sync());
    synced?;
    settled
}
