//! Ports that are listened on, and the way to them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use daytona_wire::error::ErrorBody;
use daytona_wire::toolbox::port::{IsPortInUseResponse, PortList};
use hyper::upgrade::OnUpgrade;
use tower::ServiceExt as _;
use utoipa::OpenApi;

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::file::blocking;
use crate::http::terminal::web_routes;
use crate::port::exchange::exchange;
use crate::port::listening::ports;

/// The ports that the contract lets ask for.
const ASKED: std::ops::RangeInclusive<u16> = 3000..=9999;
/// Where the toolbox itself is found by its contract.
const TOOLBOX: u16 = 2280;
/// Where its SSH server is.
const SSH: u16 = 22220;
/// Where its web terminal is.
const TERMINAL: u16 = 22222;

/// What is answered here.
pub fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/port", get(list))
        .route("/port/{port}/in-use", get(is_in_use))
        // In neither published document: how previews reach what runs in a sandbox.
        .route("/proxy/{port}", any(relay))
        .route("/proxy/{port}/", any(relay))
        .route("/proxy/{port}/{*path}", any(relay))
}

/// The description of it.
#[derive(Debug, OpenApi)]
#[openapi(paths(list, is_in_use))]
pub struct Document;

/// Tells which TCP ports are listened on.
#[utoipa::path(get, path = "/port", operation_id = "GetPorts", tag = "port",
    responses((status = 200, body = PortList)))]
pub async fn list() -> Result<Json<PortList>, DaemonError> {
    let ports = blocking(ports).await?;
    Ok(Json(PortList { ports: ports.into_iter().collect() }))
}

/// Tells whether a port is listened on.
#[utoipa::path(get, path = "/port/{port}/in-use", operation_id = "IsPortInUse", tag = "port",
    params(("port" = u16, Path, description = "From 3000 to 9999.")),
    responses((status = 200, body = IsPortInUseResponse), (status = 400, body = ErrorBody)))]
pub async fn is_in_use(Path(port): Path<String>) -> Result<Json<IsPortInUseResponse>, DaemonError> {
    let asked = port.parse().ok().filter(|port| ASKED.contains(port));
    let asked = asked.ok_or_else(|| DaemonError::Invalid {
        reason: format!(
            "port `{}` cannot be asked for; use one from 3000 to 9999, or GET /port",
            shown(&port)
        ),
    })?;
    let ports = blocking(ports).await?;
    Ok(Json(IsPortInUseResponse { is_in_use: ports.contains(&asked) }))
}

/// Passes a request on to whoever listens on a port of this sandbox. What the daemon offers on ports by contract it does
/// not listen for, so nobody in the sandbox can stand in its place.
async fn relay(
    State(daemon): State<Arc<Daemon>>,
    mut request: Request<Body>,
) -> Result<Response, DaemonError> {
    let (port, path) = target(request.uri())?;
    match port {
        TOOLBOX => Err(DaemonError::PortReserved { port, instead: "the toolbox's own paths" }),
        SSH => Err(DaemonError::PortReserved { port, instead: "an SSH client" }),
        TERMINAL if request.uri().path().ends_with("22222") => {
            // The page's own files are named relative to it.
            Ok(Redirect::temporary("22222/").into_response())
        }
        TERMINAL => {
            *request.uri_mut() = path;
            // What this path was taken apart into would count as what the terminal's own path is taken apart into.
            let upgrade = request.extensions_mut().remove::<OnUpgrade>();
            request.extensions_mut().clear();
            if let Some(upgrade) = upgrade {
                request.extensions_mut().insert(upgrade);
            }
            let terminal: Router = web_routes().fallback(nothing).with_state(daemon);
            Ok(terminal.oneshot(request).await.into_response())
        }
        _ => exchange(port, path, request).await,
    }
}

async fn nothing() -> DaemonError {
    DaemonError::NoSuchOperation
}

/// Returns the port, and the rest of the path with the query, as they were written.
fn target(uri: &Uri) -> Result<(u16, Uri), DaemonError> {
    let written = uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    let rest = written.trim_start_matches('/').strip_prefix("proxy/").unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (port, path) = rest.split_at(end);
    let invalid = |reason: String| DaemonError::Invalid { reason };
    let number = port.parse().ok().filter(|port| *port != 0);
    let number = number
        .ok_or_else(|| invalid(format!("`{}` is no port; use a number from 1 to 65535", shown(port))))?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let path = path.parse().map_err(|_| invalid("the path after the port cannot be sent on".to_owned()))?;
    Ok((number, path))
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_path_stays_as_it_was_written() {
        for (written, expected) in [
            ("/proxy/3000", "/"),
            ("/proxy/3000/", "/"),
            ("/proxy/3000?a=%20b", "/?a=%20b"),
            ("/proxy/3000/a%2Fb//c/../d?x=1&x=%F0%9F&y=+/?", "/a%2Fb//c/../d?x=1&x=%F0%9F&y=+/?"),
            ("/proxy/3000//evil.example/", "//evil.example/"),
        ] {
            let (port, path) = target(&written.parse().expect("path")).expect(written);
            assert_eq!((port, path.to_string().as_str()), (3000, expected), "{written}");
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for written in ["/proxy/0", "/proxy/65536/", "/proxy/x/y", "/proxy/-1", "/proxy/", "/proxy/%33000/"] {
            let status = target(&written.parse().expect("path")).expect_err(written).status_and_code().0;
            assert_eq!(status, 400, "{written}");
        }
    }
}
