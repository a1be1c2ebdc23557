//! One step to one idempotent call, and what is known afterwards.

use types::Timestamp;
use types::sandbox::{Desired, Network, Observed, Sandbox};

use crate::plan::Step;
use crate::port::{Class, Runner, RunnerError, Started};

/// What is known of a sandbox after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It takes commands under this network policy.
    Started {
        /// The policy it was started with.
        network: Network,
        /// The daemon inside.
        daemon_version: String,
    },
    /// It still runs, as it did.
    Running,
    /// This network policy is in force.
    NetworkApplied(Network),
    /// Its files are there and nothing runs.
    Stopped,
    /// Nothing is there.
    Absent,
    /// Everything is gone.
    Destroyed,
    /// Nothing is known: look again.
    Unknown,
    /// The last step failed for good.
    Failed {
        /// Why, for a person.
        reason: String,
    },
}

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
pub async fn act(runner: &dyn Runner, sandbox: &Sandbox, step: Step) -> Result<Seen, RunnerError> {
    let started =
        |started: Started| Seen::Started { network: sandbox.network, daemon_version: started.daemon_version };
    match step {
        Step::Observe => runner.observe(sandbox.id).await.map(|observed| found(sandbox, observed)),
        Step::Create => runner.create(sandbox).await.map(started),
        Step::Start => runner.start(sandbox).await.map(started),
        Step::Stop { force } => runner.stop(sandbox.id, force).await.map(|()| Seen::Stopped),
        Step::Destroy => runner.destroy(sandbox.id).await.map(|()| Seen::Destroyed),
        Step::SetNetwork(network) => {
            runner.set_network(sandbox.id, network).await.map(|()| Seen::NetworkApplied(network))
        }
    }
}

/// Reads what a look at the host means for a sandbox.
pub fn found(sandbox: &Sandbox, observed: Observed) -> Seen {
    match observed {
        Observed::Started => Seen::Running,
        Observed::Stopped => Seen::Stopped,
        // Making it afresh would hand out an empty disk as if nothing had been lost.
        Observed::Absent | Observed::Destroyed if sandbox.daemon_version.is_some() => {
            Seen::Failed { reason: "its files are gone from the host".to_owned() }
        }
        Observed::Absent | Observed::Destroyed => Seen::Absent,
        Observed::Unknown | Observed::Error => Seen::Unknown,
    }
}

/// Says what a failure of `step` asks for: removal is never given up, the rest obeys the class.
pub const fn react(step: Step, class: Class) -> Reaction {
    match (step, class) {
        (Step::Destroy, Class::Gone) => Reaction::Done,
        (Step::Destroy | Step::Observe, _) => Reaction::Insist,
        (_, Class::Retry) => Reaction::Again,
        (_, Class::Gone) => Reaction::Look,
        (_, Class::Reject | Class::Bug) => Reaction::Fail,
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

impl Seen {
    /// Returns the sandbox with what was seen.
    pub fn apply(&self, mut sandbox: Sandbox, now: Timestamp) -> Sandbox {
        sandbox.observed = match self {
            Self::Started { .. } | Self::Running => Observed::Started,
            // The policy can be set on what meanwhile ended; it says nothing about the processes.
            Self::NetworkApplied(_) => sandbox.observed,
            Self::Stopped => Observed::Stopped,
            Self::Absent => Observed::Absent,
            Self::Destroyed => Observed::Destroyed,
            Self::Unknown => Observed::Unknown,
            Self::Failed { .. } => Observed::Error,
        };
        sandbox.error_reason = None;
        match self {
            Self::Started { network, daemon_version } => {
                sandbox.network_applied = Some(*network);
                sandbox.daemon_version = Some(daemon_version.clone());
            }
            Self::NetworkApplied(network) => sandbox.network_applied = Some(*network),
            Self::Failed { reason } => sandbox.error_reason = Some(reason.clone()),
            _ => {}
        }
        sandbox.updated_at = now;
        sandbox
    }
}

/// Returns a sandbox that was started and is found ended: nobody asked for it, so nobody is asked to start it again.
/// One that is deleted as soon as it stops goes.
pub fn ended(mut sandbox: Sandbox) -> Sandbox {
    if sandbox.desired == Desired::Started {
        sandbox.desired =
            if sandbox.intervals.auto_delete == 0 { Desired::Destroyed } else { Desired::Stopped };
    }
    sandbox
}
