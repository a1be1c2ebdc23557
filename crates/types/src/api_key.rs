//! What a bearer key may do. The key's text is never kept, only its SHA-256.

use crate::clock::Timestamp;
use crate::id::{ApiKeyId, OrganizationId, UserId};

/// One right a key can hold. The strings are the contract's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Create and change sandboxes, run code in them.
    WriteSandboxes,
    /// Delete sandboxes.
    DeleteSandboxes,
    /// Delete snapshots.
    DeleteSnapshots,
    /// Make snapshots, and upload what they are built from.
    WriteSnapshots,
    /// Add and change registries.
    WriteRegistries,
    /// Delete registries.
    DeleteRegistries,
    /// See volumes and read their files.
    ReadVolumes,
    /// Make volumes and write their files.
    WriteVolumes,
    /// Delete volumes.
    DeleteVolumes,
}

impl Permission {
    /// Every permission, in the order keys list them.
    pub const ALL: [Self; 9] = [
        Self::WriteSandboxes,
        Self::DeleteSandboxes,
        Self::DeleteSnapshots,
        Self::WriteSnapshots,
        Self::WriteRegistries,
        Self::DeleteRegistries,
        Self::ReadVolumes,
        Self::WriteVolumes,
        Self::DeleteVolumes,
    ];

    /// Returns the contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WriteSandboxes => "write:sandboxes",
            Self::DeleteSandboxes => "delete:sandboxes",
            Self::DeleteSnapshots => "delete:snapshots",
            Self::WriteSnapshots => "write:snapshots",
            Self::WriteRegistries => "write:registries",
            Self::DeleteRegistries => "delete:registries",
            Self::ReadVolumes => "read:volumes",
            Self::WriteVolumes => "write:volumes",
            Self::DeleteVolumes => "delete:volumes",
        }
    }

    /// Reads the contract's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == text)
    }
}

/// A key as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// The only organisation it acts for.
    pub organization_id: OrganizationId,
    /// Who holds it.
    pub user_id: UserId,
    /// Its display name.
    pub name: String,
    /// SHA-256 of the key's text, lowercase hexadecimal.
    pub hash: String,
    /// What it may do.
    pub permissions: Vec<Permission>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working, if ever.
    pub expires_at: Option<Timestamp>,
}

impl ApiKey {
    /// Tells whether the key has stopped working at `now`.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}
