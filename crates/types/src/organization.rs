//! The tenant.

use crate::api_key::Permission;
use crate::clock::Timestamp;
use crate::id::{OrganizationId, UserId};

/// The name of the organisation that every user gets.
pub const PERSONAL: &str = "Personal";

/// What a member is in an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May do everything.
    Owner,
    /// May do what was assigned, which is nothing yet, and look.
    Member,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 2] = [Self::Owner, Self::Member];

    /// Returns the contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }

    /// Reads the contract's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Returns what a member of this role may do.
    pub const fn permissions(self) -> &'static [Permission] {
        match self {
            Self::Owner => &Permission::ALL,
            Self::Member => &[],
        }
    }
}

/// A tenant: owns sandboxes and keys; nothing of one is visible to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its display name.
    pub name: String,
    /// True for the organisation that every user gets.
    pub personal: bool,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
}
