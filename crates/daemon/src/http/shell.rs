//! SSH over an upgraded connection.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use utoipa::OpenApi;

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::shell::Place;

/// What both sides switch to.
const PROTOCOL: &str = "ssh";

/// What is answered here.
pub fn routes() -> Router<Arc<Daemon>> {
    // Not in the published contract: the gateway's way in, where the original has a port inside the sandbox.
    Router::new().route("/ssh", get(connect))
}

/// The description of it.
#[derive(Debug, OpenApi)]
#[openapi(paths())]
pub struct Document;

async fn connect(State(daemon): State<Arc<Daemon>>, mut request: Request) -> Result<Response, DaemonError> {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().filter(|_| is_asked(request.headers()));
    let Some(upgrade) = upgrade else {
        let reason = "this is no web page: send `Connection: Upgrade` and `Upgrade: ssh`, then speak SSH";
        return Err(DaemonError::Invalid { reason: reason.to_owned() });
    };
    let place = Place {
        shell: daemon.shell.clone(),
        directory: daemon.origin.work_dir.clone(),
        variables: daemon.environment.with(None)?,
    };
    let connection = daemon.shell_access.open(&daemon.executor, place)?;
    tokio::spawn(async move {
        // A client that went before the switch takes the process with it.
        if let Ok(upgraded) = upgrade.await {
            connection.carry(TokioIo::new(upgraded)).await;
        }
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, PROTOCOL)
        .body(Body::empty());
    response.map_err(|error| DaemonError::Execution {
        step: "answer with a switch of protocols",
        source: std::io::Error::other(error),
    })
}

fn is_asked(headers: &HeaderMap) -> bool {
    let has = |name, word: &str| {
        let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    has(CONNECTION, "upgrade") && has(UPGRADE, PROTOCOL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_headers_must_ask_for_ssh() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        assert!(is_asked(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "SSH")])));
        assert!(!is_asked(&headers(&[("connection", "upgrade")])));
        assert!(!is_asked(&headers(&[("connection", "upgrade"), ("upgrade", "websocket")])));
        assert!(!is_asked(&headers(&[("upgrade", "ssh")])));
    }
}
