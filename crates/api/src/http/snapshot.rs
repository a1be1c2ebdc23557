//! Snapshots: list, create, get, delete, put out of use and back.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use daytona_wire::api::snapshot as wire;
use daytona_wire::error::ErrorBody;
use types::snapshot::SavedSnapshot;

use crate::caller::{SnapshotDeleter, SnapshotWriter};
use crate::callers::Caller;
use crate::error::ApiError;
use crate::request::{Json, Query, Segments};
use crate::snapshot::page;
use crate::state::ApiState;
use crate::{list, snapshot, view};

/// Lists the organisation's snapshots and everybody's.
#[utoipa::path(get, operation_id = "getAllSnapshots", path = "/snapshots", tag = "snapshots", params(
    ("page" = Option<u32>, Query, description = "The page, from 1"),
    ("limit" = Option<u32>, Query, description = "The most items, 1 to 200; 100 by default"),
    ("name" = Option<String>, Query, description = "A part of the name, whatever its case"),
    ("sourceSandboxId" = Option<String>, Query, description = "The sandbox it was taken of"),
    ("sort" = Option<String>, Query, description = "name, state, lastUsedAt or createdAt"),
    ("order" = Option<String>, Query, description = "asc or desc")
), responses((status = 200, body = wire::PaginatedSnapshots), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
) -> Result<Answer<wire::PaginatedSnapshots>, ApiError> {
    let wanted = list::snapshots(&query)?;
    let known = snapshot::list(&state, &caller).await?;
    let (shown, total) = page::cut(known, &wanted);
    let builds = snapshot::builds(&state, &shown).await?;
    let show = |saved| view::snapshot::snapshot(saved, &builds, &state.settings);
    let items = shown.into_iter().map(show).collect();
    Ok(Answer(wire::PaginatedSnapshots {
        items,
        total,
        page: wanted.number,
        total_pages: wanted.pages(total),
    }))
}

/// Asks for a snapshot of an image or a Dockerfile. What comes of it is seen by getting it.
#[utoipa::path(post, operation_id = "createSnapshot", path = "/snapshots", tag = "snapshots", request_body = wire::CreateSnapshot,
    responses((status = 200, body = wire::SnapshotDto), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    SnapshotWriter(caller): SnapshotWriter,
    Json(asked): Json<wire::CreateSnapshot>,
) -> Result<Answer<wire::SnapshotDto>, ApiError> {
    let created = snapshot::create(&state, &caller, asked).await?;
    show(&state, created).await
}

/// Puts a snapshot into use again that was put out of use.
#[utoipa::path(post, operation_id = "activateSnapshot", path = "/snapshots/{id}/activate", tag = "snapshots",
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = wire::SnapshotDto), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn activate(
    State(state): State<ApiState>,
    SnapshotWriter(caller): SnapshotWriter,
    segments: Segments,
) -> Result<Answer<wire::SnapshotDto>, ApiError> {
    let written = snapshot::activate(&state, &caller, segments.get("id")).await?;
    show(&state, written).await
}

/// Puts a snapshot out of use. Sandboxes made from it live on.
#[utoipa::path(post, operation_id = "deactivateSnapshot", path = "/snapshots/{id}/deactivate", tag = "snapshots",
    params(("id" = String, Path, description = "Id")),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn deactivate(
    State(state): State<ApiState>,
    SnapshotWriter(caller): SnapshotWriter,
    segments: Segments,
) -> Result<StatusCode, ApiError> {
    snapshot::deactivate(&state, &caller, segments.get("id")).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn show(state: &ApiState, saved: SavedSnapshot) -> Result<Answer<wire::SnapshotDto>, ApiError> {
    let builds = snapshot::builds(state, std::slice::from_ref(&saved)).await?;
    Ok(Answer(view::snapshot::snapshot(saved, &builds, &state.settings)))
}

/// Returns a snapshot of the organisation, or a general one.
#[utoipa::path(get, operation_id = "getSnapshot", path = "/snapshots/{id}", tag = "snapshots",
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::SnapshotDto), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<wire::SnapshotDto>, ApiError> {
    let found = snapshot::find(&state, &caller, segments.get("id")).await?;
    show(&state, found).await
}

/// Deletes a snapshot of the organisation. Sandboxes made from it live on.
#[utoipa::path(delete, operation_id = "removeSnapshot", path = "/snapshots/{id}", tag = "snapshots",
    params(("id" = String, Path, description = "Id")),
    responses((status = 200), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    SnapshotDeleter(caller): SnapshotDeleter,
    segments: Segments,
) -> Result<StatusCode, ApiError> {
    snapshot::delete(&state, &caller, segments.get("id")).await?;
    Ok(StatusCode::OK)
}
