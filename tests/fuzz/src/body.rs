//! JSON bodies and what a web socket offers.

use axum::body::Body;
use axum::extract::{FromRequest as _, Request};
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use daemon::http::extract::LaxJson;
use daemon::http::socket;
use daemon::http::terminal::variables;
use daytona_wire::toolbox::environment::UpdateEnvRequest;
use daytona_wire::toolbox::file::{FilesDownloadRequest, ReplaceRequest};
use daytona_wire::toolbox::interpreter::{CreateContextRequest, InterpreterRequest};
use daytona_wire::toolbox::language_server::LspDocumentRequest;
use daytona_wire::toolbox::process::{CodeRunRequest, ExecuteRequest};
use daytona_wire::toolbox::repository::{
    GitCloneRequest, GitPushRequest, GitResetRequest, GitSetConfigRequest,
};
use daytona_wire::toolbox::session::{SessionExecuteRequest, SessionSendInputRequest};
use daytona_wire::toolbox::terminal::{PtyCreateRequest, PtyResizeRequest};
use futures_util::FutureExt as _;

use crate::{choice, pieces};

/// Reads a body as the handlers do; all of it is there, so nothing waits.
fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) {
    let chunks: Vec<_> = pieces(bytes).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    let outcome = LaxJson::<T>::from_request(Request::new(body), &()).now_or_never();
    assert!(outcome.is_some(), "reading what is there waits");
}

/// A JSON body of any operation.
pub fn body(bytes: &[u8]) {
    let (operation, bytes) = choice(bytes);
    match operation % 15 {
        0 => read::<UpdateEnvRequest>(bytes),
        1 => read::<FilesDownloadRequest>(bytes),
        2 => read::<ReplaceRequest>(bytes),
        3 => read::<CreateContextRequest>(bytes),
        4 => read::<InterpreterRequest>(bytes),
        5 => read::<LspDocumentRequest>(bytes),
        6 => read::<CodeRunRequest>(bytes),
        7 => read::<ExecuteRequest>(bytes),
        8 => read::<GitCloneRequest>(bytes),
        9 => read::<GitPushRequest>(bytes),
        10 => read::<GitResetRequest>(bytes),
        11 => read::<GitSetConfigRequest>(bytes),
        12 => read::<SessionExecuteRequest>(bytes),
        13 => read::<SessionSendInputRequest>(bytes),
        _ => {
            read::<PtyCreateRequest>(bytes);
            read::<PtyResizeRequest>(bytes);
        }
    }
}

/// The protocols that a web socket's client offers, a terminal's variables among them.
pub fn offer(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        headers.append(SEC_WEBSOCKET_PROTOCOL, value);
    }
    let encoded = format!("X-Daytona-Pty-Envs~{}", URL_SAFE_NO_PAD.encode(bytes));
    if let Ok(value) = HeaderValue::from_str(&encoded) {
        let mut proper = HeaderMap::new();
        proper.append(SEC_WEBSOCKET_PROTOCOL, value);
        assert_eq!(socket::offered(&proper), [encoded]);
        let _ = variables(&proper);
    }
    let _ = (socket::offered(&headers), variables(&headers));
}
