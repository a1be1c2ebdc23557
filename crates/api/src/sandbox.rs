//! What requests do to sandboxes: find, make, change. Each writes what is desired and lets the engine do the rest.

pub(crate) mod row;
pub(crate) mod network;
pub(crate) mod warm;
pub(crate) mod attach;
pub(crate) mod create;
pub(crate) mod copy;
pub(crate) mod preview;

use daytona_wire::api::build::BuildInfo;
use daytona_wire::api::sandbox::ResizeSandbox;
use types::inspection::Inspection;
use types::sandbox::{Observed, Sandbox};

use crate::callers::Caller;
use crate::error::ApiError;
use crate::lifecycle::power;
use crate::state::ApiState;
use crate::{limits, view};

pub(crate) use row::{change, find, settle};

/// Changes the limits and waits until they hold. What cannot be met leaves the sandbox as it was.
pub(crate) async fn resize(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
    asked: ResizeSandbox,
) -> Result<Sandbox, ApiError> {
    let change = |sandbox: Sandbox| {
        let sandbox = power::resize(sandbox)?;
        let resources = limits::resized(&asked, sandbox.resources, &state.settings)?;
        Ok(Sandbox { resources, ..sandbox })
    };
    let written = row::change(state, caller, reference, change).await?;
    let wanted = written.resources;
    let settled = row::settle(state, written).await?;
    if settled.resources == wanted || settled.resizing() {
        return Ok(settled);
    }
    Err(ApiError::ResizeRefused { reason: settled.error_reason.unwrap_or_default() })
}

/// Wakes the engine about a start and waits a while for it; what comes back from the archive takes longer than one waits.
pub(crate) async fn settle_start(state: &ApiState, sandbox: Sandbox) -> Result<Sandbox, ApiError> {
    if sandbox.observed == Observed::Archived {
        state.engine.wake_with(sandbox.clone());
        return Ok(sandbox);
    }
    settle(state, sandbox).await
}

/// Asks for removal; living forks keep a sandbox.
pub(crate) async fn delete(state: &ApiState, caller: &Caller, reference: &str) -> Result<Sandbox, ApiError> {
    let found = find(state, caller, reference).await?;
    let forks = state.store.sandbox_count_forks(caller.organization_id, found.id).await?;
    let id = found.id.to_string();
    row::change_found(state, caller, &id, found, |sandbox| power::delete(sandbox, forks)).await
}

/// Finds what a sandbox was forked from, while it is remembered.
pub(crate) async fn parent(state: &ApiState, caller: &Caller, reference: &str) -> Result<Sandbox, ApiError> {
    let found = find(state, caller, reference).await?;
    let mut ancestors = state.store.sandbox_list_ancestors(&found).await?;
    ancestors.pop().ok_or_else(|| ApiError::NoParent { reference: reference.to_owned() })
}

/// Shows what the image of a sandbox was built from that was asked for with a Dockerfile.
pub(crate) async fn build_info(state: &ApiState, sandbox: &Sandbox) -> Result<Option<BuildInfo>, ApiError> {
    let Some(preparation) = sandbox.preparation else { return Ok(None) };
    let build = state.store.build_get(preparation.build_id).await?;
    Ok(build.as_ref().and_then(view::snapshot::info))
}

/// How long the host may take to tell more of a sandbox than its row does; it needs a few milliseconds.
const INSPECTION_PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

/// Asks the host how a sandbox is isolated and what it has run into. The row is worth an answer without it. One that is
/// being changed is not asked about: the host would tell when the change is over, and the row would be old by then.
pub(crate) async fn inspect(state: &ApiState, sandbox: &Sandbox) -> Inspection {
    if sandbox.observed != Observed::Started || !sandbox.at_rest() {
        return Inspection::default();
    }
    match tokio::time::timeout(INSPECTION_PATIENCE, state.runner.inspect(sandbox.id)).await {
        Ok(Ok(inspection)) => inspection,
        Err(_) => Inspection::default(),
        Ok(Err(error)) => {
            tracing::warn!(sandbox.id = %sandbox.id, error = &error as &dyn std::error::Error, "cannot inspect a sandbox");
            Inspection::default()
        }
    }
}
