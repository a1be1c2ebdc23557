//! The only source of time.

/// A moment in UTC, kept to the millisecond by the store.
pub type Timestamp = jiff::Timestamp;

/// Tells the time; tests hold one they can move.
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// Returns the current moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
