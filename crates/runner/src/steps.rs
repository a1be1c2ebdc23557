//! How long each step of a create takes, for `docs/performance.md`.

use std::time::Instant;

/// Tells the log, at the level `debug`, how long each step took. Steps follow each other in one function, so they are
/// moments and no nested spans.
pub(crate) struct Steps(Instant);

impl Steps {
    /// The first step begins now.
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// `step` is done, and the next begins.
    pub(crate) fn done(&mut self, step: &'static str) {
        let now = Instant::now();
        let took_us = u64::try_from(now.duration_since(self.0).as_micros()).unwrap_or(u64::MAX);
        self.0 = now;
        tracing::debug!(step, took_us, "did a part of a step");
    }
}
