//! How an image comes to a host: pulled from a registry, or built from a Dockerfile.

use crate::clock::Timestamp;
use crate::id::{BuildId, OrganizationId};

/// Begins the references of images that were pulled or built for tenants; no tenant may name one.
pub const BUILT: &str = "built/";

/// The entrypoint of an image that says none, as in the contract.
pub const IDLE: [&str; 2] = ["sleep", "infinity"];

/// An image that is, was or will be on the host, and how it gets there. Snapshots and sandboxes of one organisation that
/// ask for the same Dockerfile share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Its id.
    pub id: BuildId,
    /// The tenant it belongs to.
    pub organization_id: OrganizationId,
    /// Two of an organisation with the same key are one.
    pub key: String,
    /// What makes it.
    pub recipe: Recipe,
    /// How far it is.
    pub state: BuildState,
    /// Why it is in `BuildState::Failed`.
    pub error_reason: Option<String>,
    /// What came of it, once something did.
    pub made: Option<Made>,
    /// When it was first asked for.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// When somebody last asked for it.
    pub last_used_at: Timestamp,
    /// Grows with every write; an update names the one it read.
    pub generation: i64,
}

/// What makes an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// It is pulled.
    Pull {
        /// The reference, as the caller wrote it.
        reference: String,
    },
    /// It is built.
    Dockerfile {
        /// The Dockerfile.
        text: String,
        /// Names of the archives that it copies from, in the object storage of the organisation; sorted.
        contexts: Vec<String>,
    },
}

/// An image that was pulled or built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its digest in a registry, or that of what it is made of; lowercase hexadecimal.
    pub digest: String,
    /// How much it takes on the host, unpacked.
    pub size_bytes: u64,
    /// What it says its containers run.
    pub entrypoint: Vec<String>,
}

/// How far a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BuildState {
    /// Nobody needs it, and the host does not have it.
    Idle,
    /// It was asked for.
    Pending,
    /// It is being made.
    Running,
    /// The host has it.
    Done,
    /// It could not be made.
    Failed,
}

impl Build {
    /// Returns a build that is asked for now.
    pub const fn new(
        id: BuildId,
        organization_id: OrganizationId,
        key: String,
        recipe: Recipe,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            organization_id,
            key,
            recipe,
            state: BuildState::Pending,
            error_reason: None,
            made: None,
            created_at: now,
            updated_at: now,
            last_used_at: now,
            generation: 1,
        }
    }

    /// Returns the image's reference in the runner's image store.
    pub fn image_of(id: BuildId) -> String {
        format!("{BUILT}{id}")
    }

    /// Returns the reference that clients are shown.
    pub fn reference(&self) -> String {
        let name = match (&self.recipe, &self.made) {
            (Recipe::Pull { .. }, Some(made)) => &made.digest,
            (Recipe::Pull { .. } | Recipe::Dockerfile { .. }, _) => &self.key,
        };
        format!("daytona-{name}:daytona")
    }

    /// Returns what its containers run: what the image says, or nothing that ends.
    pub fn entrypoint(&self) -> Vec<String> {
        let said = self.made.as_ref().map(|made| made.entrypoint.clone()).unwrap_or_default();
        if said.is_empty() { IDLE.map(str::to_owned).to_vec() } else { said }
    }
}

impl Recipe {
    /// Tells whether there is something to build.
    pub const fn is_built(&self) -> bool {
        matches!(self, Self::Dockerfile { .. })
    }
}

impl BuildState {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 5] = [Self::Idle, Self::Pending, Self::Running, Self::Done, Self::Failed];

    /// Returns the word the store keeps.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Reads the word the store keeps.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Tells whether nothing more comes of it by itself.
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for state in BuildState::ALL {
            assert_eq!(BuildState::parse(state.as_str()), Some(state));
        }
    }
}
