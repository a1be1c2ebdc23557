//! What was last told of every sandbox, so that only changes are told, once and in order.

use std::collections::{HashMap, HashSet, VecDeque};

use types::SandboxId;
use types::sandbox::{Observed, Sandbox};

/// How many destroyed sandboxes are remembered, so that a row of theirs that comes late is known to be old.
const GONE: usize = 4_096;

/// The last words of every sandbox that is there.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    known: HashMap<SandboxId, Words>,
    gone: HashSet<SandboxId>,
    gone_order: VecDeque<SandboxId>,
}

#[derive(Debug, Clone, Copy)]
struct Words {
    generation: i64,
    state: &'static str,
    desired: &'static str,
}

/// Something that happened to a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was made.
    Created,
    /// Something else is wanted of it.
    Desired {
        /// What was wanted before.
        old: &'static str,
        /// What is wanted.
        new: &'static str,
    },
    /// It is in another state.
    State {
        /// The state before.
        old: &'static str,
        /// The state.
        new: &'static str,
    },
}

impl Memory {
    /// Takes in a row and returns what it changes. Rows of one sandbox may come in any order: those that are older than
    /// what is known change nothing.
    pub(crate) fn take(&mut self, sandbox: &Sandbox) -> Vec<Change> {
        let id = sandbox.id;
        let now = Words {
            generation: sandbox.generation,
            state: sandbox.reported(),
            desired: sandbox.desired.as_str(),
        };
        // One that waits in a warm pool is made when somebody takes it.
        if self.gone.contains(&id) || sandbox.warm_pool_id.is_some() {
            return Vec::new();
        }
        let before = self.known.get(&id).copied();
        if before.is_some_and(|before| before.generation >= now.generation) {
            return Vec::new();
        }
        let destroyed = sandbox.observed == Observed::Destroyed;
        if destroyed {
            self.known.remove(&id);
            self.forget(id);
        } else {
            self.known.insert(id, now);
        }
        match before {
            Some(before) => changes(before, now),
            None if destroyed => Vec::new(),
            None => vec![Change::Created],
        }
    }

    /// Counts the sandboxes that are known to be there.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.known.len()
    }

    fn forget(&mut self, id: SandboxId) {
        if self.gone.insert(id) {
            self.gone_order.push_back(id);
        }
        while self.gone_order.len() > GONE {
            if let Some(oldest) = self.gone_order.pop_front() {
                self.gone.remove(&oldest);
            }
        }
    }

    /// Forgets those that are not in `there`, of which nothing was told: their rows are gone.
    pub(crate) fn keep_only(&mut self, there: &HashSet<SandboxId>) {
        self.known.retain(|id, _| there.contains(id));
    }
}

fn changes(before: Words, now: Words) -> Vec<Change> {
    let mut changes = Vec::new();
    if before.desired != now.desired {
        changes.push(Change::Desired { old: before.desired, new: now.desired });
    }
    if before.state != now.state {
        changes.push(Change::State { old: before.state, new: now.state });
    }
    changes
}

#[cfg(test)]
mod tests {
    use crate::sample;
    use types::sandbox::Desired;
    use types::{OrganizationId, Timestamp};

    use super::*;

    fn row(id: u128, generation: i64, desired: Desired, observed: Observed) -> Sandbox {
        let made = sample::sandbox(
            SandboxId::from_u128(id),
            OrganizationId::from_u128(1),
            Timestamp::from_second(1_000).expect("moment"),
        );
        let applied = (Some(made.network.clone()), Some(made.resources));
        Sandbox {
            generation,
            desired,
            observed,
            network_applied: applied.0,
            resources_applied: applied.1,
            ..made
        }
    }

    #[test]
    fn a_life_is_told_once_and_in_order() {
        let mut memory = Memory::default();
        let created = row(1, 1, Desired::Started, Observed::Absent);
        let started = row(1, 2, Desired::Started, Observed::Started);
        let stopping = row(1, 3, Desired::Stopped, Observed::Started);
        let stopped = row(1, 4, Desired::Stopped, Observed::Stopped);
        let destroying = row(1, 5, Desired::Destroyed, Observed::Stopped);
        let destroyed = row(1, 6, Desired::Destroyed, Observed::Destroyed);
        assert_eq!(memory.take(&created), [Change::Created]);
        assert_eq!(memory.take(&created), []);
        assert_eq!(memory.take(&started), [Change::State { old: "creating", new: "started" }]);
        let relabelled = Sandbox { generation: 3, ..started.clone() };
        assert_eq!(memory.take(&relabelled), []);
        let stopping = Sandbox { generation: 4, ..stopping };
        assert_eq!(
            memory.take(&stopping),
            [
                Change::Desired { old: "started", new: "stopped" },
                Change::State { old: "started", new: "stopping" }
            ]
        );
        let stopped = Sandbox { generation: 5, ..stopped };
        assert_eq!(memory.take(&stopped), [Change::State { old: "stopping", new: "stopped" }]);
        // One that was overtaken.
        assert_eq!(memory.take(&stopping), []);
        assert_eq!(memory.take(&started), []);
        let destroying = Sandbox { generation: 6, ..destroying };
        assert_eq!(memory.take(&destroying).len(), 2);
        let destroyed = Sandbox { generation: 7, ..destroyed };
        assert_eq!(memory.take(&destroyed), [Change::State { old: "destroying", new: "destroyed" }]);
        assert_eq!(memory.len(), 0);
        assert_eq!(memory.take(&destroying), [], "a row that comes late brings nothing back");
    }

    #[test]
    fn what_was_missed_is_told_as_what_became_of_it() {
        let mut memory = Memory::default();
        memory.take(&row(1, 1, Desired::Started, Observed::Absent));
        memory.take(&row(2, 1, Desired::Started, Observed::Absent));
        let became = memory.take(&row(1, 9, Desired::Stopped, Observed::Stopped));
        assert_eq!(
            became,
            [
                Change::Desired { old: "started", new: "stopped" },
                Change::State { old: "creating", new: "stopped" }
            ]
        );
        assert_eq!(memory.take(&row(3, 9, Desired::Destroyed, Observed::Destroyed)), []);
        memory.keep_only(&HashSet::from([SandboxId::from_u128(1)]));
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn what_is_gone_is_remembered_within_bounds() {
        let mut memory = Memory::default();
        for id in 0..GONE as u128 * 2 {
            memory.take(&row(id, 1, Desired::Destroyed, Observed::Destroyed));
        }
        assert_eq!((memory.gone.len(), memory.gone_order.len(), memory.len()), (GONE, GONE, 0));
    }
}
