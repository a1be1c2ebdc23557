//! How a sandbox is reached, and that it was.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use daytona_wire::api::sandbox as wire;
use daytona_wire::error::ErrorBody;

use crate::callers::Caller;
use crate::error::ApiError;
use crate::request::Segments;
use crate::sandbox;
use crate::state::ApiState;

/// Notes that the sandbox is in use. A body, which newer clients send, says nothing we need.
#[utoipa::path(post, operation_id = "updateLastActivity", path = "/sandbox/{sandboxId}/last-activity", tag = "sandbox",
    params(("sandboxId" = String, Path, description = "Id or name")),
    responses((status = 201), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn last_activity(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<StatusCode, ApiError> {
    let found = sandbox::find(&state, &caller, segments.sandbox()).await?;
    state.store.sandbox_touch(found.id, state.clock.now()).await?;
    Ok(StatusCode::CREATED)
}

/// Returns where the sandbox's toolbox is reached.
#[utoipa::path(get, operation_id = "getToolboxProxyUrl", path = "/sandbox/{sandboxId}/toolbox-proxy-url", tag = "sandbox",
    params(("sandboxId" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::ToolboxProxyUrl), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn toolbox_proxy_url(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<wire::ToolboxProxyUrl>, ApiError> {
    sandbox::find(&state, &caller, segments.sandbox()).await?;
    Ok(Answer(wire::ToolboxProxyUrl { url: state.settings.toolbox_proxy_url.clone() }))
}
