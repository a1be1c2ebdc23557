//! What a sandbox starts from.

use crate::clock::Timestamp;
use crate::id::{BuildId, OrganizationId, SandboxId, SnapshotId};
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

/// A snapshot as the control plane knows it. Requests ask: they write `Pending`, `Inactive` and `Removing`; the engine
/// writes what became of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSnapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The tenant it belongs to; `None` is everybody's.
    pub organization_id: Option<OrganizationId>,
    /// Unique in its organisation, and no name of everybody's.
    pub name: String,
    /// The image's reference in the runner's image store.
    pub image: String,
    /// How far it is.
    pub state: SnapshotState,
    /// Why it is in `SnapshotState::Error` or `SnapshotState::BuildFailed`.
    pub error_reason: Option<String>,
    /// The sandbox that it was taken of.
    pub source_sandbox_id: Option<SandboxId>,
    /// The reference that it was asked for with, when it is pulled.
    pub image_name: Option<String>,
    /// What brings its image to the host.
    pub build_id: Option<BuildId>,
    /// The reference that clients are shown, once it is known.
    pub reference: Option<String>,
    /// What sandboxes from it run first, once it is known.
    pub entrypoint: Option<Vec<String>>,
    /// What sandboxes from it get.
    pub resources: Resources,
    /// How much it takes on the host; of one taken of a sandbox, what it adds to what that was made from.
    pub size_bytes: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// When a sandbox was last made from it.
    pub last_used_at: Option<Timestamp>,
    /// When it was last put out of use.
    pub deactivated_at: Option<Timestamp>,
    /// Grows with every write; an update names the one it read, so that no write is lost.
    pub generation: i64,
}

/// Begins the references of images that tenants made; no tenant may name one.
pub const CAPTURED: &str = "captured/";

impl SavedSnapshot {
    /// Returns a snapshot that was just asked for, of which nothing else is said.
    pub fn new(
        id: SnapshotId,
        organization_id: Option<OrganizationId>,
        name: String,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            organization_id,
            name,
            image: Self::image_of(id),
            state: SnapshotState::Pending,
            error_reason: None,
            source_sandbox_id: None,
            image_name: None,
            build_id: None,
            reference: None,
            entrypoint: None,
            resources: Resources::default(),
            size_bytes: 0,
            created_at: now,
            updated_at: now,
            last_used_at: None,
            deactivated_at: None,
            generation: 1,
        }
    }

    /// Tells whether it is everybody's.
    pub const fn is_general(&self) -> bool {
        self.organization_id.is_none()
    }

    /// Returns the image's reference of a snapshot that is taken of a sandbox.
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
    /// It was asked for.
    Pending,
    /// Its image is being pulled.
    Pulling,
    /// Its image is being built.
    Building,
    /// It is being taken of a sandbox.
    Snapshotting,
    /// Sandboxes can be made from it.
    Active,
    /// It is out of use, and can be brought back.
    Inactive,
    /// It could not be taken or pulled.
    Error,
    /// It could not be built.
    BuildFailed,
    /// It is on its way out.
    Removing,
}

impl SnapshotState {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Pulling,
        Self::Building,
        Self::Snapshotting,
        Self::Active,
        Self::Inactive,
        Self::Error,
        Self::BuildFailed,
        Self::Removing,
    ];

    /// Returns the contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Pulling => "pulling",
            Self::Building => "building",
            Self::Snapshotting => "snapshotting",
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Error => "error",
            Self::BuildFailed => "build_failed",
            Self::Removing => "removing",
        }
    }

    /// Reads the contract's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}
