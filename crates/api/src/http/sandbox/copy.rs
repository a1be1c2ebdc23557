//! Backups, snapshots and forks, and who came from whom.

use axum::Json as Answer;
use axum::extract::State;
use daytona_wire::api::sandbox as wire;
use daytona_wire::error::ErrorBody;

use crate::caller::Writer;
use crate::callers::Caller;
use crate::error::ApiError;
use crate::lifecycle::copy as rules;
use crate::request::{Json, Query, Segments};
use crate::state::ApiState;
use crate::{sandbox, view};

/// Asks for a copy of the files in the object storage, and answers at once. Archiving makes one by itself.
#[utoipa::path(post, operation_id = "createBackup", path = "/sandbox/{sandboxIdOrName}/backup", tag = "sandbox", params(("sandboxIdOrName" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn backup(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let written = sandbox::change(&state, &caller, segments.sandbox(), rules::backup).await?;
    state.engine.wake_with(written.clone());
    Ok(Answer(view::sandbox::full(written, &state.settings)))
}

/// Takes a snapshot of a sandbox, running or not, and answers at once; the sandbox is `snapshotting` until it is taken.
#[utoipa::path(post, operation_id = "createSandboxSnapshot", path = "/sandbox/{sandboxIdOrName}/snapshot", tag = "sandbox", params(("sandboxIdOrName" = String, Path, description = "Id or name")), request_body = wire::CreateSandboxSnapshot,
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn snapshot(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
    Json(asked): Json<wire::CreateSandboxSnapshot>,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let written = sandbox::copy::capture(&state, &caller, segments.sandbox(), asked).await?;
    Ok(Answer(view::sandbox::full(written, &state.settings)))
}

/// Makes a sandbox whose files are those of another as they are now, running or not, and starts it.
#[utoipa::path(post, operation_id = "forkSandbox", path = "/sandbox/{sandboxIdOrName}/fork", tag = "sandbox", params(("sandboxIdOrName" = String, Path, description = "Id or name")), request_body = wire::ForkSandbox,
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn fork(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
    Json(asked): Json<wire::ForkSandbox>,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let child = sandbox::copy::fork(&state, &caller, segments.sandbox(), asked).await?;
    Ok(Answer(view::sandbox::full(child, &state.settings)))
}

/// Lists what was forked from a sandbox, oldest first, at most 100.
#[utoipa::path(get, operation_id = "getSandboxForks", path = "/sandbox/{sandboxIdOrName}/forks", tag = "sandbox", params(("sandboxIdOrName" = String, Path, description = "Id or name"),
    ("includeDestroyed" = Option<bool>, Query, description = "Also those that are gone and still remembered")),
    responses((status = 200, body = Vec<wire::Sandbox>), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn forks(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<Answer<Vec<wire::Sandbox>>, ApiError> {
    let gone = query.truth("includeDestroyed")?.unwrap_or(false);
    let found = sandbox::find(&state, &caller, segments.sandbox()).await?;
    let forks = state.store.sandbox_list_forks(caller.organization_id, found.id, gone).await?;
    Ok(Answer(view::sandbox::all(forks, &state.settings)))
}

/// Returns what a sandbox was forked from, while it is remembered.
#[utoipa::path(get, operation_id = "getSandboxParent", path = "/sandbox/{sandboxIdOrName}/parent", tag = "sandbox", params(("sandboxIdOrName" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn parent(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let parent = sandbox::parent(&state, &caller, segments.sandbox()).await?;
    Ok(Answer(view::sandbox::full(parent, &state.settings)))
}

/// Lists what a sandbox was forked from, the first of all first, at most 50.
#[utoipa::path(get, operation_id = "getSandboxAncestors", path = "/sandbox/{sandboxIdOrName}/ancestors", tag = "sandbox", params(("sandboxIdOrName" = String, Path, description = "Id or name")),
    responses((status = 200, body = Vec<wire::Sandbox>), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn ancestors(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<Vec<wire::Sandbox>>, ApiError> {
    let found = sandbox::find(&state, &caller, segments.sandbox()).await?;
    let ancestors = state.store.sandbox_list_ancestors(&found).await?;
    Ok(Answer(view::sandbox::all(ancestors, &state.settings)))
}
