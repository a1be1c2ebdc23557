//! What to do next about a sandbox: pure and total.

use types::sandbox::{Desired, Network, Observed, Sandbox};

/// One thing to do on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

/// Returns the next step for a sandbox, or `None` when it rests.
pub fn plan(sandbox: &Sandbox) -> Option<Step> {
    match (sandbox.desired, sandbox.observed) {
        // A sandbox in error waits for a person: doing more by itself could lose files.
        (_, Observed::Destroyed)
        | (Desired::Started | Desired::Stopped, Observed::Error)
        | (Desired::Stopped, Observed::Stopped) => None,
        (Desired::Destroyed, _) => Some(Step::Destroy),
        (_, Observed::Unknown) => Some(Step::Observe),
        // Stopped means that files are there, so files are made first.
        (_, Observed::Absent) => Some(Step::Create),
        (Desired::Started, Observed::Stopped) => Some(Step::Start),
        (Desired::Started, Observed::Started) => network_step(sandbox),
        (Desired::Stopped, Observed::Started) => Some(Step::Stop { force: sandbox.stop_forced }),
    }
}

fn network_step(sandbox: &Sandbox) -> Option<Step> {
    (sandbox.network_applied != Some(sandbox.network)).then_some(Step::SetNetwork(sandbox.network))
}
