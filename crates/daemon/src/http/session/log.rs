//! Answers with a log: as it is now, or followed to the command's end.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ws::{Message, WebSocket};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use daytona_wire::toolbox::session::SessionExecuteResponse;
use futures_util::{Stream, StreamExt as _, stream};

use crate::http::result::escape;
use crate::http::session::version::Form;
use crate::http::socket;
use crate::session::command::Command;
use crate::session::mark;
use crate::session::reader::{Follower, Reader, View};

/// Logs up to this length are answered at once, with a length.
const SMALL_BYTES: u64 = 64 * 1024;
/// The code of an end that is as it should be (RFC 6455 §7.4.1).
const NORMAL: u16 = 1000;

/// Answers with what a command has printed so far.
pub async fn snapshot(command: Arc<Command>, form: Form) -> Response {
    let view = match form {
        Form::Json => return document(&command, View::Marked, "{".to_owned(), "}".to_owned()).await,
        Form::Marked => View::Marked,
        Form::Plain => View::Plain,
    };
    let is_small = command.log.printed_bytes() <= SMALL_BYTES;
    let end = command.log.end();
    let pieces = stream::unfold(Reader::new(command, view, end), async |mut reader| {
        reader.bytes().await.map(|bytes| (bytes, reader))
    });
    answer("text/plain; charset=utf-8", is_small, pieces).await
}

/// Answers with how a command ended and what it printed.
pub async fn outcome(command: &Arc<Command>, form: Form) -> Response {
    let view = if form == Form::Plain { View::Plain } else { View::Marked };
    let id = escape(&command.id);
    let code = command.exit_code().map_or_else(|| "null".to_owned(), |code| code.to_string());
    document(command, view, format!(r#"{{"cmdId":"{id}","#), format!(r#","exitCode":{code}}}"#)).await
}

/// Answers for a command that goes on.
pub fn accepted(command: &Command) -> Response {
    let body = SessionExecuteResponse { cmd_id: command.id.clone(), ..SessionExecuteResponse::default() };
    (StatusCode::ACCEPTED, axum::Json(body)).into_response()
}

/// Answers with everything that a command prints until its end, as it comes.
pub fn chunks(command: Arc<Command>) -> Response {
    let frames = stream::unfold(Follower::new(command), async |mut follower| {
        follower.frame().await.map(|frame| (Ok::<_, Infallible>(frame), follower))
    });
    ([(CONTENT_TYPE, "application/octet-stream")], Body::from_stream(frames)).into_response()
}

/// Sends everything that a command prints until its end, a frame at a time.
pub async fn frames(mut socket: WebSocket, command: Arc<Command>) {
    let mut follower = Follower::new(command);
    loop {
        let frame = tokio::select! {
            frame = follower.frame() => frame,
            message = socket.recv() => match message {
                // Nothing can be said here; pings are answered by themselves.
                Some(Ok(message)) if !matches!(message, Message::Close(_)) => continue,
                _ => return,
            },
        };
        let Some(frame) = frame else { return socket::close(socket, NORMAL, "").await };
        if socket.send(Message::Binary(frame)).await.is_err() {
            return;
        }
    }
}

/// Answers with an object that has the streams of a log among its fields, without ever having it as a whole.
async fn document(command: &Arc<Command>, output: View, head: String, tail: String) -> Response {
    let end = command.log.end();
    let field = |name: &str, view: View| {
        let reader = Reader::new(Arc::clone(command), view, end);
        let text = stream::unfold(reader, async |mut reader| {
            reader.text().await.map(|text| (Bytes::from(escape(&text)), reader))
        });
        piece(format!(r#""{name}":""#)).chain(text).chain(piece("\"".to_owned()))
    };
    let comma = || piece(",".to_owned());
    let pieces = piece(head)
        .chain(field("output", output))
        .chain(comma())
        .chain(field("stdout", View::Only(mark::Stream::Output)))
        .chain(comma())
        .chain(field("stderr", View::Only(mark::Stream::Errors)))
        .chain(piece(tail));
    answer("application/json", command.log.printed_bytes() <= SMALL_BYTES, pieces).await
}

fn piece(text: String) -> impl Stream<Item = Bytes> + Send + 'static {
    stream::once(std::future::ready(Bytes::from(text)))
}

async fn answer(
    content_type: &'static str,
    is_small: bool,
    pieces: impl Stream<Item = Bytes> + Send + 'static,
) -> Response {
    let body = if is_small {
        Body::from(pieces.collect::<Vec<_>>().await.concat())
    } else {
        Body::from_stream(pieces.map(Ok::<_, Infallible>))
    };
    ([(CONTENT_TYPE, content_type)], body).into_response()
}
