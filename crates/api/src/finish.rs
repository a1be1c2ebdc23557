//! The outermost layer: the version on every response, and the body of every failure.

use axum::Json;
use axum::body::Body;
use axum::extract::{OriginalUri, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use daytona_wire::error::{ErrorBody, Source};

use crate::error::{ApiError, Failure};
use crate::moment;
use crate::state::ApiState;

/// Names our version; the command line client compares it with its own.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("x-daytona-api-version");

/// Finishes every response.
pub(crate) async fn finish(
    State(state): State<ApiState>,
    OriginalUri(uri): OriginalUri,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let mut response = next.run(request).await;
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        let body = ErrorBody {
            status_code: failure.status.as_u16(),
            error: failure.status.canonical_reason().unwrap_or_default().to_owned(),
            message: failure.message,
            code: failure.code.to_owned(),
            source: Source::Api.as_str().to_owned(),
            path: uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string),
            method: method.to_string(),
            timestamp: moment::write(state.clock.now()),
        };
        let headers = response.headers().clone();
        response = (failure.status, Json(body)).into_response();
        for (name, value) in &headers {
            if name != axum::http::header::CONTENT_LENGTH {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
    if let Ok(version) = HeaderValue::from_str(&state.settings.version) {
        response.headers_mut().insert(VERSION, version);
    }
    response
}

/// Answers what has no route.
pub(crate) async fn no_route(OriginalUri(uri): OriginalUri, request: axum::http::Request<Body>) -> ApiError {
    ApiError::NoRoute { method: request.method().to_string(), path: uri.path().to_owned() }
}
