//! Whether a sandbox runs, is held, is repaired, or goes.

use types::Timestamp;
use types::sandbox::{Desired, Observed, Sandbox, state};

use crate::error::ApiError;

const ERRORED: &str = "Sandbox is in an errored state";
const INVALID: &str = "Sandbox is not in valid state";

/// Asks for a start: of what is stopped, paused or archived, or on its way to the archive. Asking again for what is or will
/// be is no mistake, so that a repeated request is harmless. A start brings a new secret for preview links: the old links
/// die; what was paused goes on as it was, links included.
pub(crate) fn start(sandbox: Sandbox, auth_token: &str, now: Timestamp) -> Result<Sandbox, ApiError> {
    match (sandbox.desired, sandbox.observed) {
        (Desired::Destroyed, _) | (_, Observed::Destroyed) => Err(ApiError::StateChangeInProgress),
        (Desired::Started, Observed::Error) if sandbox.recovering => Ok(sandbox),
        (_, Observed::Error) => Err(ApiError::invalid(ERRORED)),
        (Desired::Started, _) => Ok(sandbox),
        _ if sandbox.capture.is_some() => Err(ApiError::StateChangeInProgress),
        (_, Observed::Stopped | Observed::Ended | Observed::Archived) => Ok(Sandbox {
            desired: Desired::Started,
            auth_token: auth_token.to_owned(),
            last_activity_at: now,
            ..sandbox
        }),
        (Desired::Paused, Observed::Paused) => {
            Ok(Sandbox { desired: Desired::Started, last_activity_at: now, ..sandbox })
        }
        _ => Err(ApiError::StateChangeInProgress),
    }
}

/// Asks for a stop; one that is deleted as soon as it stops goes.
pub(crate) fn stop(sandbox: Sandbox, force: bool, now: Timestamp) -> Result<Sandbox, ApiError> {
    let desired = if sandbox.intervals.auto_delete == 0 { Desired::Destroyed } else { Desired::Stopped };
    match (sandbox.desired, sandbox.observed) {
        (Desired::Destroyed, _) | (_, Observed::Destroyed) => Err(ApiError::StateChangeInProgress),
        (_, Observed::Error) if sandbox.recovering => Err(ApiError::StateChangeInProgress),
        (_, Observed::Error) => Err(ApiError::invalid(ERRORED)),
        (Desired::Stopped, Observed::Stopped | Observed::Ended | Observed::Archived) => Ok(sandbox),
        // Once more, perhaps with force this time.
        (Desired::Stopped, _) => Ok(Sandbox { stop_forced: force, ..sandbox }),
        _ if sandbox.capture.is_some() => Err(ApiError::StateChangeInProgress),
        (Desired::Started, Observed::Started) | (Desired::Paused, Observed::Paused) => {
            Ok(Sandbox { desired, stop_forced: force, last_activity_at: now, ..sandbox })
        }
        (Desired::Paused, Observed::Stopped | Observed::Ended) => Ok(Sandbox { desired, ..sandbox }),
        (Desired::Archived | Desired::Paused, Observed::Archived) => {
            Err(ApiError::invalid("Sandbox is not in a stoppable state"))
        }
        _ => Err(ApiError::StateChangeInProgress),
    }
}

/// Asks that its processes are held where they are.
pub(crate) fn pause(sandbox: Sandbox, now: Timestamp) -> Result<Sandbox, ApiError> {
    match (sandbox.desired, sandbox.observed) {
        (Desired::Destroyed, _) | (_, Observed::Destroyed) => Err(ApiError::StateChangeInProgress),
        (_, Observed::Error) => Err(ApiError::invalid(ERRORED)),
        (Desired::Paused, Observed::Started | Observed::Paused) => Ok(sandbox),
        _ if sandbox.capture.is_some() || resizing(&sandbox) => Err(ApiError::StateChangeInProgress),
        (Desired::Started, Observed::Started) => {
            Ok(Sandbox { desired: Desired::Paused, last_activity_at: now, ..sandbox })
        }
        (desired, observed) if state::at_rest(desired, observed) => Err(ApiError::invalid(INVALID)),
        _ => Err(ApiError::StateChangeInProgress),
    }
}

/// Asks for a repair, and for a start after it unless `skip_start`.
pub(crate) fn recover(
    sandbox: Sandbox,
    skip_start: bool,
    auth_token: &str,
    now: Timestamp,
) -> Result<Sandbox, ApiError> {
    let desired = if skip_start { Desired::Stopped } else { Desired::Started };
    match (sandbox.desired, sandbox.observed) {
        (Desired::Destroyed, _) | (_, Observed::Destroyed) => Err(ApiError::StateChangeInProgress),
        (Desired::Started, Observed::Ended) if !sandbox.recovering => Err(ApiError::StateChangeInProgress),
        (_, Observed::Error | Observed::Ended) if sandbox.recovering => Ok(Sandbox { desired, ..sandbox }),
        (_, Observed::Error | Observed::Ended) if recoverable(&sandbox) => Ok(Sandbox {
            desired,
            recovering: true,
            auth_token: if skip_start { sandbox.auth_token } else { auth_token.to_owned() },
            last_activity_at: now,
            ..sandbox
        }),
        (_, Observed::Error) => Err(ApiError::invalid("Sandbox is not recoverable")),
        _ => Err(ApiError::invalid("Sandbox is not in an errored state")),
    }
}

/// Tells whether [`recover`] may help: one whose processes ended by themselves can be started again in any case.
pub(crate) fn recoverable(sandbox: &Sandbox) -> bool {
    sandbox.recoverable || sandbox.observed == Observed::Ended
}

/// Tells whether limits may change now: while it runs, and while it does not, but not on the way.
pub(crate) fn resize(sandbox: Sandbox) -> Result<Sandbox, ApiError> {
    match (sandbox.desired, sandbox.observed) {
        (Desired::Destroyed, _) | (_, Observed::Destroyed) => Err(ApiError::StateChangeInProgress),
        (_, Observed::Error) => Err(ApiError::invalid(ERRORED)),
        (desired, observed)
            if !state::at_rest(desired, observed) || resizing(&sandbox) || sandbox.capture.is_some() =>
        {
            Err(ApiError::StateChangeInProgress)
        }
        (_, Observed::Paused | Observed::Archived) => Err(ApiError::invalid(INVALID)),
        _ => Ok(sandbox),
    }
}

/// Asks for removal, which is possible in every state: none is a dead end. Only its living forks keep it, as in the contract.
pub(crate) fn delete(sandbox: Sandbox, living_forks: u64) -> Result<Sandbox, ApiError> {
    if living_forks > 0 && sandbox.desired != Desired::Destroyed {
        return Err(ApiError::invalid(format!(
            "Sandbox has active fork children: delete them first ({living_forks} of them)"
        )));
    }
    Ok(Sandbox { desired: Desired::Destroyed, ..sandbox })
}

/// Tells whether new limits are on their way. Rows of before there were applied limits have none yet.
pub(crate) fn resizing(sandbox: &Sandbox) -> bool {
    sandbox.resizing() && sandbox.resources_applied.is_some()
}
