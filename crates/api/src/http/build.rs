//! What builds say, by the snapshot or the sandbox that they are for.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use daytona_wire::api::build as wire;
use daytona_wire::error::ErrorBody;
use types::BuildId;

use crate::callers::Caller;
use crate::error::ApiError;
use crate::request::{Query, Segments};
use crate::state::ApiState;
use crate::{build, sandbox, snapshot};

/// Not JSON, no events: what was said, byte for byte.
const PLAIN: (HeaderName, &str) = (header::CONTENT_TYPE, "text/plain; charset=utf-8");

/// Returns where it is told how the image of a snapshot is made.
#[utoipa::path(get, operation_id = "getSnapshotBuildLogsUrl", path = "/snapshots/{id}/build-logs-url", tag = "snapshots",
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::BuildLogsUrl), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn snapshot_url(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<wire::BuildLogsUrl>, ApiError> {
    let found = snapshot::find(&state, &caller, segments.get("id")).await?;
    let url = format!("{}/snapshots/{}/build-logs", state.settings.api_url, found.id);
    Ok(Answer(wire::BuildLogsUrl { url }))
}

/// Tells how the image of a snapshot is made; with `follow` until that has ended.
#[utoipa::path(get, operation_id = "getSnapshotBuildLogs", path = "/snapshots/{id}/build-logs", tag = "snapshots", params(
    ("id" = String, Path, description = "Id or name"),
    ("follow" = Option<bool>, Query, description = "Whether to go on until it is made")),
    responses((status = 200, content_type = "text/plain"), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn snapshot_logs(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<impl IntoResponse, ApiError> {
    let follows = query.truth("follow")?.unwrap_or(false);
    let found = snapshot::find(&state, &caller, segments.get("id")).await?;
    Ok(([PLAIN], build::log(&state, found.build_id, follows)))
}

/// Returns where it is told how the image of a sandbox is made that was asked for with a Dockerfile.
#[utoipa::path(get, operation_id = "getBuildLogsUrl", path = "/sandbox/{sandboxIdOrName}/build-logs-url", tag = "sandbox",
    params(("sandboxIdOrName" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::BuildLogsUrl), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn sandbox_url(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<wire::BuildLogsUrl>, ApiError> {
    let (id, _) = of_sandbox(&state, &caller, segments.sandbox()).await?;
    Ok(Answer(wire::BuildLogsUrl { url: format!("{}/sandbox/{id}/build-logs", state.settings.api_url) }))
}

/// Tells how the image of a sandbox is made; with `follow` until that has ended.
#[utoipa::path(get, operation_id = "getBuildLogs", path = "/sandbox/{sandboxIdOrName}/build-logs", tag = "sandbox", params(
    ("sandboxIdOrName" = String, Path, description = "Id or name"),
    ("follow" = Option<bool>, Query, description = "Whether to go on until it is made")),
    responses((status = 200, content_type = "text/plain"), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn sandbox_logs(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<impl IntoResponse, ApiError> {
    let follows = query.truth("follow")?.unwrap_or(false);
    let (_, build) = of_sandbox(&state, &caller, segments.sandbox()).await?;
    Ok(([PLAIN], build::log(&state, Some(build), follows)))
}

async fn of_sandbox(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
) -> Result<(types::SandboxId, BuildId), ApiError> {
    let found = sandbox::find(state, caller, reference).await?;
    let built = found.preparation.map(|preparation| (found.id, preparation.build_id));
    built.ok_or_else(|| ApiError::NotFromDockerfile { reference: reference.to_owned() })
}
