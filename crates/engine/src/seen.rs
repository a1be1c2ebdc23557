//! What is known of a sandbox after a step, and what that changes in its row: pure.

use types::Timestamp;
use types::build::BuildState;
use types::resource::Resources;
use types::sandbox::{Backup, BackupState, Desired, Network, Observed, Preparation, Sandbox};

use crate::diagnose::Cause;
use crate::port::{Captured, Saved};

/// What is known of a sandbox after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It takes commands under this network policy.
    Started {
        /// The policy it was started with.
        network: Network,
        /// The limits it was made with; `None` when it was there, with limits that only a resize changes.
        resources: Option<Resources>,
        /// The daemon inside.
        daemon_version: String,
    },
    /// Its image is being built.
    Preparing,
    /// Its image is there.
    Prepared,
    /// Its image could not be built.
    PrepareFailed {
        /// Why, for a person.
        reason: String,
    },
    /// It still runs, as it did.
    Running,
    /// Its processes are held.
    Paused,
    /// Its processes could not be held, or could not be let go on: they are as they were.
    HoldFailed {
        /// Why, for a person.
        reason: String,
    },
    /// This network policy is in force.
    NetworkApplied(Network),
    /// These limits are in force.
    Resized(Resources),
    /// New limits cannot be met; the old ones hold.
    ResizeRefused {
        /// Why, for a person.
        reason: String,
    },
    /// Its files will not be as its backup has them.
    BackupOutdated,
    /// A backup is being made.
    BackupBegun,
    /// Its files are in the object storage, too.
    BackedUp {
        /// Where, and how much.
        saved: Saved,
        /// What it was when they were copied.
        of: Observed,
    },
    /// Its files could not be brought into the object storage.
    BackupFailed {
        /// Why, for a person.
        reason: String,
    },
    /// Its files are in the object storage alone.
    Archived,
    /// Its files are back from the object storage.
    Restored,
    /// Its files are repaired.
    Repaired,
    /// The snapshot that was wanted is taken.
    Captured(Captured),
    /// The snapshot that was wanted cannot be taken.
    CaptureFailed {
        /// Why, for a person.
        reason: String,
    },
    /// Its files are there and nothing runs.
    Stopped,
    /// Its files are there, and its processes ended although nobody had asked for it.
    Ended {
        /// Why, for a person.
        reason: String,
    },
    /// Nothing is there.
    Absent,
    /// Everything is gone.
    Destroyed,
    /// It waited too long for room on the host.
    QueueTimedOut {
        /// What the host said last.
        reason: String,
    },
    /// Nothing is known: look again.
    Unknown,
    /// The last step failed for good.
    Failed {
        /// Why, for a person.
        reason: String,
        /// Whether there is something to repair it from.
        recoverable: bool,
        /// Whether its files may be there: then a backup of before it ran is not all there is.
        files: bool,
    },
}

impl Seen {
    /// Returns the sandbox with what was seen.
    #[must_use]
    pub fn apply(&self, mut sandbox: Sandbox, now: Timestamp) -> Sandbox {
        let before = sandbox.observed;
        sandbox.observed = self.observed(before);
        self.outdate(&mut sandbox, before);
        self.explain(&mut sandbox);
        self.note(&mut sandbox, now);
        sandbox.recovering &= matches!(sandbox.observed, Observed::Error | Observed::Ended)
            && !matches!(self, Self::Failed { .. } | Self::Ended { .. });
        if sandbox.observed != before {
            sandbox.last_activity_at = sandbox.last_activity_at.max(now);
        }
        sandbox.updated_at = now;
        sandbox
    }

    const fn observed(&self, before: Observed) -> Observed {
        match self {
            Self::Started { .. } | Self::Running => Observed::Started,
            // What it is about can change on what meanwhile ended; it says nothing about the processes.
            Self::NetworkApplied(_)
            | Self::Resized(_)
            | Self::ResizeRefused { .. }
            | Self::HoldFailed { .. }
            | Self::BackupOutdated
            | Self::BackupBegun
            | Self::BackedUp { .. }
            | Self::BackupFailed { .. }
            | Self::Captured(_)
            | Self::CaptureFailed { .. }
            | Self::Preparing
            | Self::Prepared
            | Self::QueueTimedOut { .. } => before,
            Self::Paused => Observed::Paused,
            Self::Archived => Observed::Archived,
            Self::Stopped | Self::Restored | Self::Repaired => Observed::Stopped,
            Self::Ended { .. } => Observed::Ended,
            Self::Absent => Observed::Absent,
            Self::Destroyed => Observed::Destroyed,
            Self::Unknown => Observed::Unknown,
            Self::Failed { .. } | Self::PrepareFailed { .. } => Observed::Error,
        }
    }

    /// A backup that was made before its processes last ran is not one of its files as they are.
    fn outdate(&self, sandbox: &mut Sandbox, before: Observed) {
        let ran = match self {
            Self::Started { .. } | Self::BackupOutdated | Self::Repaired => true,
            Self::Running | Self::Paused => !matches!(before, Observed::Started | Observed::Paused),
            Self::Stopped | Self::Ended { .. } => !matches!(before, Observed::Stopped | Observed::Ended),
            Self::Failed { files: true, .. } => matches!(before, Observed::Started | Observed::Paused),
            _ => false,
        };
        if ran && sandbox.backup.state == BackupState::Completed {
            sandbox.backup.state = BackupState::None;
        }
    }

    /// Writes why it is as it is; what goes well needs no reason.
    fn explain(&self, sandbox: &mut Sandbox) {
        let reason = match self {
            Self::Failed { reason, .. }
            | Self::PrepareFailed { reason }
            | Self::Ended { reason }
            | Self::BackupFailed { reason }
            | Self::CaptureFailed { reason }
            | Self::HoldFailed { reason }
            | Self::QueueTimedOut { reason }
            | Self::ResizeRefused { reason } => Some(reason),
            _ => None,
        };
        // Why it ended is worth more than what became of its limits or its backup, and why it goes more than that it went.
        let stays_ended = sandbox.observed == Observed::Ended && !matches!(self, Self::Ended { .. });
        if stays_ended || *self == Self::Destroyed {
            return;
        }
        sandbox.error_reason = reason.cloned();
        sandbox.failure = reason.map(|reason| match (self, Cause::of(reason)) {
            (Self::QueueTimedOut { .. }, _) => Cause::HostFull.failure(reason),
            (_, cause) => cause.failure(reason),
        });
        sandbox.recoverable = match self {
            Self::Failed { recoverable, .. } => *recoverable,
            _ => sandbox.observed == Observed::Ended,
        };
    }

    /// Writes what is its own.
    fn note(&self, sandbox: &mut Sandbox, now: Timestamp) {
        match self {
            Self::Started { network, resources, daemon_version } => {
                sandbox.network_applied = Some(network.clone());
                sandbox.resources_applied = resources.or(sandbox.resources_applied);
                sandbox.daemon_version = Some(daemon_version.clone());
            }
            Self::Preparing => prepare(sandbox, BuildState::Running),
            Self::Prepared => prepare(sandbox, BuildState::Done),
            Self::PrepareFailed { .. } => prepare(sandbox, BuildState::Failed),
            Self::NetworkApplied(network) => sandbox.network_applied = Some(network.clone()),
            Self::Resized(resources) => sandbox.resources_applied = Some(*resources),
            Self::ResizeRefused { .. } => {
                sandbox.resources = sandbox.resources_applied.unwrap_or(sandbox.resources);
                sandbox.resources_applied = Some(sandbox.resources);
            }
            Self::HoldFailed { .. } => undo(sandbox),
            Self::BackupBegun => sandbox.backup.state = BackupState::InProgress,
            Self::BackedUp { saved, of } => {
                // Its processes ended meanwhile, after their last words had been copied or before.
                let holds = sandbox.observed == *of;
                let state = if holds { BackupState::Completed } else { BackupState::None };
                let Saved { object, digest, bytes } = saved.clone();
                let (object, digest) = (Some(object), Some(digest));
                sandbox.backup = Backup { state, at: Some(now), object, digest, bytes };
            }
            Self::BackupFailed { .. } => {
                sandbox.backup.state = BackupState::Error;
                undo(sandbox);
            }
            Self::Captured(_) | Self::CaptureFailed { .. } => sandbox.capture = None,
            Self::QueueTimedOut { .. } => {
                sandbox.desired = Desired::Destroyed;
                sandbox.queue_timed_out_at = Some(now);
            }
            Self::Ended { .. } => *sandbox = ended(sandbox.clone()),
            _ => {}
        }
    }
}

fn prepare(sandbox: &mut Sandbox, state: BuildState) {
    sandbox.preparation = sandbox.preparation.map(|known| Preparation { state, ..known });
}

/// Takes back a wish that cannot be met now: the sandbox stays what it is, and may be asked again.
fn undo(sandbox: &mut Sandbox) {
    sandbox.desired = match (sandbox.desired, sandbox.observed) {
        (Desired::Archived, Observed::Stopped | Observed::Ended) => Desired::Stopped,
        (Desired::Paused, Observed::Started) => Desired::Started,
        (Desired::Started, Observed::Paused) => Desired::Paused,
        (desired, _) => desired,
    };
}

/// Returns a sandbox that was started and is found ended: nobody asked for it, so nobody is asked to start it again.
/// One that is deleted as soon as it stops goes.
#[must_use]
pub fn ended(mut sandbox: Sandbox) -> Sandbox {
    if matches!(sandbox.desired, Desired::Started | Desired::Paused) {
        sandbox.desired =
            if sandbox.intervals.auto_delete == 0 { Desired::Destroyed } else { Desired::Stopped };
    }
    sandbox
}
