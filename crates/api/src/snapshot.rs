//! What sandboxes are made from: an organisation's own snapshots, and everybody's, which the host's images are.

pub(crate) mod page;
pub(crate) mod ask;

use std::collections::HashMap;

use daytona_wire::api::snapshot::CreateSnapshot;
use jiff::SignedDuration;
use store::StoreError;
use store::snapshot::general_id;
use types::build::{BUILT, Build, Recipe};
use types::snapshot::{CAPTURED, SavedSnapshot, Snapshot, SnapshotState};
use types::{BuildId, SnapshotId};

use crate::callers::Caller;
use crate::error::ApiError;
use crate::state::ApiState;
use crate::{build, limits};

/// Begins the names of images that were pulled: who may have one, its registry says.
const PULLED: &str = "sha256:";
/// How long a snapshot stays out of use, as in the contract.
const COOLDOWN: SignedDuration = SignedDuration::from_mins(10);
/// How long a use stands for those after it: noting each would cost every create a write.
const TOUCH_PERIOD: SignedDuration = SignedDuration::from_mins(1);

/// Looks up what a new sandbox is to start from, by name or id. An organisation's own come first.
pub(crate) async fn resolve(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
) -> Result<Snapshot, ApiError> {
    limits::snapshot(reference)?;
    let missing = || ApiError::invalid(format!("Snapshot {reference} not found"));
    let saved = known(state, caller, reference).await?.ok_or_else(missing)?;
    if saved.state != SnapshotState::Active {
        return Err(ApiError::invalid(format!("Snapshot {} is {}", saved.name, saved.state.as_str())));
    }
    let now = state.clock.now();
    if saved.last_used_at.is_none_or(|last| now.duration_since(last) >= TOUCH_PERIOD) {
        state.store.snapshot_touch(saved.id, now).await?;
    }
    Ok(Snapshot { name: saved.name, image: saved.image, resources: saved.resources })
}

/// Finds a snapshot that the caller can see.
pub(crate) async fn find(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
) -> Result<SavedSnapshot, ApiError> {
    let found = match limits::snapshot(reference) {
        Ok(()) => known(state, caller, reference).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| not_found(reference))
}

/// Lists what the caller can see: the organisation's own, and everybody's.
pub(crate) async fn list(state: &ApiState, caller: &Caller) -> Result<Vec<SavedSnapshot>, ApiError> {
    // It may have been brought to the host just now.
    general(state, &state.settings.default_snapshot).await?;
    Ok(state.store.snapshot_list(caller.organization_id).await?)
}

/// Returns what those were built from that were built.
pub(crate) async fn builds(
    state: &ApiState,
    snapshots: &[SavedSnapshot],
) -> Result<HashMap<BuildId, Build>, ApiError> {
    let ids: Vec<BuildId> = snapshots.iter().filter_map(|snapshot| snapshot.build_id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let builds = state.store.build_list(&ids).await?;
    Ok(builds.into_iter().map(|build| (build.id, build)).collect())
}

/// Asks for a snapshot of an image or a Dockerfile, and answers at once. The build's row comes first, so that what waits
/// for it finds it; one that nothing waits for, because this request ended in between, is let go by the engine.
pub(crate) async fn create(
    state: &ApiState,
    caller: &Caller,
    asked: CreateSnapshot,
) -> Result<SavedSnapshot, ApiError> {
    let wanted = ask::read(asked, &state.settings)?;
    must_be_free(state, &wanted.name).await?;
    let image_name = match &wanted.recipe {
        Recipe::Pull { reference } => Some(reference.clone()),
        Recipe::Dockerfile { .. } => None,
    };
    let build = build::want(state, caller.organization_id, wanted.recipe).await?;
    let (id, now) = (SnapshotId::random(state.random.as_ref()), state.clock.now());
    let snapshot = SavedSnapshot {
        image: Build::image_of(build.id),
        reference: build.recipe.is_built().then(|| build.reference()),
        image_name,
        build_id: Some(build.id),
        entrypoint: wanted.entrypoint,
        resources: wanted.resources,
        ..SavedSnapshot::new(id, Some(caller.organization_id), wanted.name, now)
    };
    let admitted = state.store.snapshot_admit(&snapshot, state.settings.snapshot_quota).await;
    // One that was refused leaves a build that nobody needs.
    state.engine.wake_build(build.id);
    admitted.map_err(refusal)?;
    state.store.sync().await?;
    Ok(snapshot)
}

/// Refuses the name of everybody's snapshot: a name has one meaning for a tenant.
pub(crate) async fn must_be_free(state: &ApiState, name: &str) -> Result<(), ApiError> {
    match general(state, name).await? {
        Some(_) => Err(ApiError::SnapshotNameTaken { name: name.to_owned() }),
        None => Ok(()),
    }
}

/// Says why a snapshot could not be added.
pub(crate) fn refusal(error: StoreError) -> ApiError {
    match error {
        StoreError::Taken { key, .. } => ApiError::SnapshotNameTaken { name: key },
        StoreError::TooMany { most, .. } => ApiError::SnapshotQuota { most },
        error => error.into(),
    }
}

/// Puts a snapshot into use again. Its image is brought back if it is not on the host any more.
pub(crate) async fn activate(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
) -> Result<SavedSnapshot, ApiError> {
    loop {
        let found = own(state, caller, reference).await?;
        if found.state != SnapshotState::Inactive {
            return Err(ApiError::invalid(format!("Snapshot {} is not inactive", found.name)));
        }
        let now = state.clock.now();
        if let Some(left) = found.deactivated_at.map(|at| COOLDOWN - now.duration_since(at))
            && left.is_positive()
        {
            let minutes = left.as_secs().saturating_add(59) / 60;
            return Err(ApiError::invalid(format!(
                "Snapshot {} was deactivated less than 10 minutes ago: try again in {minutes} minutes",
                found.name
            )));
        }
        let next = match found.build_id {
            Some(id) => {
                state.store.build_renew(id, now).await?;
                SnapshotState::Pending
            }
            None => SnapshotState::Active,
        };
        let id = found.build_id;
        let wanted = SavedSnapshot { state: next, error_reason: None, updated_at: now, ..found };
        let quota = state.settings.snapshot_quota;
        let written = state.store.snapshot_update_within(wanted, quota).await;
        if let Some(id) = id {
            state.engine.wake_build(id);
        }
        if let Some(written) = written.map_err(refusal)? {
            return Ok(written);
        }
    }
}

/// Puts a snapshot out of use. An image that can be brought back may go from the host.
pub(crate) async fn deactivate(state: &ApiState, caller: &Caller, reference: &str) -> Result<(), ApiError> {
    loop {
        let found = own(state, caller, reference).await?;
        if found.state != SnapshotState::Active {
            return Err(ApiError::invalid(format!("Snapshot {} is not active", found.name)));
        }
        let (id, now) = (found.build_id, state.clock.now());
        let inactive = SavedSnapshot {
            state: SnapshotState::Inactive,
            updated_at: now,
            deactivated_at: Some(now),
            ..found
        };
        if state.store.snapshot_update(inactive).await?.is_some() {
            if let Some(id) = id {
                state.engine.wake_build(id);
            }
            return Ok(());
        }
    }
}

/// Deletes a snapshot of the organisation's own, also one that is being pulled or built. Its name is free at once;
/// sandboxes made from it live on.
pub(crate) async fn delete(state: &ApiState, caller: &Caller, reference: &str) -> Result<(), ApiError> {
    let leaving = loop {
        let found = own(state, caller, reference).await?;
        if found.state == SnapshotState::Snapshotting {
            return Err(ApiError::StateChangeInProgress);
        }
        let leaving =
            SavedSnapshot { state: SnapshotState::Removing, updated_at: state.clock.now(), ..found };
        if let Some(written) = state.store.snapshot_update(leaving).await? {
            break written;
        }
    };
    if let Some(build) = leaving.build_id {
        state.store.snapshot_delete(leaving.id).await?;
        state.engine.wake_build(build);
        return Ok(());
    }
    match state.runner.forget(&leaving.image).await {
        Ok(()) => Ok(state.store.snapshot_delete(leaving.id).await?),
        // For its owner it is gone; the engine tries again.
        Err(error) => {
            tracing::warn!(snapshot.id = %leaving.id, error = &error as &dyn std::error::Error, "cannot remove an image yet");
            Ok(())
        }
    }
}

/// Finds a snapshot that the caller's organisation may change, by its id.
async fn own(state: &ApiState, caller: &Caller, reference: &str) -> Result<SavedSnapshot, ApiError> {
    let id: SnapshotId = reference.parse().map_err(|_| not_found(reference))?;
    if id == general_id(&state.settings.default_snapshot) {
        general(state, &state.settings.default_snapshot).await?;
    }
    let found = state.store.snapshot_get(id).await?;
    match found.filter(|saved| saved.state != SnapshotState::Removing) {
        Some(saved) if saved.organization_id == Some(caller.organization_id) => Ok(saved),
        Some(saved) if saved.is_general() => Err(ApiError::SnapshotIsGeneral { name: saved.name }),
        _ => Err(not_found(reference)),
    }
}

async fn known(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
) -> Result<Option<SavedSnapshot>, ApiError> {
    match state.store.snapshot_find(caller.organization_id, reference).await? {
        Some(saved) => Ok(Some(saved)),
        None => general(state, reference).await,
    }
}

/// Finds everybody's snapshot of that name, or the default one by its id. An image that an operator brought to the host
/// since the start becomes one here. Images that tenants made are nobody's by name.
async fn general(state: &ApiState, reference: &str) -> Result<Option<SavedSnapshot>, ApiError> {
    let default = &state.settings.default_snapshot;
    let name = if reference == general_id(default).to_string() { default } else { reference };
    if [CAPTURED, BUILT, PULLED].into_iter().any(|reserved| name.starts_with(reserved)) {
        return Ok(None);
    }
    let id = general_id(name);
    if let Some(known) = state.store.snapshot_get(id).await? {
        return Ok(Some(known));
    }
    let Some(image) = state.runner.snapshot(name).await? else { return Ok(None) };
    let fresh = SavedSnapshot {
        image: image.image.clone(),
        state: SnapshotState::Active,
        reference: Some(image.image),
        resources: image.resources,
        ..SavedSnapshot::new(id, None, image.name, state.clock.now())
    };
    match state.store.snapshot_insert(&fresh).await {
        // Another request was first.
        Ok(()) | Err(StoreError::Taken { .. }) => Ok(Some(fresh)),
        Err(error) => Err(error.into()),
    }
}

fn not_found(reference: &str) -> ApiError {
    ApiError::SnapshotNotFound { reference: reference.to_owned() }
}
