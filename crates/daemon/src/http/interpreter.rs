//! Running code in contexts that keep their state.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{delete, get};
use axum::{Json, Router};
use daytona_wire::error::ErrorBody;
use daytona_wire::toolbox::interpreter::{
    CreateContextRequest, InterpreterContext, InterpreterRequest, ListContextsResponse,
};
use tokio::sync::mpsc;
use utoipa::OpenApi;

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::http::extract::LaxJson;
use crate::http::socket;
use crate::interpreter::message::{End, Event};

/// The longest code that is taken.
const CODE_BYTES: usize = 4 * 1024 * 1024;
/// How long a client has to say what it wants.
const REQUEST_WITHIN: Duration = Duration::from_mins(1);
/// How long the answer to a client's farewell may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The codes that connections end with (RFC 6455 §7.4.1); the last is the contract's own.
const NORMAL: u16 = 1000;
const PROTOCOL: u16 = 1002;
const POLICY: u16 = 1008;
const TIMEOUT: u16 = 4008;

/// What is answered here.
pub fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/process/interpreter/context", get(list_contexts).post(create_context))
        .route("/process/interpreter/context/{id}", delete(delete_context))
        .route("/process/interpreter/execute", get(execute))
}

/// The description of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(list_contexts, create_context, delete_context, execute))]
pub struct Document;

/// Lists the contexts that were made; the default one is not among them.
#[utoipa::path(get, path = "/process/interpreter/context", operation_id = "ListInterpreterContexts",
    tag = "interpreter", responses((status = 200, body = ListContextsResponse)))]
pub async fn list_contexts(State(daemon): State<Arc<Daemon>>) -> Json<ListContextsResponse> {
    Json(ListContextsResponse { contexts: daemon.interpreter.list() })
}

/// Makes a context.
#[utoipa::path(post, path = "/process/interpreter/context", operation_id = "CreateInterpreterContext",
    tag = "interpreter", request_body = CreateContextRequest,
    responses((status = 200, body = InterpreterContext), (status = 400, body = ErrorBody),
        (status = 429, body = ErrorBody)))]
pub async fn create_context(
    State(daemon): State<Arc<Daemon>>,
    LaxJson(request): LaxJson<CreateContextRequest>,
) -> Result<Json<InterpreterContext>, DaemonError> {
    daemon.interpreter.create(daemon.surroundings(), request).await.map(Json)
}

/// Deletes a context with its process and everything that has started.
#[utoipa::path(delete, path = "/process/interpreter/context/{id}", operation_id = "DeleteInterpreterContext",
    tag = "interpreter", params(("id" = String, Path, description = "The context's id")),
    responses((status = 200, description = "It is gone"), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub async fn delete_context(
    State(daemon): State<Arc<Daemon>>,
    Path(id): Path<String>,
) -> Result<Json<serde_json::Value>, DaemonError> {
    daemon.interpreter.delete(&id).await?;
    Ok(Json(serde_json::json!({ "message": "the context is deleted" })))
}

/// Runs code in a context, over a web socket: the client sends one request, the server sends what the code prints, how
/// it ended, and closes with 1000, or with 4008 when it ran too long.
#[utoipa::path(get, path = "/process/interpreter/execute", operation_id = "ExecuteInterpreterCode",
    tag = "interpreter",
    responses((status = 101, description = "A web socket", body = String), (status = 400, body = ErrorBody),
        (status = 429, body = ErrorBody)))]
pub async fn execute(
    State(daemon): State<Arc<Daemon>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, DaemonError> {
    let upgrade = upgrade
        .map_err(|refused| DaemonError::Invalid { reason: format!("open a web socket here: {refused}") })?;
    let permit = daemon.interpreter.admit()?;
    let upgrade = socket::prepare(upgrade, &headers).max_message_size(CODE_BYTES).max_frame_size(CODE_BYTES);
    Ok(upgrade.on_upgrade(async move |mut socket| {
        let (code, reason) = converse(&daemon, &mut socket).await;
        socket::close(socket, code, &reason).await;
        drop(permit);
    }))
}

/// Does what the client asks for; returns how to close.
async fn converse(daemon: &Daemon, socket: &mut WebSocket) -> (u16, String) {
    let Ok(first) = tokio::time::timeout(REQUEST_WITHIN, first_text(socket)).await else {
        return (PROTOCOL, "no request came within a minute".to_owned());
    };
    let request = first.and_then(|text| {
        // A list would be taken for the fields in their order.
        if text.trim_start().starts_with('[') {
            return Err("the request is a list; send an object".to_owned());
        }
        serde_json::from_str::<InterpreterRequest>(&text)
            .map_err(|error| format!("the request is not the JSON that is expected: {error}"))
    });
    let request = match request {
        Ok(request) => request,
        Err(reason) => return (PROTOCOL, reason),
    };
    match daemon.interpreter.submit(&daemon.surroundings(), request) {
        Ok(events) => relay(socket, events).await,
        Err(error) => (POLICY, error.message()),
    }
}

async fn first_text(socket: &mut WebSocket) -> Result<String, String> {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_))) => return Err("the request is binary; send it as text".to_owned()),
            Some(Err(error)) => return Err(error.to_string()),
            Some(Ok(Message::Close(_))) | None => return Err("there was no request".to_owned()),
        }
    }
}

/// Passes on what happens until it has ended or the client is gone; dropping the channel interrupts the code.
async fn relay(socket: &mut WebSocket, mut events: mpsc::Receiver<Event>) -> (u16, String) {
    let gone = || (NORMAL, String::new());
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Frame(frame)) => {
                    // Text and names always become JSON.
                    let text = serde_json::to_string(&frame).unwrap_or_default();
                    if socket.send(Message::Text(text.into())).await.is_err() {
                        return gone();
                    }
                }
                Some(Event::End(end)) => return closing(end),
                None => return (POLICY, "the context was deleted while the code waited or ran".to_owned()),
            },
            message = socket.recv() => match message {
                // Nothing more is expected of the client; pings are answered below.
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) => {
                    // Reading on is what sends the answer to it.
                    let _ = tokio::time::timeout(ANSWER_WITHIN, socket.recv()).await;
                    return gone();
                }
                Some(Err(_)) | None => return gone(),
            },
        }
    }
}

fn closing(end: End) -> (u16, String) {
    match end {
        End::Finished => (NORMAL, String::new()),
        End::TimedOut { timeout, keeps_state } => {
            let seconds = timeout.as_secs_f64();
            let state = if keeps_state {
                "was interrupted; the context keeps its variables"
            } else {
                "was killed; the context's variables are lost"
            };
            (TIMEOUT, format!("the code ran longer than {seconds} s and {state}"))
        }
    }
}
