//! How long a step may take: the contract's times and words.

use std::time::Duration;

use crate::plan::Step;
use crate::port::{Class, RunnerError};

/// How long steps may take before the sandbox is in error. A test may be less patient.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// To start what is there, or let it go on.
    pub starting: Duration,
    /// To make and start.
    pub creating: Duration,
    /// To bring files back, or repair them.
    pub restoring: Duration,
    /// To take a snapshot.
    pub snapshotting: Duration,
    /// To bring files into the object storage.
    pub backing_up: Duration,
    /// To pull an image.
    pub pulling: Duration,
    /// To build an image.
    pub building: Duration,
    /// To look at a host after a step took too long.
    pub looking: Duration,
}

impl Default for Deadlines {
    /// The contract's times.
    fn default() -> Self {
        Self {
            starting: Duration::from_mins(5),
            creating: Duration::from_mins(15),
            restoring: Duration::from_mins(30),
            snapshotting: Duration::from_hours(1),
            backing_up: Duration::from_hours(2),
            pulling: Duration::from_mins(30),
            building: Duration::from_hours(1),
            looking: Duration::from_secs(10),
        }
    }
}

impl Deadlines {
    /// Returns how long `step` may take, and the word for it; `None` for what is never given up.
    pub(crate) const fn of(&self, step: &Step) -> Option<(Duration, &'static str)> {
        match step {
            Step::Start | Step::Resume => Some((self.starting, "starting")),
            Step::Create | Step::Fork { .. } => Some((self.creating, "creating")),
            Step::Restore | Step::Recover => Some((self.restoring, "restoring")),
            Step::Capture(_) => Some((self.snapshotting, "snapshotting")),
            Step::Backup => Some((self.backing_up, "backing up")),
            // What it waits for has a deadline of its own.
            Step::Prepare(_)
            | Step::Observe
            | Step::Stop { .. }
            | Step::Destroy
            | Step::Pause
            | Step::OutdateBackup
            | Step::BeginBackup
            | Step::Release
            | Step::SetNetwork(_)
            | Step::Resize(_) => None,
        }
    }
}

/// A step that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    /// What the runner said, or the contract's words for one that took too long.
    pub(crate) error: RunnerError,
    /// Whether it took too long: then it may still go on, and is not tried again.
    pub(crate) late: bool,
}

impl Failed {
    /// A step that took too long.
    pub(crate) fn late(word: &str) -> Self {
        let error =
            RunnerError { class: Class::Retry, action: format!("timeout while {word}"), source: None };
        Self { error, late: true }
    }
}

impl From<RunnerError> for Failed {
    fn from(error: RunnerError) -> Self {
        Self { error, late: false }
    }
}
