//! The sandbox: what was asked of it, and what was last seen of it.

pub mod state;

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::id::{OrganizationId, SandboxId};
use crate::network::{DomainPattern, Ipv4Network};
use crate::resource::Resources;
pub use state::{Desired, Observed};

/// A sandbox as the control plane knows it. Requests write `desired`; only the engine writes `observed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// Its id.
    pub id: SandboxId,
    /// The tenant it belongs to.
    pub organization_id: OrganizationId,
    /// Unique in its organisation; the id's text when the caller gave none.
    pub name: String,
    /// Name of the snapshot it was made from.
    pub snapshot: String,
    /// Reference of the image that the snapshot named when the sandbox was made.
    pub image: String,
    /// The region it runs in.
    pub region: String,
    /// The user inside that commands run as; empty means the image's own.
    pub user: String,
    /// Variables every command gets.
    pub env: BTreeMap<String, String>,
    /// The caller's own marks.
    pub labels: BTreeMap<String, String>,
    /// Whether previews need no key.
    pub public: bool,
    /// What it may reach.
    pub network: Network,
    /// The policy last put in force on its host; `None` before the first.
    pub network_applied: Option<Network>,
    /// What it may use.
    pub resources: Resources,
    /// The limits last put in force on its host; `None` before the first.
    pub resources_applied: Option<Resources>,
    /// When it stops, is archived and is deleted by itself.
    pub intervals: Intervals,
    /// What was asked for.
    pub desired: Desired,
    /// Whether the last stop asked to skip the processes' grace time.
    pub stop_forced: bool,
    /// What was last seen.
    pub observed: Observed,
    /// Why it is in `Observed::Error` or `Observed::Ended`, or was not resized.
    pub error_reason: Option<String>,
    /// Secret of its preview links.
    pub auth_token: String,
    /// Version of the daemon that runs in it, once it ran.
    pub daemon_version: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// When it was last used.
    pub last_activity_at: Timestamp,
    /// Grows with every write; an update names the one it read, so that no write is lost.
    pub generation: i64,
}

impl Sandbox {
    /// Tells whether what was seen is what was asked for, its limits and its network policy included.
    pub fn at_rest(&self) -> bool {
        let policy_holds =
            self.observed != Observed::Started || self.network_applied.as_ref() == Some(&self.network);
        state::at_rest(self.desired, self.observed)
            && (policy_holds || self.desired != Desired::Started)
            && !self.resizing()
    }

    /// Tells whether its limits are yet to be changed, and can be: there is something to change.
    pub fn resizing(&self) -> bool {
        state::at_rest(self.desired, self.observed)
            && matches!(self.observed, Observed::Started | Observed::Stopped | Observed::Ended)
            && self.resources_applied != Some(self.resources)
    }

    /// Returns the contract's word for its state.
    pub fn reported(&self) -> &'static str {
        // Rows of before there were applied limits are checked once, without a word about it.
        if self.resizing() && self.resources_applied.is_some() {
            return "resizing";
        }
        state::reported(self.desired, self.observed)
    }
}

/// What a sandbox may reach. Without a list, everything that the host allows; with one, only what is listed of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// Drops everything that the sandbox sends out, and all that comes in from outside.
    pub block_all: bool,
    /// Networks that it may reach.
    pub allow_list: Vec<Ipv4Network>,
    /// Names that it may look up and then reach.
    pub domain_allow_list: Vec<DomainPattern>,
}

impl Network {
    /// Returns the policy that lets nothing through.
    pub fn blocked() -> Self {
        Self { block_all: true, ..Self::default() }
    }

    /// Tells whether only what is listed may be reached.
    pub fn listed(&self) -> bool {
        let has_list = !self.allow_list.is_empty() || !self.domain_allow_list.is_empty();
        has_list && !self.block_all
    }
}

/// Minutes after which a sandbox changes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// Stops after so many idle minutes; 0 never.
    pub auto_stop: u32,
    /// Is archived after so many stopped minutes; 0 means the longest allowed.
    pub auto_archive: u32,
    /// Is deleted after so many stopped minutes; negative never, 0 as soon as it stops.
    pub auto_delete: i32,
}

impl Intervals {
    /// The longest wait before a stopped sandbox is archived, in minutes: 30 days, as in the contract.
    pub const LONGEST_AUTO_ARCHIVE: u32 = 43_200;
}

impl Default for Intervals {
    /// The contract's defaults: 15 minutes, 7 days, never.
    fn default() -> Self {
        Self { auto_stop: 15, auto_archive: 10_080, auto_delete: -1 }
    }
}
