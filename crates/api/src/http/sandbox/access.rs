//! How a sandbox is reached, and that it was.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use daytona_wire::api::sandbox as wire;
use daytona_wire::error::ErrorBody;
use types::sandbox::Sandbox;

use crate::caller::Writer;
use crate::callers::Caller;
use crate::error::ApiError;
use crate::request::{Query, Segments};
use crate::state::ApiState;
use crate::{limits, sandbox, view};

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

/// Returns where a port of the sandbox is reached, and what opens it while the sandbox is not public. The same secret opens
/// the toolbox: who may only read does not get it, although the contract asks for no permission.
#[utoipa::path(get, operation_id = "getPortPreviewUrl", path = "/sandbox/{sandboxIdOrName}/ports/{port}/preview-url", tag = "sandbox", params(("sandboxIdOrName" = String, Path, description = "Id or name"),
    ("port" = u16, Path, description = "The port inside")),
    responses((status = 200, body = wire::PortPreviewUrl), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn preview_url(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<wire::PortPreviewUrl>, ApiError> {
    let port = limits::port(segments.get("port"))?;
    let found = sandbox::find(&state, &caller, segments.sandbox()).await?;
    Ok(Answer(view::preview::port(found, port, &state.settings)))
}

/// Makes a URL that opens one port for a while, without a key. It writes a row, and a port may be a way to run commands: who
/// may only read does not get one.
#[utoipa::path(get, operation_id = "getSignedPortPreviewUrl", path = "/sandbox/{sandboxIdOrName}/ports/{port}/signed-preview-url", tag = "sandbox", params(("sandboxIdOrName" = String, Path, description = "Id or name"),
    ("port" = u16, Path, description = "The port inside"),
    ("expiresInSeconds" = Option<u32>, Query, description = "How long it holds, 1 to 86400; 60 by default")),
    responses((status = 200, body = wire::SignedPortPreviewUrl), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn signed_preview_url(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
    query: Query,
) -> Result<Answer<wire::SignedPortPreviewUrl>, ApiError> {
    let port = limits::port(segments.get("port"))?;
    let seconds = limits::preview_seconds(query.at_least("expiresInSeconds", 1)?)?;
    let found = sandbox::find(&state, &caller, segments.sandbox()).await?;
    let link = sandbox::preview::sign(&state, &found, port, seconds).await?;
    Ok(Answer(view::preview::signed(link, &state.settings)))
}

/// Ends a signed URL. One that is not there is ended already.
#[utoipa::path(post, operation_id = "expireSignedPortPreviewUrl", path = "/sandbox/{sandboxIdOrName}/ports/{port}/signed-preview-url/{token}/expire", tag = "sandbox", params(("sandboxIdOrName" = String, Path, description = "Id or name"),
    ("port" = u16, Path, description = "The port inside"),
    ("token" = String, Path, description = "The part of the URL that opens it")),
    responses((status = 200), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn expire_signed_preview_url(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<StatusCode, ApiError> {
    let port = limits::port(segments.get("port"))?;
    let found = sandbox::find(&state, &caller, segments.sandbox()).await?;
    state.store.signed_preview_delete(segments.get("token"), found.id, port).await?;
    Ok(StatusCode::OK)
}

/// Returns the secret that signs the URLs of the sandbox's files. Whoever has it may read and write them.
#[utoipa::path(get, operation_id = "getSandboxSigningKey", path = "/sandbox/{sandboxId}/signing-key", tag = "sandbox", params(("sandboxId" = String, Path, description = "Id or name")),
    responses((status = 200, body = String, content_type = "application/json"), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn signing_key(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<String>, ApiError> {
    Ok(Answer(sandbox::find(&state, &caller, segments.sandbox()).await?.signing_key))
}

/// Draws a new secret that signs the URLs of the sandbox's files. All URLs that the old one signed end.
#[utoipa::path(post, operation_id = "rotateSigningKey", path = "/sandbox/{sandboxId}/signing-key/rotate", tag = "sandbox", params(("sandboxId" = String, Path, description = "Id or name")),
    responses((status = 200, body = String, content_type = "application/json"), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn rotate_signing_key(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
) -> Result<Answer<String>, ApiError> {
    let key = types::sandbox::secret::signing_key(state.random.as_ref());
    let change = |sandbox| Ok(Sandbox { signing_key: key.clone(), ..sandbox });
    sandbox::change(&state, &caller, segments.sandbox(), change).await?;
    Ok(Answer(key))
}
