//! Warm pools as clients see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Sandboxes of one snapshot that are kept ready. The SDKs refuse it when a field that is not skipped here is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WarmPool {
    /// Its id.
    pub id: String,
    /// The organisation it belongs to.
    pub organization_id: String,
    /// The snapshot that its sandboxes are made from.
    pub snapshot: String,
    /// The region that they run in.
    pub target: String,
    /// How many are to be ready.
    pub pool: u32,
    /// How many are ready.
    pub current_size: u32,
    /// Virtual processors of each.
    pub cpu: u32,
    /// Memory of each in GiB.
    pub mem: u32,
    /// Disk of each in GiB.
    pub disk: u32,
    /// The user that commands run as.
    pub os_user: String,
    /// Variables of each; always empty.
    pub env: BTreeMap<String, String>,
    /// Why it is not full, when that is not only a matter of time.
    pub error_reason: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When anything of it last changed.
    pub updated_at: String,
}

/// What a new pool is to be.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct CreateWarmPool {
    /// Id or name of the snapshot.
    pub snapshot: String,
    /// How many sandboxes to keep ready, from 1; a whole number.
    pub pool: f64,
    /// The region; the server's own by default.
    pub target: Option<String>,
}

/// What a pool is to become.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct UpdateWarmPool {
    /// How many sandboxes to keep ready, from 0, which drains it; a whole number.
    pub pool: f64,
}
