//! Volumes: made, found, deleted, and mounted into sandboxes.

use daytona_wire::api::sandbox::SandboxVolume;
use daytona_wire::api::volume::CreateVolume;
use store::StoreError;
use types::VolumeId;
use types::volume::{Volume, VolumeMount, VolumeState, refused_mount_path, refused_subpath};

use crate::callers::Caller;
use crate::error::ApiError;
use crate::limits;
use crate::state::ApiState;

/// The most volumes of one sandbox: each costs its start some work.
const MOST_MOUNTS: usize = 16;

/// Makes a volume and returns it ready.
pub(crate) async fn create(
    state: &ApiState,
    caller: &Caller,
    asked: CreateVolume,
) -> Result<Volume, ApiError> {
    let (id, now) = (VolumeId::random(state.random.as_ref()), state.clock.now());
    let name = if asked.name.is_empty() { id.to_string() } else { asked.name };
    limits::name(&name)?;
    let volume = Volume {
        id,
        organization_id: caller.organization_id,
        name,
        state: VolumeState::Creating,
        error_reason: None,
        created_at: now,
        updated_at: now,
        last_used_at: None,
    };
    let most = state.settings.volume_quota;
    let fits = state.store.volume_insert(&volume, most.unwrap_or(u32::MAX)).await;
    let fits = fits.map_err(|error| match error {
        StoreError::Taken { key, .. } => ApiError::invalid(format!("Volume with name {key} already exists")),
        error => error.into(),
    })?;
    if !fits {
        let most = most.unwrap_or_default();
        return Err(ApiError::invalid(format!("Volume quota exceeded. Maximum allowed: {most}")));
    }
    let (settled, synced) = tokio::join!(state.engine.settle_volume(volume), state.store.sync());
    synced?;
    Ok(settled?)
}

/// Lists the organisation's volumes, last used first.
pub(crate) async fn list(
    state: &ApiState,
    caller: &Caller,
    include_deleted: bool,
) -> Result<Vec<Volume>, ApiError> {
    Ok(state.store.volume_list(caller.organization_id, include_deleted).await?)
}

/// Finds a volume by its id; a deleted one is remembered.
pub(crate) async fn get(state: &ApiState, caller: &Caller, reference: &str) -> Result<Volume, ApiError> {
    let id = reference.parse().map_err(|_| not_found(reference))?;
    let found = state.store.volume_get(id).await?;
    let found = found.filter(|volume| volume.organization_id == caller.organization_id);
    found.ok_or_else(|| not_found(reference))
}

/// Finds a volume by its name.
pub(crate) async fn get_by_name(state: &ApiState, caller: &Caller, name: &str) -> Result<Volume, ApiError> {
    let found = state.store.volume_find(caller.organization_id, name).await?;
    found.ok_or_else(|| ApiError::VolumeNameNotFound { name: name.to_owned() })
}

/// Deletes a volume that no sandbox has. Its name is free at once; its files go after the answer.
pub(crate) async fn delete(state: &ApiState, caller: &Caller, reference: &str) -> Result<(), ApiError> {
    let volume = get(state, caller, reference).await?;
    match state.store.volume_delete(volume.id, state.clock.now()).await? {
        Some(leaving) => {
            state.engine.settle_volume_later(leaving);
            Ok(())
        }
        None => Err(match get(state, caller, reference).await?.state {
            VolumeState::Ready | VolumeState::Error => ApiError::VolumeInUse { name: volume.name },
            other => ApiError::invalid(format!(
                "Volume must be ready or in error to be deleted; it is {}",
                other.as_str()
            )),
        }),
    }
}

/// Reads which volumes a sandbox is to have, and where: all of them ready, and of the caller's organisation.
pub(crate) async fn mounts(
    state: &ApiState,
    caller: &Caller,
    asked: &[SandboxVolume],
) -> Result<Vec<VolumeMount>, ApiError> {
    let mut mounts = Vec::new();
    for one in asked {
        let mount = mount(state, caller, one).await?;
        admit(&mounts, &mount)?;
        mounts.push(mount);
    }
    for mount in &mounts {
        state.store.volume_touch(mount.volume_id, state.clock.now()).await?;
    }
    Ok(mounts)
}

/// Refuses one mount too many, and two at one place.
pub(crate) fn admit(mounts: &[VolumeMount], new: &VolumeMount) -> Result<(), ApiError> {
    if mounts.len() >= MOST_MOUNTS {
        return Err(ApiError::invalid(format!("volumes must be at most {MOST_MOUNTS} of one sandbox")));
    }
    if mounts.iter().any(|mount| mount.path == new.path) {
        return Err(ApiError::invalid(format!("volumes: there is more than one at {}", new.path)));
    }
    Ok(())
}

/// Reads which volume is to be mounted, and where.
pub(crate) async fn mount(
    state: &ApiState,
    caller: &Caller,
    asked: &SandboxVolume,
) -> Result<VolumeMount, ApiError> {
    let path =
        asked.mount_path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(&asked.mount_path);
    if let Some(reason) = refused_mount_path(path) {
        return Err(ApiError::invalid(format!("Invalid mount path {path}: {reason}")));
    }
    let subpath = asked.subpath.as_deref().filter(|subpath| !subpath.is_empty());
    if let Some(reason) = subpath.and_then(refused_subpath) {
        return Err(ApiError::invalid(format!("Invalid volume subpath: {reason}")));
    }
    let volume = find(state, caller, &asked.volume_id).await?;
    if volume.state != VolumeState::Ready {
        let (name, word) = (volume.name, volume.state.as_str());
        return Err(ApiError::invalid(format!("Volume {name} is not ready to be mounted; it is {word}")));
    }
    Ok(VolumeMount {
        volume_id: volume.id,
        path: path.to_owned(),
        subpath: subpath.map(str::to_owned),
        is_read_only: asked.read_only,
    })
}

/// Finds a volume by its id or its name; a text that is one's id and another's name is neither.
async fn find(state: &ApiState, caller: &Caller, reference: &str) -> Result<Volume, ApiError> {
    let by_name = state.store.volume_find(caller.organization_id, reference).await?;
    let by_id = match get(state, caller, reference).await {
        Ok(volume) if volume.state != VolumeState::Deleted => Some(volume),
        Ok(_) | Err(ApiError::VolumeNotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    match (by_id, by_name) {
        (Some(one), Some(other)) if one.id != other.id => Err(ApiError::invalid(format!(
            "Volume {reference} is ambiguous: it is one's id and another's name"
        ))),
        (Some(volume), _) | (None, Some(volume)) => Ok(volume),
        (None, None) => Err(not_found(reference)),
    }
}

fn not_found(reference: &str) -> ApiError {
    ApiError::VolumeNotFound { reference: reference.to_owned() }
}
