//! A person or service that holds keys.

use crate::clock::Timestamp;
use crate::id::UserId;

/// Someone who holds keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The display name.
    pub name: String,
    /// Where mail reaches them; empty when unknown.
    pub email: String,
    /// When first seen.
    pub created_at: Timestamp,
}
