//! What can go wrong between a client and a sandbox, and whose side it was on.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use daytona_wire::error::{ErrorBody, Source};
use serde::Serialize;
use service::field::Chain;
use types::Timestamp;

use crate::remedy::{Obstacle, remedy};

/// Whose fault it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one who asked.
    Client,
    /// The sandbox, or the daemon in it.
    Sandbox,
    /// This server.
    Us,
}

/// A phase that failed.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The path stops before a sandbox.
    #[error("no sandbox is named: the path is /toolbox/<sandbox id>/<call>")]
    NoSandbox,
    /// The path's sandbox is no possible id.
    #[error("the path does not name a sandbox id: ids are letters, digits, `-`, `_` and `.`")]
    BadSandbox,
    /// The path cannot be sent on.
    #[error("the path cannot be forwarded")]
    BadPath {
        /// The cause.
        #[source]
        source: axum::http::uri::InvalidUri,
    },
    /// The method is for proxies of another kind.
    #[error("method {method} is not forwarded")]
    BadMethod {
        /// The method.
        method: Method,
    },
    /// The request's head is too long.
    #[error(
        "the request's path and headers are {size_bytes} bytes long: at most {limit_bytes} are forwarded"
    )]
    HeadTooLarge {
        /// How long it is.
        size_bytes: usize,
        /// How long it may be.
        limit_bytes: usize,
    },
    /// Nothing was shown, or not in a way that can be read.
    #[error(
        "unauthorized: missing authentication: provide a preview access token (via header, query parameter, or \
         cookie) or use an API key or JWT"
    )]
    MissingProof,
    /// Nothing that was shown is valid.
    #[error("unauthorized: authentication failed: {reasons}")]
    WrongProof {
        /// What is wrong with each.
        reasons: String,
    },
    /// The key does not allow this.
    #[error("forbidden: the API key may not use sandboxes")]
    Forbidden,
    /// There is no such sandbox for this caller.
    #[error("sandbox not found")]
    NotFound,
    /// The sandbox takes no calls now.
    #[error("sandbox is {state}, not started: {}", remedy(.state))]
    NotRunning {
        /// What it is instead.
        state: String,
    },
    /// The sandbox is paused and may not go on.
    #[error("sandbox is paused and has no room to go on: {reason}")]
    NoRoom {
        /// What is full.
        reason: String,
    },
    /// Too many calls wait for the sandbox to go on.
    #[error("{waiting} calls already wait for the sandbox to be resumed: try again when it runs")]
    TooManyWaiting {
        /// How many.
        waiting: usize,
    },
    /// Whether the caller may is not known now.
    #[error("temporary failure while checking access: try again")]
    Unavailable,
    /// The daemon's socket takes no connection.
    #[error("the sandbox cannot be reached: connect to its daemon")]
    Connect {
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The client's body broke off.
    #[error("the request's body broke off")]
    ReadBody {
        /// The cause.
        #[source]
        source: hyper::Error,
    },
    /// The daemon broke off before it answered.
    #[error("the sandbox closed the connection before it answered")]
    Exchange {
        /// The cause.
        #[source]
        source: hyper::Error,
    },
    /// The daemon changed protocols unasked.
    #[error("the sandbox answered 101 to a request that asked for no upgrade")]
    UnexpectedUpgrade,
}

/// The error body, and what is in the way where that can be told apart.
#[derive(Debug, Serialize)]
struct Explained {
    #[serde(flatten)]
    error: ErrorBody,
    #[serde(flatten)]
    obstacle: Option<Obstacle>,
}

impl ProxyError {
    /// Tells whose fault it was.
    pub const fn side(&self) -> Side {
        match self {
            Self::Unavailable | Self::TooManyWaiting { .. } => Side::Us,
            Self::Connect { .. } | Self::Exchange { .. } | Self::UnexpectedUpgrade => Side::Sandbox,
            _ => Side::Client,
        }
    }

    /// Returns the status and the stable word for programs.
    pub const fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoSandbox => (StatusCode::NOT_FOUND, "NOT_FOUND"),
            Self::BadSandbox | Self::BadPath { .. } | Self::ReadBody { .. } => {
                (StatusCode::BAD_REQUEST, "BAD_REQUEST")
            }
            Self::BadMethod { .. } => (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
            Self::HeadTooLarge { .. } => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "REQUEST_HEADER_FIELDS_TOO_LARGE")
            }
            Self::MissingProof | Self::WrongProof { .. } => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "FORBIDDEN"),
            Self::NotFound => (StatusCode::NOT_FOUND, "SANDBOX_NOT_FOUND"),
            // The request is right and the sandbox's state is in its way: 409, where the original let a 502 through.
            Self::NotRunning { .. } | Self::NoRoom { .. } => (StatusCode::CONFLICT, "SANDBOX_NOT_RUNNING"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE"),
            Self::TooManyWaiting { .. } => (StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_WAITING"),
            Self::Connect { .. } | Self::Exchange { .. } | Self::UnexpectedUpgrade => {
                (StatusCode::BAD_GATEWAY, "SANDBOX_UNREACHABLE")
            }
        }
    }

    /// Makes the answer. Its message names the causes too: they are the kernel's words, without any path of the host.
    pub fn answer(&self, method: &Method, path: &str, now: Timestamp) -> Response<Body> {
        let (status, code) = self.status();
        let body = ErrorBody {
            status_code: status.as_u16(),
            error: status.canonical_reason().unwrap_or_default().to_owned(),
            message: Chain(self).to_string(),
            code: code.to_owned(),
            source: Source::Proxy.as_str().to_owned(),
            path: path.to_owned(),
            method: method.to_string(),
            timestamp: format!("{now:.3}"),
        };
        let obstacle = match self {
            Self::NotRunning { state } => Some(Obstacle::of(state)),
            Self::NoRoom { reason } => Some(Obstacle::no_room(reason)),
            _ => None,
        };
        let body = Explained { error: body, obstacle };
        let text = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
