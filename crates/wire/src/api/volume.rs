//! Volumes as clients see them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Files that outlive sandboxes. The SDKs refuse it when a field is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeDto {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The organisation it belongs to.
    pub organization_id: String,
    /// What it is, such as `ready`.
    pub state: String,
    /// When it was made.
    pub created_at: String,
    /// When anything of it last changed.
    pub updated_at: String,
    /// When a sandbox was last made with it.
    pub last_used_at: Option<String>,
    /// Why it is in error.
    pub error_reason: Option<String>,
}

/// What a new volume is to be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
pub struct CreateVolume {
    /// Its name; its id when empty.
    pub name: String,
}
