//! The tenants.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// An organisation, as its members see it. Both generations of clients want every field to be there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the contract's shape")]
pub struct Organization {
    /// Its id.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// Who made it.
    pub created_by: String,
    /// Whether it is the one that its user got on first login.
    pub personal: bool,
    /// When it was made.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
    /// Whether it may start nothing.
    pub suspended: bool,
    /// Since when; the beginning of 1970 when it is not: one official client takes no null here.
    pub suspended_at: String,
    /// Why; nothing when it is not.
    pub suspension_reason: String,
    /// Until when; the beginning of 1970 when it is not.
    pub suspended_until: String,
    /// How long its sandboxes run on after that, in hours.
    pub suspension_cleanup_grace_period_hours: u32,
    /// The most processors of one sandbox.
    pub max_cpu_per_sandbox: u32,
    /// The most memory of one sandbox, in GiB.
    pub max_memory_per_sandbox: u32,
    /// The most disk of one sandbox, in GiB.
    pub max_disk_per_sandbox: u32,
    /// The most secrets.
    pub secret_quota: u32,
    /// The most secrets of one sandbox.
    pub max_secrets_per_sandbox: u32,
    /// After how long an unused snapshot is turned off, in minutes.
    pub snapshot_deactivation_timeout_minutes: u32,
    /// How long the making of a sandbox may wait when it does not say; null is for ever.
    pub default_queue_timeout: Option<u32>,
    /// Whether sandboxes reach nothing unless it is said.
    pub sandbox_limited_network_egress: bool,
    /// Whether previews begin with a warning.
    pub preview_warning_enabled: bool,
    /// Whether it may have login providers of its own.
    pub sso_enabled: bool,
    /// Whether its users may come from a directory.
    pub scim_enabled: bool,
    /// The region of sandboxes that name none.
    pub default_region_id: String,
    /// The most requests; null is without bound.
    pub authenticated_rate_limit: Option<u32>,
    /// The most sandboxes made; null is without bound.
    pub sandbox_create_rate_limit: Option<u32>,
    /// The most changes of sandboxes; null is without bound.
    pub sandbox_lifecycle_rate_limit: Option<u32>,
    /// In how many seconds.
    pub authenticated_rate_limit_ttl_seconds: Option<u32>,
    /// In how many seconds.
    pub sandbox_create_rate_limit_ttl_seconds: Option<u32>,
    /// In how many seconds.
    pub sandbox_lifecycle_rate_limit_ttl_seconds: Option<u32>,
    /// Settings that are tried out.
    pub experimental_config: BTreeMap<String, Value>,
    /// Where telemetry is sent; null is nowhere.
    pub otel_config: Option<Value>,
}

/// What the sandboxes of an organisation may use together in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionQuota {
    /// The organisation.
    pub organization_id: String,
    /// The region.
    pub region_id: String,
    /// Of which kind of sandboxes.
    pub sandbox_class: String,
    /// The most processors; 4294967295 is without bound, because clients want a number.
    pub total_cpu_quota: u32,
    /// The most memory, in GiB; bounded or not as above.
    pub total_memory_quota: u32,
    /// The most disk, in GiB; bounded or not as above.
    pub total_disk_quota: u32,
    /// The most graphics processors.
    pub total_gpu_quota: u32,
    /// Which of them.
    pub allowed_gpu_types: Vec<String>,
    /// The most processors of one sandbox; null is without bound.
    pub max_cpu_per_sandbox: Option<u32>,
    /// The most memory of one sandbox, in GiB; null is without bound.
    pub max_memory_per_sandbox: Option<u32>,
    /// The most disk of one sandbox, in GiB; null is without bound.
    pub max_disk_per_sandbox: Option<u32>,
    /// The most disk of one sandbox that is kept when it stops; null is the same as of any.
    pub max_disk_per_non_ephemeral_sandbox: Option<u32>,
    /// The most processors for each graphics processor; null is without bound.
    pub max_cpu_per_gpu: Option<u32>,
    /// The most memory for each graphics processor; null is without bound.
    pub max_memory_per_gpu: Option<u32>,
    /// The most disk for each graphics processor; null is without bound.
    pub max_disk_per_gpu: Option<u32>,
    /// After how many minutes a sandbox is deleted at the latest; null is never.
    pub max_sandbox_lifespan: Option<u32>,
}
