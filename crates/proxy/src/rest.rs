//! Takes the rest of an upload that a sandbox does not want any more.
//!
//! Many clients write all of a body before they read. When the answer comes early and the connection is closed on the
//! rest, they fail in the midst of writing and the answer is lost.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use service::Tasks;
use tokio::time::timeout;

/// How long a client may take to send what nobody reads.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request's body. Dropped before its end, its rest is read and thrown away.
#[derive(Debug)]
pub(crate) struct RestTaken {
    body: Option<Body>,
    tasks: Tasks,
}

impl RestTaken {
    /// Wraps a body; one that is empty stays as it is.
    pub(crate) fn wrap(body: Body, tasks: &Tasks) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Self { body: Some(body), tasks: tasks.clone() })
    }
}

impl HttpBody for RestTaken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for RestTaken {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        if self.tasks.shutdown().is_cancelled() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        self.tasks.spawn_until_shutdown("rest of an upload", async move {
            let reading = async { while let Some(Ok(_)) = body.frame().await {} };
            let _ = timeout(PATIENCE, reading).await;
        });
    }
}
