//! Volumes: list, create, get, delete, mount.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use daytona_wire::api::sandbox::{Sandbox, SandboxVolume};
use daytona_wire::api::volume as wire;
use daytona_wire::error::ErrorBody;

use crate::caller::{VolumeDeleter, VolumeReader, VolumeWriter, Writer};
use crate::error::ApiError;
use crate::request::{Json, Query, Segments};
use crate::state::ApiState;
use crate::{sandbox, view, volume};

/// Lists the organisation's volumes, last used first.
#[utoipa::path(get, operation_id = "listVolumes", path = "/volumes", tag = "volumes",
    params(("includeDeleted" = Option<bool>, Query, description = "Deleted ones too")),
    responses((status = 200, body = Vec<wire::VolumeDto>), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    VolumeReader(caller): VolumeReader,
    query: Query,
) -> Result<Answer<Vec<wire::VolumeDto>>, ApiError> {
    let include_deleted = query.truth("includeDeleted")?.unwrap_or(false);
    let volumes = volume::list(&state, &caller, include_deleted).await?;
    Ok(Answer(volumes.into_iter().map(view::volume::volume).collect()))
}

/// Makes a volume.
#[utoipa::path(post, operation_id = "createVolume", path = "/volumes", tag = "volumes",
    request_body = wire::CreateVolume,
    responses((status = 200, body = wire::VolumeDto), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    VolumeWriter(caller): VolumeWriter,
    Json(asked): Json<wire::CreateVolume>,
) -> Result<Answer<wire::VolumeDto>, ApiError> {
    Ok(Answer(view::volume::volume(volume::create(&state, &caller, asked).await?)))
}

/// Returns a volume; a deleted one is remembered.
#[utoipa::path(get, operation_id = "getVolume", path = "/volumes/{volumeId}", tag = "volumes",
    params(("volumeId" = String, Path, description = "Id")),
    responses((status = 200, body = wire::VolumeDto), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    VolumeReader(caller): VolumeReader,
    segments: Segments,
) -> Result<Answer<wire::VolumeDto>, ApiError> {
    Ok(Answer(view::volume::volume(volume::get(&state, &caller, segments.get("volumeId")).await?)))
}

/// Returns the volume of that name.
#[utoipa::path(get, operation_id = "getVolumeByName", path = "/volumes/by-name/{name}", tag = "volumes",
    params(("name" = String, Path, description = "Name")),
    responses((status = 200, body = wire::VolumeDto), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get_by_name(
    State(state): State<ApiState>,
    VolumeReader(caller): VolumeReader,
    segments: Segments,
) -> Result<Answer<wire::VolumeDto>, ApiError> {
    Ok(Answer(view::volume::volume(volume::get_by_name(&state, &caller, segments.get("name")).await?)))
}

/// Deletes a volume that no sandbox has.
#[utoipa::path(delete, operation_id = "deleteVolume", path = "/volumes/{volumeId}", tag = "volumes",
    params(("volumeId" = String, Path, description = "Id")),
    responses((status = 200), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    VolumeDeleter(caller): VolumeDeleter,
    segments: Segments,
) -> Result<StatusCode, ApiError> {
    volume::delete(&state, &caller, segments.get("volumeId")).await?;
    Ok(StatusCode::OK)
}

/// Mounts a volume into a sandbox, now if it runs, and at each start. Not part of the contract.
#[utoipa::path(post, operation_id = "attachVolume", path = "/sandbox/{sandboxIdOrName}/volumes", tag = "sandbox",
    params(("sandboxIdOrName" = String, Path, description = "Id or name")), request_body = SandboxVolume,
    responses((status = 200, body = Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn attach(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
    Json(asked): Json<SandboxVolume>,
) -> Result<Answer<Sandbox>, ApiError> {
    let sandbox = sandbox::attach::attach(&state, &caller, segments.sandbox(), &asked).await?;
    Ok(Answer(view::sandbox::full(sandbox, &state.settings)))
}
