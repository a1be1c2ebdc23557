//! The tenant.

use crate::clock::Timestamp;
use crate::id::{OrganizationId, UserId};

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
