//! Organisations to what their members see of them.

use std::collections::BTreeMap;

use daytona_wire::api::organization as wire;
use types::id::OrganizationId;
use types::organization::Organization;

use crate::moment;
use crate::settings::Settings;

/// The contract's usual values, where nothing here depends on them yet.
const GRACE_HOURS: u32 = 24;
const DEACTIVATION_MINUTES: u32 = 20_160;
/// A moment that is long over, where clients want one and there is none.
const NEVER: &str = "1970-01-01T00:00:00.000Z";
/// A number that nothing reaches, where clients want one and there is none.
const WITHOUT_BOUND: u32 = u32::MAX;

/// Shows an organisation. What is not built is not there: no secrets, no bounds on requests, nothing suspended.
pub(crate) fn organization(organization: Organization, settings: &Settings) -> wire::Organization {
    let made = moment::write(organization.created_at);
    wire::Organization {
        id: organization.id.to_string(),
        name: organization.name,
        created_by: organization.created_by.0,
        personal: organization.personal,
        updated_at: made.clone(),
        created_at: made,
        suspended: false,
        suspended_at: NEVER.to_owned(),
        suspension_reason: String::new(),
        suspended_until: NEVER.to_owned(),
        suspension_cleanup_grace_period_hours: GRACE_HOURS,
        max_cpu_per_sandbox: settings.most_per_sandbox.cpu,
        max_memory_per_sandbox: settings.most_per_sandbox.memory_gib,
        max_disk_per_sandbox: settings.most_per_sandbox.disk_gib,
        secret_quota: 0,
        max_secrets_per_sandbox: 0,
        snapshot_deactivation_timeout_minutes: DEACTIVATION_MINUTES,
        default_queue_timeout: None,
        sandbox_limited_network_egress: false,
        preview_warning_enabled: false,
        sso_enabled: false,
        scim_enabled: false,
        default_region_id: settings.region.id.clone(),
        authenticated_rate_limit: None,
        sandbox_create_rate_limit: None,
        sandbox_lifecycle_rate_limit: None,
        authenticated_rate_limit_ttl_seconds: None,
        sandbox_create_rate_limit_ttl_seconds: None,
        sandbox_lifecycle_rate_limit_ttl_seconds: None,
        experimental_config: BTreeMap::new(),
        otel_config: None,
    }
}

/// Shows what an organisation's sandboxes may use together. There is one region, and one kind of sandboxes.
pub(crate) fn region_quota(id: OrganizationId, settings: &Settings) -> wire::RegionQuota {
    let (quota, most) = (settings.quota, settings.most_per_sandbox);
    wire::RegionQuota {
        organization_id: id.to_string(),
        region_id: settings.region.id.clone(),
        sandbox_class: "container".to_owned(),
        total_cpu_quota: quota.cpu.unwrap_or(WITHOUT_BOUND),
        total_memory_quota: quota.memory_gib.unwrap_or(WITHOUT_BOUND),
        total_disk_quota: quota.disk_gib.unwrap_or(WITHOUT_BOUND),
        total_gpu_quota: 0,
        allowed_gpu_types: Vec::new(),
        max_cpu_per_sandbox: Some(most.cpu),
        max_memory_per_sandbox: Some(most.memory_gib),
        max_disk_per_sandbox: Some(most.disk_gib),
        max_disk_per_non_ephemeral_sandbox: None,
        max_cpu_per_gpu: None,
        max_memory_per_gpu: None,
        max_disk_per_gpu: None,
        max_sandbox_lifespan: None,
    }
}
