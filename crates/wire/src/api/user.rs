//! Who logged in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A user, as they see themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The id that the login provider gave.
    pub id: String,
    /// The display name.
    pub name: String,
    /// The address of mail; empty when the login provider does not say.
    pub email: String,
    /// Whether the login provider says that the address is theirs.
    pub email_verified: bool,
    /// Keys of the user. None are made.
    pub public_keys: Vec<UserPublicKey>,
    /// When first seen.
    pub created_at: String,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserPublicKey {
    /// The key.
    pub key: String,
    /// Its name.
    pub name: String,
}
