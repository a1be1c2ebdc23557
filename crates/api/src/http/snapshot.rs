//! Snapshots: list, get, delete.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use daytona_wire::api::snapshot as wire;
use daytona_wire::error::ErrorBody;

use crate::caller::SnapshotDeleter;
use crate::callers::Caller;
use crate::error::ApiError;
use crate::request::{Query, Segments};
use crate::snapshot::page;
use crate::state::ApiState;
use crate::{list, snapshot, view};

/// Lists the organisation's snapshots and the general one that sandboxes start from by default.
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
    let items = shown.into_iter().map(|known| view::snapshot::snapshot(known, &state.settings)).collect();
    Ok(Answer(wire::PaginatedSnapshots {
        items,
        total,
        page: wanted.number,
        total_pages: wanted.pages(total),
    }))
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
    Ok(Answer(view::snapshot::snapshot(found, &state.settings)))
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
