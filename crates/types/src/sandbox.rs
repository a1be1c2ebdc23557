//! The sandbox: what was asked of it, and what was last seen of it.

pub mod backup;
pub mod secret;
pub mod state;
pub mod preparation;

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::id::{OrganizationId, SandboxId, SnapshotId, WarmPoolId};
use crate::network::{DomainPattern, Ipv4Network};
use crate::random::Random;
use crate::resource::Resources;
use crate::volume::VolumeMount;
pub use backup::{Backup, BackupState};
pub use preparation::Preparation;
pub use state::{Desired, Observed, Overlay};

/// A sandbox as the control plane knows it. Requests write `desired`; only the engine writes `observed`.
#[expect(clippy::struct_excessive_bools, reason = "a row of a table: each is a fact of its own")]
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
    /// The same for agents: what it came from, what shows it, what helps.
    pub failure: Option<Failure>,
    /// Whether `recover` may help.
    pub recoverable: bool,
    /// Whether it is to be repaired before it goes on.
    pub recovering: bool,
    /// The sandbox that it was forked from.
    pub parent_id: Option<SandboxId>,
    /// The sandbox whose network it shares; it goes with that one.
    pub linked_id: Option<SandboxId>,
    /// The snapshot that is to be taken of it, until it is taken or has failed.
    pub capture: Option<SnapshotId>,
    /// What makes its image, when it was asked for with a Dockerfile.
    pub preparation: Option<Preparation>,
    /// The volumes that it has, and where.
    pub volumes: Vec<VolumeMount>,
    /// The copy of its files in the object storage.
    pub backup: Backup,
    /// When it is deleted, whatever it does then.
    pub destroy_at: Option<Timestamp>,
    /// How many seconds its creation may wait for room on the host.
    pub queue_timeout: Option<u32>,
    /// When it had waited too long; then it is gone and stays readable for a day.
    pub queue_timed_out_at: Option<Timestamp>,
    /// The warm pool that it waits in; `None` once somebody has it.
    pub warm_pool_id: Option<WarmPoolId>,
    /// Secret that signs the URLs of its files.
    pub signing_key: String,
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
    /// Returns a sandbox that is to be made: with secrets of its own, named after its id, and nothing else said of it.
    pub fn new(id: SandboxId, organization_id: OrganizationId, random: &dyn Random, now: Timestamp) -> Self {
        Self {
            id,
            organization_id,
            name: id.to_string(),
            snapshot: String::new(),
            image: String::new(),
            region: String::new(),
            user: String::new(),
            env: BTreeMap::new(),
            labels: BTreeMap::new(),
            public: false,
            network: Network::default(),
            network_applied: None,
            resources: Resources::default(),
            resources_applied: None,
            intervals: Intervals::default(),
            desired: Desired::Started,
            stop_forced: false,
            observed: Observed::Absent,
            error_reason: None,
            failure: None,
            recoverable: false,
            recovering: false,
            parent_id: None,
            linked_id: None,
            capture: None,
            preparation: None,
            volumes: Vec::new(),
            backup: Backup::default(),
            destroy_at: None,
            queue_timeout: None,
            queue_timed_out_at: None,
            warm_pool_id: None,
            signing_key: secret::signing_key(random),
            auth_token: secret::auth_token(random),
            daemon_version: None,
            created_at: now,
            updated_at: now,
            last_activity_at: now,
            generation: 1,
        }
    }

    /// Tells whether what was seen is what was asked for, its limits and its network policy included.
    pub fn at_rest(&self) -> bool {
        let policy_holds =
            self.observed != Observed::Started || self.network_applied.as_ref() == Some(&self.network);
        state::at_rest(self.desired, self.observed)
            && (policy_holds || self.desired != Desired::Started)
            && !self.resizing()
            && !self.capturing()
            && !self.backing_up()
            && !self.repairing()
    }

    /// Tells whether its files are to be repaired before it goes on, and can be.
    pub fn repairing(&self) -> bool {
        self.recovering
            && self.desired != Desired::Destroyed
            && matches!(self.observed, Observed::Error | Observed::Ended)
    }

    /// Tells whether a snapshot of it is to be taken, and can be.
    pub fn capturing(&self) -> bool {
        self.capture.is_some() && self.has_files_at_rest()
    }

    /// Tells whether a backup of it is to be made, and can be.
    pub fn backing_up(&self) -> bool {
        matches!(self.backup.state, BackupState::Pending | BackupState::InProgress)
            && self.has_files_at_rest()
    }

    fn has_files_at_rest(&self) -> bool {
        state::at_rest(self.desired, self.observed)
            && matches!(
                self.observed,
                Observed::Started | Observed::Stopped | Observed::Ended | Observed::Paused
            )
    }

    /// Tells whether its limits are yet to be changed, and can be: there is something to change.
    pub fn resizing(&self) -> bool {
        state::at_rest(self.desired, self.observed)
            && matches!(self.observed, Observed::Started | Observed::Stopped | Observed::Ended)
            && self.resources_applied != Some(self.resources)
    }

    /// Returns the contract's word for its state.
    pub fn reported(&self) -> &'static str {
        self.overlay().map_or_else(|| state::reported(self.desired, self.observed), Overlay::as_str)
    }

    /// Returns the contract's word for what was asked for.
    pub fn reported_desired(&self) -> &'static str {
        if self.overlay() == Some(Overlay::Resizing) { state::RESIZED } else { self.desired.as_str() }
    }

    /// Tells whether its image is yet to be made.
    pub fn preparing(&self) -> bool {
        self.preparation.is_some_and(|preparation| !preparation.state.has_ended())
    }

    /// Returns what it goes through beside its pair of states.
    fn overlay(&self) -> Option<Overlay> {
        if let Some(preparation) =
            self.preparation.and_then(|known| known.overlay(self.desired, self.observed))
        {
            return Some(preparation);
        }
        let is_new = self.daemon_version.is_none()
            && (self.desired, self.observed) == (Desired::Started, Observed::Absent);
        // Rows of before there were applied limits are checked once, without a word about it.
        if self.resizing() && self.resources_applied.is_some() {
            Some(Overlay::Resizing)
        } else if self.capturing() {
            Some(Overlay::Snapshotting)
        } else if self.parent_id.is_some() && is_new {
            Some(Overlay::Forking)
        } else if self.repairing() {
            Some(Overlay::Repairing)
        } else {
            None
        }
    }
}

/// Why something failed, in words for programs that act on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A stable identifier, such as `out-of-memory`, `disk-full` or `host-full`.
    pub cause: String,
    /// What was found, with numbers.
    pub evidence: String,
    /// What helps.
    pub remedy: String,
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
    /// Pauses after so many idle minutes; 0 never.
    pub auto_pause: u32,
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
        Self { auto_stop: 15, auto_pause: 0, auto_archive: 10_080, auto_delete: -1 }
    }
}
