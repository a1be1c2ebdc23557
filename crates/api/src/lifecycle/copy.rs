//! What is made of a sandbox's files: backups, snapshots, forks; and who may share its network.

use types::SnapshotId;
use types::sandbox::{Backup, BackupState, Desired, Observed, Sandbox, state};

use crate::error::ApiError;
use crate::lifecycle::power::resizing;

/// Asks that its files are kept in the object storage alone.
pub(crate) fn archive(sandbox: Sandbox) -> Result<Sandbox, ApiError> {
    match (sandbox.desired, sandbox.observed) {
        (Desired::Destroyed, _) | (_, Observed::Destroyed) => Err(ApiError::StateChangeInProgress),
        _ if sandbox.intervals.auto_delete == 0 => {
            Err(ApiError::invalid("Ephemeral sandboxes cannot be archived"))
        }
        (Desired::Archived, Observed::Archived | Observed::Stopped) => Ok(sandbox),
        _ if sandbox.capture.is_some() || resizing(&sandbox) => Err(ApiError::StateChangeInProgress),
        (Desired::Stopped | Desired::Paused, Observed::Stopped) => {
            Ok(Sandbox { desired: Desired::Archived, ..sandbox })
        }
        (desired, observed) if state::at_rest(desired, observed) => {
            Err(ApiError::invalid("Sandbox is not stopped"))
        }
        _ => Err(ApiError::StateChangeInProgress),
    }
}

/// Asks for a copy of its files in the object storage. One of files that cannot have changed since stands.
pub(crate) fn backup(sandbox: Sandbox) -> Result<Sandbox, ApiError> {
    match (sandbox.observed, sandbox.backup.state) {
        (Observed::Destroyed, _) => Err(ApiError::StateChangeInProgress),
        _ if sandbox.desired == Desired::Destroyed => Err(ApiError::StateChangeInProgress),
        (_, BackupState::Pending | BackupState::InProgress)
        | (Observed::Stopped | Observed::Archived, BackupState::Completed) => Ok(sandbox),
        _ => {
            let sandbox = copyable(sandbox)?;
            let backup = Backup { state: BackupState::Pending, ..sandbox.backup };
            Ok(Sandbox { backup, ..sandbox })
        }
    }
}

/// Asks for a snapshot.
pub(crate) fn capture(sandbox: Sandbox, snapshot: SnapshotId) -> Result<Sandbox, ApiError> {
    let sandbox = copyable(sandbox)?;
    Ok(Sandbox { capture: Some(snapshot), ..sandbox })
}

/// Lets through what has files that can be copied now: it runs, is held or is stopped, and nothing of it is changing.
pub(crate) fn copyable(sandbox: Sandbox) -> Result<Sandbox, ApiError> {
    match (sandbox.desired, sandbox.observed) {
        (Desired::Destroyed, _) | (_, Observed::Destroyed) => Err(ApiError::StateChangeInProgress),
        (_, Observed::Error) | (Desired::Stopped | Desired::Paused, Observed::Ended) => {
            Err(ApiError::invalid("Sandbox is in an errored state"))
        }
        (desired, observed)
            if !state::at_rest(desired, observed) || sandbox.capture.is_some() || resizing(&sandbox) =>
        {
            Err(ApiError::StateChangeInProgress)
        }
        (_, Observed::Started | Observed::Stopped | Observed::Paused) => Ok(sandbox),
        _ => Err(ApiError::invalid("Sandbox is not in valid state")),
    }
}

/// Tells whether a new sandbox with this interval before deletion may share the network of `owner`.
pub(crate) fn link(owner: &Sandbox, auto_delete: i32) -> Result<(), ApiError> {
    if auto_delete != 0 {
        return Err(ApiError::invalid("Linked sandboxes must be ephemeral (autoDeleteInterval=0)"));
    }
    if owner.linked_id.is_some() {
        return Err(ApiError::invalid(
            "Linked sandboxes cannot themselves be linked to: name the sandbox that they are linked to",
        ));
    }
    if !matches!(owner.reported(), "started" | "stopped") {
        return Err(ApiError::invalid(format!(
            "The sandbox to link to must be started or stopped, and is {}",
            owner.reported()
        )));
    }
    Ok(())
}
