//! What to do next about a sandbox: pure and total.

use types::resource::Resources;
use types::sandbox::{Desired, Network, Observed, Sandbox};

/// One thing to do on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Look at what is there.
    Observe,
    /// Make the files, limits and link, and start.
    Create,
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
    match (sandbox.desired, sandbox.observed) {
        // A sandbox in error waits for a person: doing more by itself could lose files.
        (_, Observed::Destroyed) | (Desired::Started | Desired::Stopped, Observed::Error) => None,
        (Desired::Stopped, Observed::Stopped | Observed::Ended) => resize_step(sandbox),
        (Desired::Destroyed, _) => Some(Step::Destroy),
        (_, Observed::Unknown) => Some(Step::Observe),
        // Stopped means that files are there, so files are made first.
        (_, Observed::Absent) => Some(Step::Create),
        (Desired::Started, Observed::Stopped | Observed::Ended) => Some(Step::Start),
        (Desired::Started, Observed::Started) => network_step(sandbox).or_else(|| resize_step(sandbox)),
        (Desired::Stopped, Observed::Started) => Some(Step::Stop { force: sandbox.stop_forced }),
    }
}

fn network_step(sandbox: &Sandbox) -> Option<Step> {
    let holds = sandbox.network_applied.as_ref() == Some(&sandbox.network);
    (!holds).then(|| Step::SetNetwork(sandbox.network.clone()))
}

fn resize_step(sandbox: &Sandbox) -> Option<Step> {
    (sandbox.resources_applied != Some(sandbox.resources)).then_some(Step::Resize(sandbox.resources))
}
