//! Where the daemon works, which version it is, what it passes on to commands, and what the sandbox uses.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use daytona_wire::error::ErrorBody;
use daytona_wire::toolbox::environment::UpdateEnvRequest;
use daytona_wire::toolbox::info::{
    InitializeRequest, MessageResponse, UserHomeDirResponse, VersionResponse, WorkDirResponse,
};
use daytona_wire::toolbox::system::SystemMetrics;

use crate::daemon::{Daemon, VERSION};
use crate::error::DaemonError;
use crate::http::extract::LaxJson;

/// Tells the directory that commands and relative paths start from.
#[utoipa::path(get, path = "/work-dir", operation_id = "GetWorkDir", tag = "info",
    responses((status = 200, body = WorkDirResponse)))]
pub async fn work_dir(State(daemon): State<Arc<Daemon>>) -> Json<WorkDirResponse> {
    Json(WorkDirResponse { dir: daemon.origin.work_dir.clone() })
}

/// Tells the home directory of the sandbox's user.
#[utoipa::path(get, path = "/user-home-dir", operation_id = "GetUserHomeDir", tag = "info",
    responses((status = 200, body = UserHomeDirResponse)))]
pub async fn user_home_dir(State(daemon): State<Arc<Daemon>>) -> Json<UserHomeDirResponse> {
    Json(UserHomeDirResponse { dir: daemon.origin.home.clone() })
}

/// Tells the daemon's version.
#[utoipa::path(get, path = "/version", operation_id = "GetVersion", tag = "info",
    responses((status = 200, body = VersionResponse)))]
pub async fn version() -> Json<VersionResponse> {
    Json(VersionResponse { version: VERSION.to_owned() })
}

/// Takes the sandbox's token; this daemon sends no telemetry, so it keeps none.
#[utoipa::path(post, path = "/init", operation_id = "Initialize", tag = "server",
    request_body = InitializeRequest,
    responses((status = 200, body = MessageResponse), (status = 400, body = ErrorBody)))]
pub async fn init(LaxJson(_request): LaxJson<InitializeRequest>) -> Json<MessageResponse> {
    Json(MessageResponse { message: "initialized".to_owned() })
}

/// Changes the environment of processes that start later.
#[utoipa::path(post, path = "/env", operation_id = "UpdateEnv", tag = "server",
    request_body = UpdateEnvRequest,
    responses((status = 200, body = MessageResponse), (status = 400, body = ErrorBody)))]
pub async fn env(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<UpdateEnvRequest>,
) -> Result<Json<MessageResponse>, DaemonError> {
    daemon.environment.update(request)?;
    Ok(Json(MessageResponse { message: "environment updated".to_owned() }))
}

/// Measures what the sandbox uses of its resources.
#[utoipa::path(get, path = "/system/metrics", operation_id = "GetSystemMetrics", tag = "system",
    responses((status = 200, body = SystemMetrics)))]
pub async fn metrics(State(daemon): State<Arc<Daemon>>) -> Json<SystemMetrics> {
    // On this thread, not the user's: the daemon may read the accounts of processes that the user may not.
    Json(daemon.meter.measure(daemon.clock.now()))
}
