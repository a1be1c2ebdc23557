//! Reads what a handler left of a request's body, so that the connection can serve the next request.
//!
//! A refusal often needs no body. Left alone, its bytes would arrive after the answer and the server would have to
//! close a connection that the client takes for good: the client's next request then fails without an answer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONNECTION, EXPECT};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};

/// More than any request of the control plane holds; a longer rest is not worth reading.
const REST_LIMIT_BYTES: usize = 256 * 1024;
/// How long a client may take to send the rest.
const PATIENCE: Duration = Duration::from_secs(2);

/// A body that the handler reads and this layer keeps.
#[derive(Debug, Clone)]
struct Kept(Arc<Mutex<Body>>);

impl Kept {
    fn body(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.body()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

/// Answers a request and reads what is left of it; where that is too much, tells the client that the connection ends.
pub(crate) async fn drain(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // A client that waits for leave to send must not be given it for nothing.
    let waits = request.headers().contains_key(EXPECT);
    let (parts, body) = request.into_parts();
    let mut kept = Kept(Arc::new(Mutex::new(body)));
    let mut response = next.run(Request::from_parts(parts, Body::new(kept.clone()))).await;
    // Whoever still holds it, an upload on its way to a sandbox, reads it.
    let abandoned = Arc::strong_count(&kept.0) == 1;
    if abandoned && !kept.is_end_stream() && (waits || !read_rest(&mut kept).await) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Returns whether the rest came to its end within its bounds.
async fn read_rest(body: &mut Kept) -> bool {
    let reading = async {
        let mut left = REST_LIMIT_BYTES;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else { return false };
            left = rest;
        }
        true
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::post;
    use tower::ServiceExt as _;

    async fn answer(body: Body) -> Response {
        let router =
            Router::new().route("/", post(|| async { "no" })).layer(axum::middleware::from_fn(drain));
        router.oneshot(Request::post("/").body(body).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_short_rest_is_read_and_a_long_one_ends_the_connection() {
        let short = answer(Body::from("x")).await;
        assert_eq!(short.headers().get(CONNECTION), None);
        let long = answer(Body::from(vec![0; REST_LIMIT_BYTES + 1])).await;
        assert_eq!(long.headers().get(CONNECTION).unwrap(), "close");
    }
}
