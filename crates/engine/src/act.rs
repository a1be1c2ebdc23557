//! One step to one idempotent call, and what is known afterwards.

use types::Timestamp;
use types::resource::Resources;
use types::sandbox::{Desired, Network, Observed, Sandbox};

use crate::plan::Step;
use crate::port::{Class, Look, Runner, RunnerError, Started};

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
    /// It still runs, as it did.
    Running,
    /// This network policy is in force.
    NetworkApplied(Network),
    /// These limits are in force.
    Resized(Resources),
    /// New limits cannot be met; the old ones hold.
    ResizeRefused {
        /// Why, for a person.
        reason: String,
    },
    /// Its files are there and nothing runs.
    Stopped,
    /// Its files are there, and its processes ended by themselves.
    Ended {
        /// Why, for a person.
        reason: String,
    },
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
pub async fn act(runner: &dyn Runner, sandbox: &Sandbox, step: &Step) -> Result<Seen, RunnerError> {
    let started = |resources: Option<Resources>| {
        let network = sandbox.network.clone();
        move |started: Started| Seen::Started { network, resources, daemon_version: started.daemon_version }
    };
    match step {
        Step::Observe => runner.observe(sandbox.id).await.map(|look| found(sandbox, look)),
        Step::Create => runner.create(sandbox).await.map(started(Some(sandbox.resources))),
        Step::Start => runner.start(sandbox).await.map(started(None)),
        Step::Stop { force } => runner.stop(sandbox.id, *force).await.map(|()| Seen::Stopped),
        Step::Destroy => runner.destroy(sandbox.id).await.map(|()| Seen::Destroyed),
        Step::SetNetwork(network) => {
            runner.set_network(sandbox.id, network).await.map(|()| Seen::NetworkApplied(network.clone()))
        }
        Step::Resize(resources) => {
            runner.resize(sandbox.id, *resources).await.map(|()| Seen::Resized(*resources))
        }
    }
}

/// Reads what a look at the host means for a sandbox.
pub fn found(sandbox: &Sandbox, look: Look) -> Seen {
    match look.observed {
        Observed::Started => Seen::Running,
        Observed::Stopped => {
            // What was to stop has stopped, whoever ended it. What is known to have ended stays so, however often one
            // looks: since then it is asked for as stopped.
            let is_unasked = sandbox.desired == Desired::Started || sandbox.observed == Observed::Ended;
            let unasked = look.ended.filter(|_| is_unasked);
            unasked.map_or(Seen::Stopped, |reason| Seen::Ended { reason })
        }
        // Making it afresh would hand out an empty disk as if nothing had been lost.
        Observed::Absent | Observed::Destroyed if sandbox.daemon_version.is_some() => {
            let gone = || "its files are gone from the host".to_owned();
            Seen::Failed { reason: look.ended.unwrap_or_else(gone) }
        }
        Observed::Absent | Observed::Destroyed => Seen::Absent,
        Observed::Unknown | Observed::Ended | Observed::Error => Seen::Unknown,
    }
}

/// Says what a failure of `step` asks for: removal is never given up, the rest obeys the class.
pub const fn react(step: &Step, class: Class) -> Reaction {
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
            Self::NetworkApplied(_) | Self::Resized(_) | Self::ResizeRefused { .. } => sandbox.observed,
            Self::Stopped => Observed::Stopped,
            Self::Ended { .. } => Observed::Ended,
            Self::Absent => Observed::Absent,
            Self::Destroyed => Observed::Destroyed,
            Self::Unknown => Observed::Unknown,
            Self::Failed { .. } => Observed::Error,
        };
        sandbox.error_reason = match (self, sandbox.observed) {
            // Changed limits say nothing about why it ended.
            (Self::Resized(_), Observed::Ended) => sandbox.error_reason.take(),
            _ => None,
        };
        match self {
            Self::Started { network, resources, daemon_version } => {
                sandbox.network_applied = Some(network.clone());
                sandbox.resources_applied = resources.or(sandbox.resources_applied);
                sandbox.daemon_version = Some(daemon_version.clone());
            }
            Self::NetworkApplied(network) => sandbox.network_applied = Some(network.clone()),
            Self::Resized(resources) => sandbox.resources_applied = Some(*resources),
            Self::ResizeRefused { reason } => {
                sandbox.resources = sandbox.resources_applied.unwrap_or(sandbox.resources);
                sandbox.resources_applied = Some(sandbox.resources);
                // Why it ended is worth more than why it was not resized.
                if sandbox.observed != Observed::Ended {
                    sandbox.error_reason = Some(reason.clone());
                }
            }
            Self::Failed { reason } | Self::Ended { reason } => sandbox.error_reason = Some(reason.clone()),
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
