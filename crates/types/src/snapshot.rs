//! What a sandbox starts from.

use crate::clock::Timestamp;
use crate::id::{OrganizationId, SandboxId, SnapshotId};
use crate::resource::Resources;

/// A named image with the resources its sandboxes get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The name users write.
    pub name: String,
    /// The image's reference in the runner's image store.
    pub image: String,
    /// What sandboxes from it may use.
    pub resources: Resources,
}

/// A snapshot that an organisation made of one of its sandboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSnapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The tenant it belongs to.
    pub organization_id: OrganizationId,
    /// Unique in its organisation.
    pub name: String,
    /// The image's reference in the runner's image store; see [`SavedSnapshot::image_of`].
    pub image: String,
    /// How far it is.
    pub state: SnapshotState,
    /// Why it is in `SnapshotState::Error`.
    pub error_reason: Option<String>,
    /// The sandbox that it was taken of.
    pub source_sandbox_id: SandboxId,
    /// What sandboxes from it get.
    pub resources: Resources,
    /// How much it adds to what it was taken on top of.
    pub size_bytes: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// When a sandbox was last made from it.
    pub last_used_at: Option<Timestamp>,
}

/// Begins the references of images that tenants made; no tenant may name one.
pub const CAPTURED: &str = "captured/";

impl SavedSnapshot {
    /// Returns the image's reference of a snapshot.
    pub fn image_of(id: SnapshotId) -> String {
        format!("{CAPTURED}{id}")
    }
}

/// What was done to the row of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotChange {
    /// It was written, as it is now.
    Written(SavedSnapshot),
    /// It was forgotten; this is what it was.
    Deleted(SavedSnapshot),
}

/// How far a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SnapshotState {
    /// It is being taken.
    Snapshotting,
    /// Sandboxes can be made from it.
    Active,
    /// It could not be taken.
    Error,
    /// It is on its way out.
    Removing,
}

impl SnapshotState {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 4] = [Self::Snapshotting, Self::Active, Self::Error, Self::Removing];

    /// Returns the contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Snapshotting => "snapshotting",
            Self::Active => "active",
            Self::Error => "error",
            Self::Removing => "removing",
        }
    }

    /// Reads the contract's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}
