//! How long loops wait before they try again.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The longest pause of all.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long to wait before the next try.
pub(crate) struct Patience {
    pause: Duration,
    since: Option<Instant>,
}

/// Waits before the next try, at most for `longest`, unless something changes or the engine stops.
pub(crate) async fn pause(
    patience: &mut Patience,
    woken: &Notify,
    longest: Duration,
    stopping: &CancellationToken,
) {
    tokio::select! {
        () = tokio::time::sleep(patience.next().min(longest)) => {}
        () = woken.notified() => {}
        () = stopping.cancelled() => {}
    }
}

impl Patience {
    pub(crate) const fn new(pause: Duration) -> Self {
        Self { pause, since: None }
    }

    /// Tells whether there was a failure.
    pub(crate) const fn has_begun(&self) -> bool {
        self.since.is_some()
    }

    /// Tells whether the first failure was longer ago than `limit`.
    pub(crate) fn ended(&self, limit: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= limit)
    }

    /// Returns the next pause, each twice as long as the one before.
    fn next(&mut self) -> Duration {
        self.since.get_or_insert_with(Instant::now);
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}
