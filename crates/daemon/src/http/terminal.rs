//! Terminals, and the page that shows one in a browser.

pub mod client;
pub mod web;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use daytona_wire::error::ErrorBody;
use daytona_wire::toolbox::terminal::{
    PtyCreateRequest, PtyCreateResponse, PtyDeleteResponse, PtyListResponse, PtyResizeRequest, PtySessionInfo,
};
use utoipa::OpenApi;

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::http::extract::{LaxJson, Query};
use crate::http::socket::offered;
use crate::terminal::{Registration, Request, window};
pub use web::web_routes;

/// Offered by clients that cannot send variables in a body: this, and base64 of a JSON object.
const VARIABLES_PROTOCOL: &str = "X-Daytona-Pty-Envs~";

/// What is answered here.
pub fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/process/pty", get(list).post(create))
        .route("/process/pty/create-connect", get(create_connect))
        .route("/process/pty/{session_id}", get(info).delete(delete))
        .route("/process/pty/{session_id}/resize", post(resize))
        .route("/process/pty/{session_id}/connect", get(connect))
        .merge(web::routes("/terminal"))
}

/// The description of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(list, create, info, delete, resize, connect, create_connect))]
pub struct Document;

/// Lists terminals.
#[utoipa::path(get, path = "/process/pty", operation_id = "ListPtySessions", tag = "process",
    responses((status = 200, body = PtyListResponse)))]
pub async fn list(State(daemon): State<Arc<Daemon>>) -> Json<PtyListResponse> {
    Json(PtyListResponse { sessions: daemon.terminals.list() })
}

/// Makes a terminal.
#[utoipa::path(post, path = "/process/pty", operation_id = "CreatePtySession", tag = "process",
    request_body = PtyCreateRequest,
    responses((status = 201, body = PtyCreateResponse), (status = 400, body = ErrorBody),
        (status = 409, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub async fn create(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<PtyCreateRequest>,
) -> Result<(StatusCode, Json<PtyCreateResponse>), DaemonError> {
    let registration = register(&daemon, request).await?;
    let info = registration.info();
    if !info.lazy_start {
        daemon.terminals.start(&daemon.executor, registration.terminal()).await?;
    }
    registration.keep();
    Ok((StatusCode::CREATED, Json(PtyCreateResponse { session_id: info.id })))
}

/// Describes a terminal.
#[utoipa::path(get, path = "/process/pty/{sessionId}", operation_id = "GetPtySession", tag = "process",
    params(("sessionId" = String, Path)),
    responses((status = 200, body = PtySessionInfo), (status = 404, body = ErrorBody)))]
pub async fn info(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<PtySessionInfo>, DaemonError> {
    Ok(Json(daemon.terminals.get(&id)?.info()))
}

/// Ends a terminal and everything that was started in it.
#[utoipa::path(delete, path = "/process/pty/{sessionId}", operation_id = "DeletePtySession", tag = "process",
    params(("sessionId" = String, Path)),
    responses((status = 200, body = PtyDeleteResponse), (status = 404, body = ErrorBody)))]
pub async fn delete(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<PtyDeleteResponse>, DaemonError> {
    daemon.terminals.delete(&id).await?;
    Ok(Json(PtyDeleteResponse { message: "PTY session deleted".to_owned() }))
}

/// Changes a terminal's size for all its clients.
#[utoipa::path(post, path = "/process/pty/{sessionId}/resize", operation_id = "ResizePtySession",
    tag = "process", params(("sessionId" = String, Path)), request_body = PtyResizeRequest,
    responses((status = 200, body = PtySessionInfo), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 410, body = ErrorBody)))]
pub async fn resize(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
    LaxJson(request): LaxJson<PtyResizeRequest>,
) -> Result<Json<PtySessionInfo>, DaemonError> {
    if request.cols == 0 || request.rows == 0 {
        let reason = "`cols` and `rows` are at least 1".to_owned();
        return Err(DaemonError::Invalid { reason });
    }
    let window = window(Some(request.cols), Some(request.rows))?;
    Ok(Json(daemon.terminals.resize(&id, window)?))
}

/// Connects a client to a terminal over a web socket.
#[utoipa::path(get, path = "/process/pty/{sessionId}/connect", operation_id = "ConnectPtySession",
    tag = "process", params(("sessionId" = String, Path)),
    responses((status = 101, description = "a web socket"), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub async fn connect(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, DaemonError> {
    let upgrade = upgrade.map_err(|rejection| no_upgrade(&rejection))?;
    let terminal = daemon.terminals.get(&id)?;
    let attachment = daemon.terminals.attach(&daemon.executor, &terminal).await?;
    Ok(client::answer(upgrade, &headers, attachment))
}

/// Makes a terminal and connects to it at once; in no published document, but what newer SDKs call.
#[utoipa::path(get, path = "/process/pty/create-connect", operation_id = "CreateConnectPtySession", tag = "process",
    params(("id" = String, Query), ("cols" = Option<u16>, Query), ("rows" = Option<u16>, Query),
        ("cwd" = Option<String>, Query)),
    responses((status = 101, description = "a web socket"), (status = 400, body = ErrorBody),
        (status = 409, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub async fn create_connect(
    State(daemon): State<Arc<Daemon>>,
    query: Query,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, DaemonError> {
    let upgrade = upgrade.map_err(|rejection| no_upgrade(&rejection))?;
    let side = |name| query.optional(name).map(|text| number(name, text)).transpose();
    let request = PtyCreateRequest {
        id: query.optional("id").map(str::to_owned),
        cwd: query.optional("cwd").map(str::to_owned),
        envs: variables(&headers)?,
        cols: side("cols")?,
        rows: side("rows")?,
        lazy_start: Some(true),
    };
    let registration = register(&daemon, request).await?;
    // The shell runs before the upgrade is answered: one official client gives up when it is not ready then.
    let attachment = daemon.terminals.attach(&daemon.executor, registration.terminal()).await?;
    registration.keep();
    Ok(client::answer(upgrade, &headers, attachment))
}

async fn register(daemon: &Daemon, request: PtyCreateRequest) -> Result<Registration<'_>, DaemonError> {
    let asked = request.envs.unwrap_or_default();
    let directory = match request.cwd.as_deref().filter(|cwd| !cwd.is_empty()) {
        Some(cwd) => daemon.origin.resolve("start in", cwd)?.to_string_lossy().into_owned(),
        None => daemon.origin.work_dir.clone(),
    };
    let request = Request {
        id: request.id.filter(|id| !id.is_empty()).unwrap_or_else(|| daemon.token()),
        shell: daemon.shell.clone(),
        variables: daemon.environment.with(Some(&asked))?,
        asked,
        directory,
        window: window(request.cols, request.rows)?,
        is_lazy: request.lazy_start.unwrap_or(false),
        is_listed: true,
        now: daemon.clock.now(),
    };
    daemon.terminals.register(request).await
}

/// Reads the variables that a client offers as a protocol.
pub fn variables(headers: &HeaderMap) -> Result<Option<BTreeMap<String, String>>, DaemonError> {
    let offered = offered(headers);
    let Some(encoded) = offered.iter().find_map(|protocol| protocol.strip_prefix(VARIABLES_PROTOCOL)) else {
        return Ok(None);
    };
    let invalid = |problem: String| DaemonError::Invalid {
        reason: format!(
            "the protocol `{VARIABLES_PROTOCOL}…` is not base64url of a JSON object of strings: {problem}"
        ),
    };
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let json = GeneralPurpose::new(&URL_SAFE, config).decode(encoded);
    let json = json.map_err(|error| invalid(error.to_string()))?;
    serde_json::from_slice(&json).map(Some).map_err(|error| invalid(error.to_string()))
}

fn number(name: &str, text: &str) -> Result<u32, DaemonError> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        let reason = format!("query parameter `{name}` is `{}`; use a number", shown.escape_debug());
        DaemonError::Invalid { reason }
    })
}

fn no_upgrade(rejection: &WebSocketUpgradeRejection) -> DaemonError {
    DaemonError::Invalid { reason: format!("this operation is a web socket: {}", rejection.body_text()) }
}

#[cfg(test)]
mod tests {
    use axum::http::header::SEC_WEBSOCKET_PROTOCOL;

    use super::*;

    #[test]
    fn variables_travel_as_a_protocol() {
        let read = |offer: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(SEC_WEBSOCKET_PROTOCOL, offer.parse().expect("value"));
            variables(&headers)
        };
        assert_eq!(read("X-Daytona-Pty-Exit-Control").expect("none"), None);
        let one = BTreeMap::from([("E".to_owned(), "1".to_owned())]);
        for offer in ["X, X-Daytona-Pty-Envs~eyJFIjogIjEifQ", "X-Daytona-Pty-Envs~eyJFIjogIjEifQ=="] {
            assert_eq!(read(offer).expect("variables"), Some(one.clone()));
        }
        for nonsense in ["!!", "", "eyJFIjogIjEi", "W10", "eyJFIjoxfQ"] {
            read(&format!("X-Daytona-Pty-Envs~{nonsense}")).expect_err(nonsense);
        }
    }
}
