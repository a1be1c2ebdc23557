//! What to do next about a sandbox: pure and total. The table is `types::sandbox::state`; this adds what the row tells.

use types::resource::Resources;
use types::sandbox::state::{self, Move};
use types::sandbox::{BackupState, Network, Observed, Sandbox};
use types::{BuildId, SandboxId, SnapshotId};

/// One thing to do on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Look at what is there.
    Observe,
    /// Wait for the image to be built.
    Prepare(BuildId),
    /// Make the files, limits and link, and start.
    Create,
    /// Make the files as those of another are now, and start.
    Fork {
        /// The other.
        parent: SandboxId,
    },
    /// Hold the processes.
    Pause,
    /// Let the processes go on.
    Resume,
    /// Look whether the files are there, and note that the backup will not hold them as they are.
    OutdateBackup,
    /// Note that a backup is being made; before an archive, look that nothing runs.
    BeginBackup,
    /// Copy the files into the object storage.
    Backup,
    /// Remove the files, which are in the object storage.
    Release,
    /// Bring the files back from the object storage.
    Restore,
    /// Repair the files, so that it can be started.
    Recover,
    /// Take a snapshot.
    Capture(SnapshotId),
    /// Start what exists.
    Start,
    /// End the processes, keep the files.
    Stop {
        /// Without asking the processes first.
        force: bool,
    },
    /// Remove everything.
    Destroy,
    /// Put a network policy in force.
    SetNetwork(Network),
    /// Put limits in force.
    Resize(Resources),
}

/// Returns the next step for a sandbox, or `None` when it rests.
pub fn plan(sandbox: &Sandbox) -> Option<Step> {
    let step = match state::next(sandbox.desired, sandbox.observed) {
        Move::Destroy => Step::Destroy,
        _ if sandbox.repairing() => repair_step(sandbox),
        Move::Rest => return rest_step(sandbox),
        Move::Look => Step::Observe,
        Move::Make => make_step(sandbox),
        // Noted before anything runs: after a crash in between, the backup must not be taken for the files.
        Move::Start if sandbox.backup.state == BackupState::Completed => Step::OutdateBackup,
        Move::Start => Step::Start,
        Move::Stop => Step::Stop { force: sandbox.stop_forced },
        Move::Pause => Step::Pause,
        // What it sends from its first moment on obeys the policy that was set while it was held.
        Move::Resume => network_step(sandbox).unwrap_or(Step::Resume),
        Move::Archive => archive_step(sandbox),
        Move::Restore => Step::Restore,
    };
    Some(step)
}

fn make_step(sandbox: &Sandbox) -> Step {
    let preparation = sandbox.preparation.filter(|_| sandbox.preparing());
    match (preparation, sandbox.parent_id) {
        (Some(preparation), _) => Step::Prepare(preparation.build_id),
        (None, Some(parent)) => Step::Fork { parent },
        (None, None) => Step::Create,
    }
}

/// What is left to do about a sandbox that is what was asked for.
fn rest_step(sandbox: &Sandbox) -> Option<Step> {
    match sandbox.observed {
        Observed::Started => {
            network_step(sandbox).or_else(|| resize_step(sandbox)).or_else(|| copy_step(sandbox))
        }
        Observed::Stopped | Observed::Ended => resize_step(sandbox).or_else(|| copy_step(sandbox)),
        Observed::Paused => copy_step(sandbox),
        Observed::Unknown | Observed::Absent | Observed::Error | Observed::Destroyed | Observed::Archived => {
            None
        }
    }
}

/// A completed backup holds the files as they were; without one they are repaired where they are.
fn repair_step(sandbox: &Sandbox) -> Step {
    match sandbox.backup.state {
        BackupState::Completed => Step::Restore,
        BackupState::None | BackupState::Pending | BackupState::InProgress | BackupState::Error => {
            Step::Recover
        }
    }
}

/// A snapshot that was asked for is taken while the files are here.
fn archive_step(sandbox: &Sandbox) -> Step {
    match (sandbox.capture, sandbox.backup.state) {
        (Some(snapshot), _) => Step::Capture(snapshot),
        (None, BackupState::Completed) => Step::Release,
        (None, BackupState::InProgress) => Step::Backup,
        (None, BackupState::None | BackupState::Pending | BackupState::Error) => Step::BeginBackup,
    }
}

fn copy_step(sandbox: &Sandbox) -> Option<Step> {
    let backup = match sandbox.backup.state {
        BackupState::Pending => Some(Step::BeginBackup),
        BackupState::InProgress => Some(Step::Backup),
        BackupState::None | BackupState::Completed | BackupState::Error => None,
    };
    sandbox.capture.map(Step::Capture).or(backup)
}

fn network_step(sandbox: &Sandbox) -> Option<Step> {
    let holds = sandbox.network_applied.as_ref() == Some(&sandbox.network);
    (!holds).then(|| Step::SetNetwork(sandbox.network.clone()))
}

fn resize_step(sandbox: &Sandbox) -> Option<Step> {
    (sandbox.resources_applied != Some(sandbox.resources)).then_some(Step::Resize(sandbox.resources))
}
