//! Phase 4: where the sandbox's daemon listens.

use std::path::PathBuf;

use types::SandboxId;

use crate::directory::{Directory, Grant};

/// A daemon's socket on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// The sandbox.
    pub(crate) sandbox_id: SandboxId,
    /// The socket.
    pub(crate) socket: PathBuf,
}

/// Looks up the socket of a sandbox that the caller may call.
pub(crate) fn locate(directory: &dyn Directory, grant: Grant) -> Location {
    Location { sandbox_id: grant.sandbox_id, socket: directory.socket(grant.sandbox_id) }
}
