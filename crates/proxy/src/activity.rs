//! Tells the control plane that a sandbox is in use, for as long as a request lives.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use types::SandboxId;

use crate::directory::Directory;

/// How often a request that lives is told of.
const PERIOD: Duration = Duration::from_secs(50);

/// Touches a sandbox at once and then once a period, whenever it is polled.
#[derive(Debug)]
pub(crate) struct Activity {
    directory: Arc<dyn Directory>,
    sandbox_id: SandboxId,
    timer: Pin<Box<Sleep>>,
}

impl Activity {
    /// Touches the sandbox and starts the period.
    pub(crate) fn start(directory: Arc<dyn Directory>, sandbox_id: SandboxId) -> Self {
        directory.touched(sandbox_id);
        Self { directory, sandbox_id, timer: Box::pin(sleep(PERIOD)) }
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        while self.timer.as_mut().poll(context).is_ready() {
            self.directory.touched(self.sandbox_id);
            self.timer.as_mut().reset(Instant::now() + PERIOD);
        }
    }
}

/// Waits for a future and keeps touching meanwhile.
pub(crate) async fn during<F: Future>(activity: &mut Option<Activity>, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    poll_fn(|context| {
        if let Some(activity) = activity {
            activity.poll(context);
        }
        future.as_mut().poll(context)
    })
    .await
}

/// A body that keeps touching while it is read.
#[derive(Debug)]
pub(crate) struct LiveBody<B> {
    body: B,
    activity: Option<Activity>,
}

impl<B> LiveBody<B> {
    /// Wraps a body.
    pub(crate) const fn new(body: B, activity: Option<Activity>) -> Self {
        Self { body, activity }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for LiveBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(activity) = &mut self.activity {
            activity.poll(context);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::directory::{Grant, Proof, Refusal};

    #[derive(Debug, Default)]
    struct Counter(AtomicUsize);

    #[async_trait::async_trait]
    impl Directory for Counter {
        async fn authorize(&self, _proof: Proof<'_>, _sandbox: &str) -> Result<Grant, Refusal> {
            Err(Refusal::NotFound)
        }

        async fn wake(&self, _sandbox_id: SandboxId) -> Result<(), Refusal> {
            Err(Refusal::NotFound)
        }

        fn socket(&self, _sandbox_id: SandboxId) -> PathBuf {
            PathBuf::new()
        }

        fn touched(&self, _sandbox_id: SandboxId) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn touches_at_once_and_every_50_seconds() {
        let counter = Arc::new(Counter::default());
        let mut activity = Some(Activity::start(counter.clone(), SandboxId::from_u128(1)));
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        during(&mut activity, sleep(Duration::from_secs(49))).await;
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        during(&mut activity, sleep(Duration::from_secs(102))).await;
        assert_eq!(counter.0.load(Ordering::Relaxed), 4);
    }
}
