//! Gives every failure the one body that all SDKs read.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use daytona_wire::error::{ErrorBody, Source};
use std::sync::Arc;
use types::{Clock, Timestamp};

use crate::daemon::Daemon;
use crate::error::DaemonError;

/// A failure on its way out; [`explain`] adds what only the request knows.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable word.
    pub code: &'static str,
    /// The sentence.
    pub message: String,
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        let (status, code) = error.status_and_code();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code, message: error.message() }
    }
}

impl Failure {
    /// Completes the body with what only the request knows.
    pub fn body(&self, method: &Method, uri: &Uri, now: Timestamp) -> ErrorBody {
        ErrorBody {
            status_code: self.status.as_u16(),
            error: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            message: self.message.clone(),
            code: self.code.to_owned(),
            source: Source::Daemon.as_str().to_owned(),
            path: uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string),
            method: method.to_string(),
            timestamp: milliseconds(now),
        }
    }
}

fn milliseconds(moment: Timestamp) -> String {
    format!("{moment:.3}")
}

impl IntoResponse for DaemonError {
    fn into_response(self) -> Response {
        let failure = Failure::from(self);
        let mut response = failure.status.into_response();
        response.extensions_mut().insert(failure);
        response
    }
}

/// Replaces the empty body of a failed answer by the whole error body.
pub async fn explain(State(daemon): State<Arc<Daemon>>, request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut response = next.run(request).await;
    let Some(failure) = response.extensions_mut().remove::<Failure>() else { return response };
    let mut explained =
        (failure.status, Json(failure.body(&method, &uri, now(&*daemon.clock)))).into_response();
    // Such as `Allow` of a 405 or `Content-Range` of a 416; its length was that of the empty body.
    for (name, value) in response.headers() {
        if name != axum::http::header::CONTENT_LENGTH {
            explained.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
    }
    explained
}

fn now(clock: &dyn Clock) -> Timestamp {
    clock.now()
}
