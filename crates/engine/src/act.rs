//! One step to one idempotent call, and what to do when it fails.

use types::sandbox::{BackupState, Desired, Observed, Sandbox};
use types::snapshot::SavedSnapshot;

use crate::plan::Step;
use crate::port::{Class, Look, Runner, RunnerError, Started};
use crate::seen::Seen;

/// What the files of a sandbox that are nowhere are called.
const FILES_GONE: &str = "its files are gone from the host";

/// What to do about a failed step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Try the same again later, for ever.
    Insist,
    /// Try the same again later, until patience ends.
    Again,
    /// Look at what is there, later.
    Look,
    /// Everything that was asked for holds already.
    Done,
    /// Give up and say why.
    Fail,
}

/// Does one step.
pub async fn act(runner: &dyn Runner, sandbox: &Sandbox, step: &Step) -> Result<Seen, RunnerError> {
    let id = sandbox.id;
    let started = |resources| {
        let network = sandbox.network.clone();
        move |started: Started| Seen::Started { network, resources, daemon_version: started.daemon_version }
    };
    match step {
        Step::Observe => runner.observe(id).await.map(|look| found(sandbox, look)),
        // That is the rows' business: whoever keeps sandboxes waits for it.
        Step::Prepare(_) => Ok(Seen::Preparing),
        Step::Create => runner.create(sandbox).await.map(started(Some(sandbox.resources))),
        Step::Fork { parent } => runner.fork(*parent, sandbox).await.map(started(Some(sandbox.resources))),
        Step::Start => runner.start(sandbox).await.map(started(None)),
        Step::Stop { force } => runner.stop(id, *force).await.map(|()| Seen::Stopped),
        Step::Destroy => runner.destroy(sandbox).await.map(|()| Seen::Destroyed),
        Step::Pause => runner.pause(id).await.map(|()| Seen::Paused),
        Step::Resume => runner.resume(id).await.map(|()| Seen::Running),
        Step::OutdateBackup => runner.observe(id).await.map(|look| outdated(sandbox, look)),
        Step::BeginBackup if sandbox.desired == Desired::Archived => {
            runner.observe(id).await.map(|look| begun(sandbox, look))
        }
        Step::BeginBackup => Ok(Seen::BackupBegun),
        Step::Backup => {
            let of = sandbox.observed;
            runner.backup(sandbox).await.map(|saved| Seen::BackedUp { saved, of })
        }
        Step::Release => runner.release(id).await.map(|()| Seen::Archived),
        Step::Restore => runner.restore(sandbox).await.map(|()| Seen::Restored),
        Step::Recover => runner.recover(sandbox).await.map(|()| Seen::Repaired),
        Step::Capture(snapshot) => {
            runner.capture(id, &SavedSnapshot::image_of(*snapshot)).await.map(Seen::Captured)
        }
        Step::SetNetwork(network) => {
            runner.set_network(id, network).await.map(|()| Seen::NetworkApplied(network.clone()))
        }
        Step::Resize(resources) => runner.resize(id, *resources).await.map(|()| Seen::Resized(*resources)),
    }
}

/// Reads what a look at the host means for a sandbox.
pub fn found(sandbox: &Sandbox, look: Look) -> Seen {
    match look.observed {
        Observed::Started => Seen::Running,
        Observed::Paused => Seen::Paused,
        Observed::Stopped => {
            // What was to stop has stopped, whoever ended it. What is known to have ended stays so, however often one
            // looks: since then it is asked for as stopped.
            let is_unasked = matches!(sandbox.desired, Desired::Started | Desired::Paused)
                || sandbox.observed == Observed::Ended;
            let unasked = look.ended.filter(|_| is_unasked);
            unasked.map_or(Seen::Stopped, |reason| Seen::Ended { reason })
        }
        // Its files were released, and the crash came before that was written.
        Observed::Absent | Observed::Destroyed if is_archived(sandbox) => Seen::Archived,
        // Making it afresh would hand out an empty disk as if nothing had been lost.
        Observed::Absent | Observed::Destroyed if sandbox.daemon_version.is_some() => {
            let reason = look.ended.unwrap_or_else(|| FILES_GONE.to_owned());
            Seen::Failed { reason, recoverable: sandbox.backup.state == BackupState::Completed, files: false }
        }
        Observed::Absent | Observed::Destroyed => Seen::Absent,
        Observed::Unknown | Observed::Ended | Observed::Error | Observed::Archived => Seen::Unknown,
    }
}

/// Reads a look before a start. A crash may have come after the files were released and before that was written: then
/// the backup is all there is.
fn outdated(sandbox: &Sandbox, look: Look) -> Seen {
    match look.observed {
        Observed::Stopped => Seen::BackupOutdated,
        Observed::Absent => Seen::Archived,
        _ => found(sandbox, look),
    }
}

/// Reads a look before files are brought away for good. A start that took too long may have come about after all: what
/// runs is stopped first.
fn begun(sandbox: &Sandbox, look: Look) -> Seen {
    match look.observed {
        Observed::Stopped => Seen::BackupBegun,
        _ => found(sandbox, look),
    }
}

/// Tells whether its files may be in the object storage alone.
fn is_archived(sandbox: &Sandbox) -> bool {
    sandbox.backup.state == BackupState::Completed
        && (sandbox.desired == Desired::Archived || sandbox.observed == Observed::Archived)
}

/// Says what a failure of `step` asks for: removal is never given up, the rest obeys the class.
pub const fn react(step: &Step, class: Class) -> Reaction {
    match (step, class) {
        (Step::Destroy | Step::Release, Class::Gone) => Reaction::Done,
        // It may run after all: a start that took too long came about.
        (Step::Release, Class::Reject) => Reaction::Look,
        // What was begun to be removed can only be removed.
        (Step::Destroy | Step::Release | Step::Observe, _) => Reaction::Insist,
        (_, Class::Retry) => Reaction::Again,
        // Not it is gone, but what it was to be made of.
        (Step::Create | Step::Fork { .. } | Step::Restore, Class::Gone) | (_, Class::Reject | Class::Bug) => {
            Reaction::Fail
        }
        (_, Class::Gone) => Reaction::Look,
    }
}

/// Writes a failure as one line: the action and its causes, outermost first.
pub fn reason(error: &RunnerError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
