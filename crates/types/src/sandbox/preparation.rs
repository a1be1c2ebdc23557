//! What makes the image of a sandbox, and how far that is as the sandbox knows it.

use crate::build::BuildState;
use crate::id::BuildId;
use crate::sandbox::state::{Desired, Observed, Overlay};

/// A build that a sandbox waits for, or waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preparation {
    /// The build.
    pub build_id: BuildId,
    /// How far it was when the engine last looked.
    pub state: BuildState,
}

impl Preparation {
    /// Returns what it makes of a sandbox of which `desired` was asked and `observed` seen.
    pub(crate) const fn overlay(self, desired: Desired, observed: Observed) -> Option<Overlay> {
        match (self.state, desired, observed) {
            (BuildState::Pending, Desired::Started, Observed::Absent) => Some(Overlay::PendingBuild),
            (BuildState::Running, Desired::Started, Observed::Absent) => Some(Overlay::Building),
            (
                BuildState::Failed,
                Desired::Started | Desired::Stopped | Desired::Archived | Desired::Paused,
                Observed::Error,
            ) => Some(Overlay::BuildFailed),
            _ => None,
        }
    }
}
