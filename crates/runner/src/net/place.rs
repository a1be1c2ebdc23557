//! A sandbox in its place: its policy, what was pinned for it, and what it was counted.

use std::sync::Arc;

use types::sandbox;

use crate::net::access::Pinned;
use crate::net::ledger::Packets;
use crate::net::membership::Membership;
use crate::net::pins::Pins;

/// A sandbox that runs already when the network is opened.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its id.
    pub sandbox_id: String,
    /// Its place in the pool.
    pub index: u32,
    /// What it may reach.
    pub policy: sandbox::Network,
    /// Whom it is linked with.
    pub membership: Membership,
}

/// A sandbox in its place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) sandbox_id: String,
    pub(super) policy: Arc<sandbox::Network>,
    pub(super) pins: Pins,
    /// What was counted by tables that are gone, and by this one when it was last looked at.
    pub(super) counted: Packets,
    pub(super) last_seen: Packets,
}

impl Place {
    pub(super) fn new(sandbox_id: String, policy: sandbox::Network) -> Self {
        let (counted, last_seen) = (Packets::default(), Packets::default());
        Self { sandbox_id, policy: Arc::new(policy), pins: Pins::default(), counted, last_seen }
    }

    /// Tells whether a name is on the sandbox's list.
    pub(super) fn lists(&self, name: &str) -> bool {
        lists(&self.policy, name)
    }

    /// Takes over what holds from the same sandbox's last policy; returns the pinned addresses that do not.
    pub(super) fn inherit(&mut self, before: Self) -> Vec<Pinned> {
        let (policy, same_sandbox) = (&self.policy, self.sandbox_id == before.sandbox_id);
        if same_sandbox {
            (self.counted, self.last_seen) = (before.counted, before.last_seen);
        }
        self.pins = before.pins;
        self.pins.retain(|name| same_sandbox && lists(policy, name))
    }
}

fn lists(policy: &sandbox::Network, name: &str) -> bool {
    !policy.block_all && policy.domain_allow_list.iter().any(|pattern| pattern.matches(name))
}
