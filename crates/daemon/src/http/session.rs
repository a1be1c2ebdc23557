//! Sessions and their commands.

pub mod version;
pub mod log;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use daytona_wire::error::ErrorBody;
use daytona_wire::toolbox::session as wire;
use serde::de::DeserializeOwned;
use utoipa::OpenApi;

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::http::extract::{LaxJson, Query};
use crate::http::session::version::form;
use crate::http::socket;
use crate::program::Launch;
use crate::session::command::{Command, Stage};
use crate::session::entrypoint;
use crate::session::life::{Job, Session};
use crate::session::shell::{Shell, for_sessions};

/// What is answered here.
pub fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/process/session", get(list).post(create))
        .route("/process/session/entrypoint/logs", get(entrypoint_logs))
        .route("/process/session/{sessionId}", get(get_one).delete(delete))
        .route("/process/session/{sessionId}/exec", post(execute))
        .route("/process/session/{sessionId}/command/{commandId}", get(command))
        .route("/process/session/{sessionId}/command/{commandId}/input", post(input))
        .route("/process/session/{sessionId}/command/{commandId}/logs", get(logs))
}

/// The description of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(
    list,
    create,
    get_entrypoint,
    entrypoint_logs,
    get_one,
    delete,
    execute,
    command,
    input,
    logs
))]
pub struct Document;

/// Lists the sessions.
#[utoipa::path(get, path = "/process/session", operation_id = "ListSessions", tag = "process",
    responses((status = 200, body = [wire::Session])))]
pub async fn list(State(daemon): State<Arc<Daemon>>) -> Json<Vec<wire::Session>> {
    Json(daemon.sessions.list().iter().map(|session| view(&session.id, &session.roster.list())).collect())
}

/// Makes a session.
#[utoipa::path(post, path = "/process/session", operation_id = "CreateSession", tag = "process",
    request_body = wire::CreateSessionRequest,
    responses((status = 201), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 429, body = ErrorBody)))]
pub async fn create(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<wire::CreateSessionRequest>,
) -> Result<StatusCode, DaemonError> {
    let launch = launch(&daemon)?;
    daemon.sessions.create(&request.session_id, |stock| {
        let shell = Shell::start(&daemon.executor, launch)?;
        Ok(Session::start(request.session_id.clone(), shell, stock))
    })?;
    Ok(StatusCode::CREATED)
}

/// Tells of a session.
#[utoipa::path(get, path = "/process/session/{sessionId}", operation_id = "GetSession", tag = "process",
    params(("sessionId" = String, Path, description = "The session.")),
    responses((status = 200, body = wire::Session), (status = 404, body = ErrorBody)))]
pub async fn get_one(
    State(daemon): State<Arc<Daemon>>,
    Segments(id): Segments<String>,
) -> Result<Json<wire::Session>, DaemonError> {
    if id == entrypoint::SESSION {
        return Ok(get_entrypoint(&daemon));
    }
    Ok(Json(view(&id, &daemon.sessions.get(&id)?.roster.list())))
}

/// Ends a session with everything that runs in it.
#[utoipa::path(delete, path = "/process/session/{sessionId}", operation_id = "DeleteSession", tag = "process",
    params(("sessionId" = String, Path, description = "The session.")),
    responses((status = 204), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn delete(
    State(daemon): State<Arc<Daemon>>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, DaemonError> {
    daemon.sessions.remove(&id)?.end().await;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs a command in a session.
#[utoipa::path(post, path = "/process/session/{sessionId}/exec", operation_id = "SessionExecuteCommand", tag = "process",
    params(("sessionId" = String, Path, description = "The session.")),
    request_body = wire::SessionExecuteRequest,
    responses((status = 200, body = wire::SessionExecuteResponse), (status = 202, body = wire::SessionExecuteResponse),
        (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 410, body = ErrorBody),
        (status = 429, body = ErrorBody)))]
pub async fn execute(
    State(daemon): State<Arc<Daemon>>,
    Segments(id): Segments<String>,
    headers: HeaderMap,
    LaxJson(request): LaxJson<wire::SessionExecuteRequest>,
) -> Result<Response, DaemonError> {
    let is_async = request.run_async == Some(true) || request.is_async == Some(true);
    let session = daemon.sessions.get(&id)?;
    let command = submit(&daemon, &session, request, is_async)?;
    if is_async {
        return Ok(log::accepted(&command));
    }
    if command.ended().await == Stage::Refused {
        session.check()?;
    }
    Ok(log::outcome(&command, form(&headers)).await)
}

/// Tells of a command.
#[utoipa::path(get, path = "/process/session/{sessionId}/command/{commandId}", operation_id = "GetSessionCommand",
    tag = "process",
    params(("sessionId" = String, Path, description = "The session."),
        ("commandId" = String, Path, description = "The command.")),
    responses((status = 200, body = wire::Command), (status = 404, body = ErrorBody)))]
pub async fn command(
    State(daemon): State<Arc<Daemon>>,
    Segments((id, command_id)): Segments<(String, String)>,
) -> Result<Json<wire::Command>, DaemonError> {
    let command = daemon.sessions.command(&id, &command_id)?;
    Ok(Json(view_command(&command)))
}

/// Types something into a command.
#[utoipa::path(post, path = "/process/session/{sessionId}/command/{commandId}/input", operation_id = "SendInput",
    tag = "process",
    params(("sessionId" = String, Path, description = "The session."),
        ("commandId" = String, Path, description = "The command.")),
    request_body = wire::SessionSendInputRequest,
    responses((status = 204), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 410, body = ErrorBody)))]
pub async fn input(
    State(daemon): State<Arc<Daemon>>,
    Segments((id, command_id)): Segments<(String, String)>,
    LaxJson(request): LaxJson<wire::SessionSendInputRequest>,
) -> Result<StatusCode, DaemonError> {
    daemon.sessions.command(&id, &command_id)?.type_in(&request.data).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Answers with what a command has printed, or follows it.
#[utoipa::path(get, path = "/process/session/{sessionId}/command/{commandId}/logs",
    operation_id = "GetSessionCommandLogs", tag = "process",
    params(("sessionId" = String, Path, description = "The session."),
        ("commandId" = String, Path, description = "The command."),
        ("follow" = Option<bool>, Query, description = "Whether to go on until the command ends.")),
    responses((status = 200, body = wire::SessionCommandLogsResponse), (status = 404, body = ErrorBody)))]
pub async fn logs(
    State(daemon): State<Arc<Daemon>>,
    Segments((id, command_id)): Segments<(String, String)>,
    query: Query,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, DaemonError> {
    tell(daemon.sessions.command(&id, &command_id)?, &query, &headers, upgrade).await
}

/// Tells of the sandbox's own program, as of a session with one command.
#[utoipa::path(get, path = "/process/session/entrypoint", operation_id = "GetEntrypointSession", tag = "process",
    responses((status = 200, body = wire::Session)))]
pub fn get_entrypoint(daemon: &Daemon) -> Json<wire::Session> {
    let command: Vec<_> = daemon.sessions.entrypoint.command().into_iter().collect();
    Json(view(entrypoint::SESSION, &command))
}

/// Answers with what the sandbox's own program has printed, or follows it.
#[utoipa::path(get, path = "/process/session/entrypoint/logs", operation_id = "GetEntrypointLogs", tag = "process",
    params(("follow" = Option<bool>, Query, description = "Whether to go on until the program ends.")),
    responses((status = 200, body = wire::SessionCommandLogsResponse)))]
pub async fn entrypoint_logs(
    State(daemon): State<Arc<Daemon>>,
    query: Query,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, DaemonError> {
    tell(daemon.sessions.entrypoint.command_or_nothing().await, &query, &headers, upgrade).await
}

async fn tell(
    command: Arc<Command>,
    query: &Query,
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, DaemonError> {
    let is_followed = query.switch("follow")?;
    Ok(match upgrade {
        Ok(upgrade) => socket::prepare(upgrade, headers).on_upgrade(|socket| log::frames(socket, command)),
        Err(_) if is_followed => log::chunks(command),
        Err(_) => log::snapshot(command, form(headers)).await,
    })
}

/// Prepares the shell of a new session.
fn launch(daemon: &Daemon) -> Result<Launch, DaemonError> {
    let shell = for_sessions(&daemon.shell);
    let name = shell.rsplit('/').next().unwrap_or(shell).to_owned();
    Ok(Launch {
        title: name.clone(),
        path: shell.to_owned(),
        arguments: vec![name],
        variables: daemon.environment.with(None)?,
        directory: daemon.origin.work_dir.clone(),
        input: None,
        extra: Vec::new(),
    })
}

fn submit(
    daemon: &Daemon,
    session: &Session,
    request: wire::SessionExecuteRequest,
    is_async: bool,
) -> Result<Arc<Command>, DaemonError> {
    let reason = if request.command.trim().is_empty() {
        "command cannot be empty or whitespace-only; send the command to run"
    } else if request.command.contains('\0') {
        "command contains a NUL character; remove it"
    } else {
        let is_echoing = request.suppress_input_echo != Some(true);
        let text = request.command;
        let grant = daemon.sessions.waiting.take(text.len());
        let grant = grant.ok_or_else(|| session.is_busy())?;
        let command = Command::new(daemon.token(), &text, is_async, is_echoing, &daemon.sessions.stock);
        let command = Arc::new(command);
        session.submit(Job { command: Arc::clone(&command), text, token: daemon.token(), grant })?;
        return Ok(command);
    };
    Err(DaemonError::Invalid { reason: reason.to_owned() })
}

fn view(id: &str, commands: &[Arc<Command>]) -> wire::Session {
    let commands = commands.iter().map(|command| view_command(command)).collect();
    wire::Session { session_id: id.to_owned(), commands }
}

fn view_command(command: &Command) -> wire::Command {
    wire::Command { id: command.id.clone(), command: command.text.clone(), exit_code: command.exit_code() }
}

/// The variable segments of a path, decoded.
#[derive(Debug)]
pub struct Segments<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = DaemonError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, DaemonError> {
        let segments = Path::from_request_parts(parts, state).await;
        let Path(segments) = segments
            .map_err(|error| DaemonError::Invalid { reason: format!("the path: {}", error.body_text()) })?;
        Ok(Self(segments))
    }
}
