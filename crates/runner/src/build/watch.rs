//! When a build has to end although it is not done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::build::error::BuildError;

/// Ends a build from outside.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends the build soon; it leaves nothing but its cache.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Tells whether the build is to end.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says when it is over.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    cancel: &'a Cancel,
    began: Instant,
    timeout: Duration,
}

impl<'a> Watch<'a> {
    pub(super) fn begin(cancel: &'a Cancel, timeout: Duration) -> Self {
        Self { cancel, began: Instant::now(), timeout }
    }

    /// Fails once the build is to end.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        if self.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        if self.began.elapsed() > self.timeout {
            return Err(BuildError::TimedOut { seconds: self.timeout.as_secs() });
        }
        Ok(())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}
