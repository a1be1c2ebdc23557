//! A person or service that holds keys, or shows tokens of a login provider.

use crate::clock::Timestamp;
use crate::id::UserId;

/// The user of the operator's keys. It is made at the first start, and no login provider speaks for it.
pub const OPERATOR: &str = "daytona-admin";

/// Someone who holds keys or logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The display name.
    pub name: String,
    /// Where mail reaches them; empty when unknown.
    pub email: String,
    /// Whether the login provider says that the address is theirs.
    pub email_verified: bool,
    /// When first seen.
    pub created_at: Timestamp,
}
