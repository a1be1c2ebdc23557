//! Sandboxes: list, create, get, delete; what else can be asked of them is in the files below.

pub(crate) mod lifecycle;
pub(crate) mod copy;
pub(crate) mod setting;
pub(crate) mod access;
pub(crate) mod owner;
pub(crate) mod telemetry;

use axum::Json as Answer;
use axum::extract::State;
use daytona_wire::api::sandbox as wire;
use daytona_wire::error::ErrorBody;

use crate::caller::{Deleter, Writer};
use crate::callers::Caller;
use crate::error::ApiError;
use crate::request::{Json, Query, Segments};
use crate::state::ApiState;
use crate::{list, sandbox, view};

/// Lists sandboxes, a page at a time, from a cursor on.
#[utoipa::path(get, operation_id = "listSandboxes", path = "/sandbox", tag = "sandbox", params(
    ("cursor" = Option<String>, Query, description = "Where the page begins: `nextCursor` of the page before"),
    ("limit" = Option<u32>, Query, description = "The most items, 1 to 200; 100 by default"),
    ("id" = Option<String>, Query, description = "Start of the id"),
    ("name" = Option<String>, Query, description = "Start of the name, whatever its case"),
    ("labels" = Option<String>, Query, description = "A JSON object of labels that must all match"),
    ("includeErroredDeleted" = Option<bool>, Query, description = "Also those whose removal failed"),
    ("states" = Option<Vec<String>>, Query, description = "Any of these states"),
    ("snapshots" = Option<Vec<String>>, Query, description = "Any of these snapshots"),
    ("regionIds" = Option<Vec<String>>, Query, description = "Any of these regions"),
    ("sandboxClasses" = Option<Vec<String>>, Query, description = "Any of these classes"),
    ("minCpu" = Option<u32>, Query), ("maxCpu" = Option<u32>, Query),
    ("minMemoryGiB" = Option<u32>, Query), ("maxMemoryGiB" = Option<u32>, Query),
    ("minDiskGiB" = Option<u32>, Query), ("maxDiskGiB" = Option<u32>, Query),
    ("isPublic" = Option<bool>, Query), ("isRecoverable" = Option<bool>, Query),
    ("createdAtAfter" = Option<String>, Query), ("createdAtBefore" = Option<String>, Query),
    ("lastEventAfter" = Option<String>, Query), ("lastEventBefore" = Option<String>, Query),
    ("autoDestroyAtAfter" = Option<String>, Query), ("autoDestroyAtBefore" = Option<String>, Query),
    ("sort" = Option<String>, Query, description = "name, cpu, memoryGib, diskGib, lastActivityAt or createdAt"),
    ("order" = Option<String>, Query, description = "asc or desc")
), responses((status = 200, body = wire::ListSandboxesResponse), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
) -> Result<Answer<wire::ListSandboxesResponse>, ApiError> {
    let (filter, page) = (list::filter(&query)?, list::cursor_page(&query)?);
    let listed = state.store.sandbox_list(caller.organization_id, &filter, &page).await?;
    let next_cursor = listed.next.map(|next| list::write_cursor(&page, next));
    let items =
        listed.rows.into_iter().map(|sandbox| view::sandbox::item(sandbox, &state.settings)).collect();
    Ok(Answer(wire::ListSandboxesResponse { items, next_cursor }))
}

/// Lists sandboxes, a numbered page at a time. Kept for older clients.
#[utoipa::path(get, operation_id = "listSandboxesPaginated_deprecated", path = "/sandbox/paginated", tag = "sandbox", params(
    ("page" = Option<u32>, Query, description = "The page, from 1"),
    ("limit" = Option<u32>, Query, description = "The most items, 1 to 200; 100 by default"),
    ("id" = Option<String>, Query), ("name" = Option<String>, Query), ("labels" = Option<String>, Query),
    ("includeErroredDeleted" = Option<bool>, Query), ("states" = Option<Vec<String>>, Query),
    ("snapshots" = Option<Vec<String>>, Query), ("regions" = Option<Vec<String>>, Query),
    ("minCpu" = Option<u32>, Query), ("maxCpu" = Option<u32>, Query),
    ("minMemoryGiB" = Option<u32>, Query), ("maxMemoryGiB" = Option<u32>, Query),
    ("minDiskGiB" = Option<u32>, Query), ("maxDiskGiB" = Option<u32>, Query),
    ("lastEventAfter" = Option<String>, Query), ("lastEventBefore" = Option<String>, Query),
    ("sort" = Option<String>, Query), ("order" = Option<String>, Query)
), responses((status = 200, body = wire::PaginatedSandboxes), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list_paginated(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
) -> Result<Answer<wire::PaginatedSandboxes>, ApiError> {
    let (filter, (page, number)) = (list::filter(&query)?, list::numbered_page(&query)?);
    let listed = state.store.sandbox_list(caller.organization_id, &filter, &page).await?;
    let (items, total) = (view::sandbox::all(listed.rows, &state.settings), listed.total);
    let total_pages = total.div_ceil(page.limit.into());
    Ok(Answer(wire::PaginatedSandboxes { items, total, page: number, total_pages }))
}

/// Makes a sandbox and answers once it takes commands, or a little later with the state it is in.
#[utoipa::path(post, operation_id = "createSandbox", path = "/sandbox", tag = "sandbox", request_body = wire::CreateSandbox,
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    Json(asked): Json<wire::CreateSandbox>,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let created = sandbox::create::create(&state, &caller, asked).await?;
    let build_info = sandbox::build_info(&state, &created).await?;
    Ok(Answer(wire::Sandbox { build_info, ..view::sandbox::full(created, &state.settings) }))
}

/// Returns a sandbox.
#[utoipa::path(get, operation_id = "getSandbox", path = "/sandbox/{sandboxIdOrName}", tag = "sandbox",
    params(("sandboxIdOrName" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let found = sandbox::find(&state, &caller, segments.sandbox()).await?;
    let (inspection, awake) = tokio::join!(sandbox::inspect(&state, &found), state.engine.awake(&found));
    let build_info = sandbox::build_info(&state, &found).await?;
    let shown = view::sandbox::inspected(found, inspection, awake, &state.settings);
    Ok(Answer(wire::Sandbox { build_info, ..shown }))
}

/// Tells what became of the packets and names that the sandbox asked for. Not part of the contract.
#[utoipa::path(get, operation_id = "getSandboxEgress", path = "/sandbox/{sandboxIdOrName}/egress", tag = "sandbox",
    params(("sandboxIdOrName" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::SandboxEgress), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn egress(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<wire::SandboxEgress>, ApiError> {
    let found = sandbox::find(&state, &caller, segments.sandbox()).await?;
    Ok(Answer(view::sandbox::egress(state.runner.egress(found.id).await?)))
}

/// Deletes a sandbox, whatever its state, unless forks of it live. Its name is free at once.
#[utoipa::path(delete, operation_id = "deleteSandbox", path = "/sandbox/{sandboxIdOrName}", tag = "sandbox",
    params(("sandboxIdOrName" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    Deleter(caller): Deleter,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let written = sandbox::delete(&state, &caller, segments.sandbox()).await?;
    state.engine.wake_with(written.clone());
    // Beside the removal: what was answered as deleted stays so when the power fails.
    state.store.sync().await?;
    Ok(Answer(view::sandbox::full(written, &state.settings)))
}
