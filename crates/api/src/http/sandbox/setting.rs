//! What can be changed of a sandbox while it lives.

use axum::Json as Answer;
use axum::extract::State;
use daytona_wire::api::sandbox as wire;
use daytona_wire::error::ErrorBody;
use types::sandbox::{Intervals, Sandbox};

use crate::caller::Writer;
use crate::callers::Caller;
use crate::error::ApiError;
use crate::request::{Json, Segments};
use crate::state::ApiState;
use crate::{limits, sandbox, view};

/// Replaces all labels.
#[utoipa::path(put, operation_id = "replaceLabels", path = "/sandbox/{sandboxIdOrName}/labels", tag = "sandbox",
    params(("sandboxIdOrName" = String, Path, description = "Id or name")), request_body = wire::SandboxLabels,
    responses((status = 200, body = wire::SandboxLabels), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn labels(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
    Json(wire::SandboxLabels { labels }): Json<wire::SandboxLabels>,
) -> Result<Answer<wire::SandboxLabels>, ApiError> {
    limits::labels(&labels)?;
    let change = |sandbox| Ok(Sandbox { labels: labels.clone(), ..sandbox });
    let written = sandbox::change(&state, &caller, segments.sandbox(), change).await?;
    Ok(Answer(wire::SandboxLabels { labels: written.labels }))
}

/// Sets after how many idle minutes the sandbox stops; 0 never.
#[utoipa::path(post, operation_id = "setAutostopInterval", path = "/sandbox/{sandboxIdOrName}/autostop/{interval}", tag = "sandbox", params(
    ("sandboxIdOrName" = String, Path, description = "Id or name"), ("interval" = i64, Path, description = "Minutes")
), responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn auto_stop(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let auto_stop = limits::auto_stop(segments.integer("interval")?)?;
    set_intervals(&state, &caller, &segments, |intervals| Intervals { auto_stop, ..intervals }).await
}

/// Sets after how many stopped minutes the sandbox is archived; 0 means the longest allowed.
#[utoipa::path(post, operation_id = "setAutoArchiveInterval", path = "/sandbox/{sandboxIdOrName}/autoarchive/{interval}", tag = "sandbox", params(
    ("sandboxIdOrName" = String, Path, description = "Id or name"), ("interval" = i64, Path, description = "Minutes")
), responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn auto_archive(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let auto_archive = limits::auto_archive(segments.integer("interval")?, &state.settings)?;
    set_intervals(&state, &caller, &segments, |intervals| Intervals { auto_archive, ..intervals }).await
}

/// Sets after how many stopped minutes the sandbox is deleted; negative never, 0 as soon as it stops.
#[utoipa::path(post, operation_id = "setAutoDeleteInterval", path = "/sandbox/{sandboxIdOrName}/autodelete/{interval}", tag = "sandbox", params(
    ("sandboxIdOrName" = String, Path, description = "Id or name"), ("interval" = i64, Path, description = "Minutes")
), responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn auto_delete(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let auto_delete = limits::auto_delete(segments.integer("interval")?)?;
    set_intervals(&state, &caller, &segments, |intervals| Intervals { auto_delete, ..intervals }).await
}

async fn set_intervals(
    state: &ApiState,
    caller: &Caller,
    segments: &Segments,
    set: impl Fn(Intervals) -> Intervals + Send + Sync,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let change = |sandbox: Sandbox| Ok(Sandbox { intervals: set(sandbox.intervals), ..sandbox });
    let written = sandbox::change(state, caller, segments.sandbox(), change).await?;
    Ok(Answer(view::sandbox::full(written, &state.settings)))
}

/// Sets whether previews need no key; anything but `true` means that they do.
#[utoipa::path(post, operation_id = "updatePublicStatus", path = "/sandbox/{sandboxIdOrName}/public/{isPublic}", tag = "sandbox", params(
    ("sandboxIdOrName" = String, Path, description = "Id or name"), ("isPublic" = bool, Path)
), responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn public(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let public = segments.get("isPublic") == "true";
    let change = |sandbox| Ok(Sandbox { public, ..sandbox });
    let written = sandbox::change(&state, &caller, segments.sandbox(), change).await?;
    Ok(Answer(view::sandbox::full(written, &state.settings)))
}

/// Changes what the sandbox may reach, at once when it runs.
#[utoipa::path(post, operation_id = "updateNetworkSettings", path = "/sandbox/{sandboxIdOrName}/network-settings", tag = "sandbox",
    params(("sandboxIdOrName" = String, Path, description = "Id or name")),
    request_body = wire::UpdateSandboxNetworkSettings,
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn network(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
    Json(asked): Json<wire::UpdateSandboxNetworkSettings>,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let change = |sandbox: Sandbox| {
        Ok(Sandbox { network: sandbox::network(&asked, sandbox.network.clone())?, ..sandbox })
    };
    let written = sandbox::change(&state, &caller, segments.sandbox(), change).await?;
    let settled = sandbox::settle(&state, written).await?;
    Ok(Answer(view::sandbox::full(settled, &state.settings)))
}
