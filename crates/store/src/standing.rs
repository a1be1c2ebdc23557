//! Whose a sandbox is and what it does, remembered for the proxy, which asks before every command.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use types::sandbox::{Desired, Observed};
use types::{OrganizationId, SandboxId};

/// Writes are counted apart for so many groups of sandboxes, so that one that is busy does not make all others forgotten.
const GROUPS: u64 = 64;
/// The most that is remembered; then all is forgotten, which costs one read each.
const REMEMBERED: usize = 10_000;

/// What the proxy needs to know of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// What was asked of it.
    pub desired: Desired,
    /// What was last seen of it.
    pub observed: Observed,
}

/// Standings that were read and not written since. Every write of this process passes here, and there is one process
/// for a database file.
#[derive(Debug, Default)]
pub(crate) struct Standings(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Each grows with every write of its group: what was read before a write must not be remembered after it.
    writes: HashMap<u64, u64>,
    known: HashMap<SandboxId, Standing>,
}

impl Inner {
    fn writes(&mut self, id: SandboxId) -> &mut u64 {
        let group = self.known.hasher().hash_one(id) % GROUPS;
        self.writes.entry(group).or_default()
    }
}

impl Standings {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a sandbox that was just written.
    pub(crate) fn written(&self, id: SandboxId) {
        let mut inner = self.inner();
        *inner.writes(id) += 1;
        inner.known.remove(&id);
    }

    /// Returns what is remembered, and how many writes of its group there were.
    pub(crate) fn recall(&self, id: SandboxId) -> (Option<Standing>, u64) {
        let mut inner = self.inner();
        (inner.known.get(&id).copied(), *inner.writes(id))
    }

    /// Remembers what was read when there were `writes` writes of its group, unless there was another since.
    pub(crate) fn remember(&self, id: SandboxId, standing: Standing, writes: u64) {
        let mut inner = self.inner();
        if *inner.writes(id) != writes {
            return;
        }
        if inner.known.len() >= REMEMBERED {
            inner.known.clear();
        }
        inner.known.insert(id, standing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SandboxId = SandboxId::from_u128(1);
    const STANDING: Standing = Standing {
        organization_id: OrganizationId::from_u128(2),
        desired: Desired::Started,
        observed: Observed::Started,
    };

    #[test]
    fn what_was_read_before_a_write_is_not_remembered_after_it() {
        let standings = Standings::default();
        let (known, writes) = standings.recall(ID);
        assert_eq!(known, None);
        standings.written(ID);
        standings.remember(ID, STANDING, writes);
        assert_eq!(standings.recall(ID).0, None);
        let (_, writes) = standings.recall(ID);
        standings.remember(ID, STANDING, writes);
        assert_eq!(standings.recall(ID).0, Some(STANDING));
        standings.written(ID);
        assert_eq!(standings.recall(ID).0, None);
    }
}
