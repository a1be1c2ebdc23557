//! What may be asked of a sandbox, and when: pure.

use types::Timestamp;
use types::sandbox::{Desired, Observed, Sandbox, state};

use crate::error::ApiError;

/// Asks for a start. Asking again for what is or will be is no mistake, so that a repeated request is harmless. A start
/// brings a new secret for preview links: the old links die.
pub(crate) fn start(sandbox: Sandbox, auth_token: &str, now: Timestamp) -> Result<Sandbox, ApiError> {
    match (sandbox.desired, sandbox.observed) {
        (_, Observed::Error) => Err(ApiError::invalid("Sandbox is in an errored state")),
        (Desired::Started, _) => Ok(sandbox),
        (Desired::Stopped, Observed::Stopped | Observed::Ended) => Ok(Sandbox {
            desired: Desired::Started,
            auth_token: auth_token.to_owned(),
            last_activity_at: now,
            ..sandbox
        }),
        (Desired::Stopped | Desired::Destroyed, _) => Err(ApiError::StateChangeInProgress),
    }
}

/// Asks for a stop; one that is deleted as soon as it stops goes.
pub(crate) fn stop(sandbox: Sandbox, force: bool, now: Timestamp) -> Result<Sandbox, ApiError> {
    let desired = if sandbox.intervals.auto_delete == 0 { Desired::Destroyed } else { Desired::Stopped };
    match (sandbox.desired, sandbox.observed) {
        (_, Observed::Error) => Err(ApiError::invalid("Sandbox is in an errored state")),
        (Desired::Stopped, Observed::Stopped | Observed::Ended) => Ok(sandbox),
        // Once more, perhaps with force this time.
        (Desired::Stopped, _) => Ok(Sandbox { stop_forced: force, ..sandbox }),
        (Desired::Started, Observed::Started) => {
            Ok(Sandbox { desired, stop_forced: force, last_activity_at: now, ..sandbox })
        }
        (Desired::Started | Desired::Destroyed, _) => Err(ApiError::StateChangeInProgress),
    }
}

/// Tells whether limits may change now: while it runs, and while it does not, but not on the way.
pub(crate) fn resize(sandbox: Sandbox) -> Result<Sandbox, ApiError> {
    match sandbox.observed {
        Observed::Error => Err(ApiError::invalid("Sandbox is in an errored state")),
        // Rows of before there were applied limits have none yet.
        _ if state::at_rest(sandbox.desired, sandbox.observed)
            && (!sandbox.resizing() || sandbox.resources_applied.is_none()) =>
        {
            Ok(sandbox)
        }
        _ => Err(ApiError::StateChangeInProgress),
    }
}

/// Asks for removal, which is always possible: no state is a dead end.
pub(crate) fn delete(sandbox: Sandbox) -> Sandbox {
    Sandbox { desired: Desired::Destroyed, ..sandbox }
}
