//! Starting, stopping, holding, archiving, repairing and resizing.

use axum::Json as Answer;
use axum::extract::State;
use daytona_wire::api::sandbox as wire;
use daytona_wire::error::ErrorBody;

use crate::caller::Writer;
use crate::error::ApiError;
use crate::lifecycle::{copy, power as rules};
use crate::request::{Json, Query, Segments};
use crate::state::ApiState;
use crate::{sandbox, view};

/// Starts a stopped or archived sandbox, or lets a paused one go on, and answers once it takes commands, or a little later
/// with the state it is in. What comes back from the archive is not waited for.
#[utoipa::path(post, operation_id = "startSandbox", path = "/sandbox/{sandboxIdOrName}/start", tag = "sandbox",
    params(("sandboxIdOrName" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn start(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let (token, now) = (types::sandbox::secret::auth_token(state.random.as_ref()), state.clock.now());
    let change = |sandbox| rules::start(sandbox, &token, now);
    let written = sandbox::change(&state, &caller, segments.sandbox(), change).await?;
    let settled = sandbox::settle_start(&state, written).await?;
    Ok(Answer(view::sandbox::full(settled, &state.settings)))
}

/// Stops a sandbox and keeps its files; with `force` without asking its processes.
#[utoipa::path(post, operation_id = "stopSandbox", path = "/sandbox/{sandboxIdOrName}/stop", tag = "sandbox", params(
    ("sandboxIdOrName" = String, Path, description = "Id or name"),
    ("force" = Option<bool>, Query, description = "Kill the processes without asking them first")
), responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn stop(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
    query: Query,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let (force, now) = (query.truth("force")?.unwrap_or(false), state.clock.now());
    let change = |sandbox| rules::stop(sandbox, force, now);
    let written = sandbox::change(&state, &caller, segments.sandbox(), change).await?;
    let settled = sandbox::settle(&state, written).await?;
    Ok(Answer(view::sandbox::full(settled, &state.settings)))
}

/// Changes processors, memory and disk, of a running sandbox at once; disks only grow.
#[utoipa::path(post, operation_id = "resizeSandbox", path = "/sandbox/{sandboxIdOrName}/resize", tag = "sandbox",
    params(("sandboxIdOrName" = String, Path, description = "Id or name")), request_body = wire::ResizeSandbox,
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn resize(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
    Json(asked): Json<wire::ResizeSandbox>,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let resized = sandbox::resize(&state, &caller, segments.sandbox(), asked).await?;
    Ok(Answer(view::sandbox::full(resized, &state.settings)))
}

/// Holds every process of a sandbox; its memory stays, and it uses no processor.
#[utoipa::path(post, operation_id = "pauseSandbox", path = "/sandbox/{sandboxIdOrName}/pause", tag = "sandbox", params(("sandboxIdOrName" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn pause(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let now = state.clock.now();
    let change = |sandbox| rules::pause(sandbox, now);
    let written = sandbox::change(&state, &caller, segments.sandbox(), change).await?;
    let settled = sandbox::settle(&state, written).await?;
    Ok(Answer(view::sandbox::full(settled, &state.settings)))
}

/// Brings the files of a stopped sandbox into the object storage, and off the host. Answers at once.
#[utoipa::path(post, operation_id = "archiveSandbox", path = "/sandbox/{sandboxIdOrName}/archive", tag = "sandbox", params(("sandboxIdOrName" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn archive(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let written = sandbox::change(&state, &caller, segments.sandbox(), copy::archive).await?;
    state.engine.wake_with(written.clone());
    Ok(Answer(view::sandbox::full(written, &state.settings)))
}

/// Repairs a sandbox that is in error and can be repaired, and starts it.
#[utoipa::path(post, operation_id = "recoverSandbox", path = "/sandbox/{sandboxIdOrName}/recover", tag = "sandbox", params(("sandboxIdOrName" = String, Path, description = "Id or name"),
    ("skipStart" = Option<bool>, Query, description = "Leave it stopped")),
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn recover(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
    query: Query,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let skip_start = query.truth("skipStart")?.unwrap_or(false);
    let (token, now) = (types::sandbox::secret::auth_token(state.random.as_ref()), state.clock.now());
    let change = |sandbox| rules::recover(sandbox, skip_start, &token, now);
    let written = sandbox::change(&state, &caller, segments.sandbox(), change).await?;
    let settled = sandbox::settle(&state, written).await?;
    Ok(Answer(view::sandbox::full(settled, &state.settings)))
}
