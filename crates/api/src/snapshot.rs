//! What sandboxes are made from: an organisation's own snapshots, and the general ones that the host's images are.

pub(crate) mod page;

use types::SnapshotId;
use types::snapshot::{CAPTURED, SavedSnapshot, Snapshot, SnapshotState};

use crate::callers::Caller;
use crate::error::ApiError;
use crate::limits;
use crate::snapshot::page::Known;
use crate::state::ApiState;

/// Looks up what a new sandbox is to start from, by name or id. An organisation's own come first, and no name is both.
pub(crate) async fn resolve(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
) -> Result<Snapshot, ApiError> {
    limits::snapshot(reference)?;
    let missing = || ApiError::invalid(format!("Snapshot {reference} not found"));
    match known(state, caller, reference).await?.ok_or_else(missing)? {
        Known::General(snapshot) => Ok(snapshot),
        Known::Own(saved) if saved.state == SnapshotState::Active => {
            state.store.snapshot_touch(saved.id, state.clock.now()).await?;
            Ok(Snapshot { name: saved.name, image: saved.image, resources: saved.resources })
        }
        Known::Own(saved) => {
            Err(ApiError::invalid(format!("Snapshot {} is {}", saved.name, saved.state.as_str())))
        }
    }
}

/// Finds a snapshot that the caller can see.
pub(crate) async fn find(state: &ApiState, caller: &Caller, reference: &str) -> Result<Known, ApiError> {
    let found = match limits::snapshot(reference) {
        Ok(()) => known(state, caller, reference).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| not_found(reference))
}

/// Lists what the caller can see: the organisation's own, and the general one that sandboxes start from by default.
pub(crate) async fn list(state: &ApiState, caller: &Caller) -> Result<Vec<Known>, ApiError> {
    let own = state.store.snapshot_list(caller.organization_id).await?;
    let general = state.runner.snapshot(&state.settings.default_snapshot).await?;
    Ok(own.into_iter().map(Known::Own).chain(general.map(Known::General)).collect())
}

/// Deletes a snapshot of the organisation's own. Its name is free at once; sandboxes made from it live on.
pub(crate) async fn delete(state: &ApiState, caller: &Caller, reference: &str) -> Result<(), ApiError> {
    let id: SnapshotId = reference.parse().map_err(|_| not_found(reference))?;
    if let Some(snapshot) = general(state, reference).await? {
        return Err(ApiError::SnapshotIsGeneral { name: snapshot.name });
    }
    let found = state.store.snapshot_get(id).await?;
    let found = found.filter(|saved| saved.organization_id == caller.organization_id);
    let found = found.ok_or_else(|| not_found(reference))?;
    if found.state == SnapshotState::Snapshotting {
        return Err(ApiError::StateChangeInProgress);
    }
    let leaving = SavedSnapshot { state: SnapshotState::Removing, updated_at: state.clock.now(), ..found };
    state.store.snapshot_update(&leaving).await?;
    match state.runner.forget(&leaving.image).await {
        Ok(()) => Ok(state.store.snapshot_delete(id).await?),
        // For its owner it is gone; the engine tries again.
        Err(error) => {
            tracing::warn!(snapshot.id = %id, error = &error as &dyn std::error::Error, "cannot remove an image yet");
            Ok(())
        }
    }
}

async fn known(state: &ApiState, caller: &Caller, reference: &str) -> Result<Option<Known>, ApiError> {
    if let Some(saved) = state.store.snapshot_find(caller.organization_id, reference).await? {
        return Ok(Some(Known::Own(saved)));
    }
    Ok(general(state, reference).await?.map(Known::General))
}

/// Finds a general snapshot by its name, or the default one by its id. Images that tenants made are nobody's by name.
async fn general(state: &ApiState, reference: &str) -> Result<Option<Snapshot>, ApiError> {
    let default = &state.settings.default_snapshot;
    let is_default_id = reference == page::general_id(default).to_string();
    let name = if is_default_id { default } else { reference };
    if name.starts_with(CAPTURED) {
        return Ok(None);
    }
    Ok(state.runner.snapshot(name).await?)
}

fn not_found(reference: &str) -> ApiError {
    ApiError::SnapshotNotFound { reference: reference.to_owned() }
}
