//! Whose a sandbox is and what it does, remembered for the proxy, which asks before every command.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use types::sandbox::{Desired, Observed, Sandbox};
use types::{OrganizationId, SandboxId, Timestamp};

/// Writes are counted apart for so many groups of sandboxes, so that one that is busy does not make all others forgotten.
const GROUPS: u64 = 64;
/// The most that is remembered; then all is forgotten, which costs one read each.
const REMEMBERED: usize = 10_000;

/// What the proxy needs to know of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Whether it waits in a warm pool, so that nobody has it yet.
    pub is_warm: bool,
    /// What was asked of it.
    pub desired: Desired,
    /// What was last seen of it.
    pub observed: Observed,
    /// After how many idle minutes it pauses; 0 never.
    pub auto_pause: u32,
    /// When it had been used when the row was read: a use since is not told here.
    pub last_activity_at: Timestamp,
    /// What opens it to others than members of its organisation.
    pub secrets: Arc<Secrets>,
}

/// A sandbox's own secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// Secret of its preview links.
    pub auth_token: String,
    /// Secret that signs the URLs of its files.
    pub signing_key: String,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Standing {
    /// Takes from a row what the proxy needs.
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        Self {
            organization_id: sandbox.organization_id,
            is_warm: sandbox.warm_pool_id.is_some(),
            desired: sandbox.desired,
            observed: sandbox.observed,
            auto_pause: sandbox.intervals.auto_pause,
            last_activity_at: sandbox.last_activity_at,
            secrets: Arc::new(Secrets {
                auth_token: sandbox.auth_token.clone(),
                signing_key: sandbox.signing_key.clone(),
            }),
        }
    }
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
    /// Whose last write nobody saw the end of: it may come any time, so nothing is remembered until a later one ended.
    doubtful: HashSet<SandboxId>,
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
        inner.doubtful.remove(&id);
    }

    /// Forgets a sandbox that is being written by somebody who no longer waits for it.
    pub(crate) fn abandoned(&self, id: SandboxId) {
        let mut inner = self.inner();
        inner.known.remove(&id);
        inner.doubtful.insert(id);
    }

    /// Returns what is remembered, and how many writes of its group there were.
    pub(crate) fn recall(&self, id: SandboxId) -> (Option<Standing>, u64) {
        let mut inner = self.inner();
        (inner.known.get(&id).cloned(), *inner.writes(id))
    }

    /// Remembers what was read when there were `writes` writes of its group, unless there was another since.
    pub(crate) fn remember(&self, id: SandboxId, standing: Standing, writes: u64) {
        let mut inner = self.inner();
        if *inner.writes(id) != writes || inner.doubtful.contains(&id) {
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

    fn standing() -> Standing {
        let secrets = Secrets { auth_token: "token".to_owned(), signing_key: "key".to_owned() };
        Standing {
            organization_id: OrganizationId::from_u128(2),
            is_warm: false,
            desired: Desired::Started,
            observed: Observed::Started,
            auto_pause: 0,
            last_activity_at: Timestamp::UNIX_EPOCH,
            secrets: Arc::new(secrets),
        }
    }

    #[test]
    fn what_was_read_before_a_write_is_not_remembered_after_it() {
        let standings = Standings::default();
        let (known, writes) = standings.recall(ID);
        assert_eq!(known, None);
        standings.written(ID);
        standings.remember(ID, standing(), writes);
        assert_eq!(standings.recall(ID).0, None);
        let (_, writes) = standings.recall(ID);
        standings.remember(ID, standing(), writes);
        assert_eq!(standings.recall(ID).0, Some(standing()));
        standings.written(ID);
        assert_eq!(standings.recall(ID).0, None);
    }

    #[test]
    fn secrets_are_not_printed() {
        let printed = format!("{:?}", standing());
        assert!(!printed.contains("token") && !printed.contains("key"), "{printed}");
    }
}
