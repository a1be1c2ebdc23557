//! What can be changed of a sandbox while it lives.

use axum::Json as Answer;
use axum::extract::State;
use daytona_wire::api::sandbox as wire;
use daytona_wire::error::ErrorBody;
use types::sandbox::Sandbox;

use crate::caller::Writer;
use crate::callers::Caller;
use crate::error::ApiError;
use crate::lifecycle::timer;
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
    set(&state, &caller, &segments, |sandbox| Ok(timer::auto_stop(sandbox, auto_stop))).await
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
    set(&state, &caller, &segments, |sandbox| Ok(timer::auto_archive(sandbox, auto_archive))).await
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
    set(&state, &caller, &segments, |sandbox| timer::auto_delete(sandbox, auto_delete)).await
}

/// Sets after how many idle minutes the sandbox is paused; 0 never. At most one of this and the time before a stop is set:
/// the later wish stands.
#[utoipa::path(post, operation_id = "setAutoPauseInterval", path = "/sandbox/{sandboxIdOrName}/autopause/{interval}", tag = "sandbox", params(
    ("sandboxIdOrName" = String, Path, description = "Id or name"), ("interval" = i64, Path, description = "Minutes")
), responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn auto_pause(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let auto_pause = limits::auto_pause(segments.integer("interval")?)?;
    set(&state, &caller, &segments, |sandbox| timer::auto_pause(sandbox, auto_pause)).await
}

/// Sets how many minutes from now on the sandbox lives, whatever it does; 0 for ever.
#[utoipa::path(post, operation_id = "setTtl", path = "/sandbox/{sandboxIdOrName}/ttl/{ttlMinutes}", tag = "sandbox", params(
    ("sandboxIdOrName" = String, Path, description = "Id or name"), ("ttlMinutes" = i64, Path, description = "Minutes")
), responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn time_to_live(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let minutes = limits::time_to_live(segments.integer("ttlMinutes")?)?;
    let destroy_at = timer::end(minutes, state.clock.now())?;
    set(&state, &caller, &segments, |sandbox| Ok(Sandbox { destroy_at, ..sandbox })).await
}

/// Replaces the secrets; none is built yet, so that only the empty list is taken.
#[utoipa::path(put, operation_id = "updateSandboxSecrets", path = "/sandbox/{sandboxIdOrName}/secrets", tag = "sandbox",
    params(("sandboxIdOrName" = String, Path, description = "Id or name")), request_body = wire::UpdateSandboxSecrets,
    responses((status = 200, body = wire::Sandbox), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn secrets(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
    Json(asked): Json<wire::UpdateSandboxSecrets>,
) -> Result<Answer<wire::Sandbox>, ApiError> {
    let found = sandbox::find(&state, &caller, segments.sandbox()).await?;
    limits::secrets(&asked)?;
    Ok(Answer(view::sandbox::full(found, &state.settings)))
}

async fn set(
    state: &ApiState,
    caller: &Caller,
    segments: &Segments,
    change: impl Fn(Sandbox) -> Result<Sandbox, ApiError> + Send,
) -> Result<Answer<wire::Sandbox>, ApiError> {
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
        Ok(Sandbox { network: sandbox::network::changed(&asked, sandbox.network.clone())?, ..sandbox })
    };
    let written = sandbox::change(&state, &caller, segments.sandbox(), change).await?;
    let settled = sandbox::settle(&state, written).await?;
    Ok(Answer(view::sandbox::full(settled, &state.settings)))
}
