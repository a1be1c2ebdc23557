//! What the sandbox uses of its resources.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The resources as they are now; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemMetrics {
    /// Processors that the sandbox may keep busy.
    pub cpu_count: i64,
    /// Processor time used since the last sample, in percent of what is allowed.
    pub cpu_used_pct: f64,
    /// Free disk space.
    pub disk_free: i64,
    /// All disk space.
    pub disk_total: i64,
    /// Used disk space.
    pub disk_used: i64,
    /// Memory that holds file contents and can be taken back.
    pub mem_cache: i64,
    /// All memory.
    pub mem_total: i64,
    /// Used memory, without what can be taken back.
    pub mem_used: i64,
    /// When this was measured, RFC 3339.
    pub timestamp: String,
    /// The same in seconds since 1970.
    pub timestamp_unix: i64,
}
