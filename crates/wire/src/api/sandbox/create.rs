//! What a new sandbox may be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::build::CreateBuildInfo;
use crate::api::sandbox::full::SandboxVolume;

/// What to make. Every field may be missing or null; fields that are not known are ignored. Numbers are wide here, so that
/// a value out of bounds gets an answer that names its bounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateSandbox {
    /// Its name; the id when missing.
    pub name: Option<String>,
    /// The snapshot to start from, by name or id; the default one when missing.
    pub snapshot: Option<String>,
    /// The user inside that commands run as; the image's own when missing.
    pub user: Option<String>,
    /// Variables every command gets.
    pub env: Option<BTreeMap<String, String>>,
    /// The caller's own marks.
    pub labels: Option<BTreeMap<String, String>>,
    /// Whether previews need no key.
    pub public: Option<bool>,
    /// Whether its network is shut.
    pub network_block_all: Option<bool>,
    /// The networks it may reach, at most 10 as `a.b.c.d/n`, separated by commas.
    pub network_allow_list: Option<String>,
    /// The names it may reach, at most 10, each perhaps with `*.` before it, separated by commas.
    pub domain_allow_list: Option<String>,
    /// A proxy for what it sends. Not built yet.
    pub outbound_proxy_url: Option<String>,
    /// Where its telemetry goes. Not built yet.
    pub otel_endpoint_override: Option<String>,
    /// The region, by id or name; the default one when missing.
    pub target: Option<String>,
    /// Virtual processors; the snapshot's when missing.
    pub cpu: Option<i64>,
    /// Graphics processors. Not built yet.
    pub gpu: Option<i64>,
    /// Kinds of graphics processors. Not built yet.
    pub gpu_type: Option<Vec<String>>,
    /// Memory in GiB; the snapshot's when missing.
    pub memory: Option<i64>,
    /// Disk in GiB; the snapshot's when missing.
    pub disk: Option<i64>,
    /// Whether it can run virtual machines. Not built yet.
    pub kvm: Option<bool>,
    /// Whether it may be taken away for a dearer one. Not built yet.
    pub spot: Option<bool>,
    /// Stops after so many idle minutes; 0 never.
    pub auto_stop_interval: Option<i64>,
    /// Pauses after so many idle minutes; 0 never. At most one of this and `autoStopInterval` may be above 0.
    pub auto_pause_interval: Option<i64>,
    /// Is archived after so many stopped minutes; 0 the longest allowed.
    pub auto_archive_interval: Option<i64>,
    /// Is deleted after so many stopped minutes; negative never, 0 as soon as it stops.
    pub auto_delete_interval: Option<i64>,
    /// Is deleted so many minutes from now, whatever it does then; 0 never.
    pub ttl_minutes: Option<i64>,
    /// How many minutes it may wait for room on the host; at least 1.
    pub queue_timeout: Option<i64>,
    /// Volumes to mount.
    pub volumes: Option<Vec<SandboxVolume>>,
    /// A Dockerfile to build, in place of a snapshot.
    pub build_info: Option<CreateBuildInfo>,
    /// Secrets to hand in. Not built yet.
    #[schema(value_type = Option<Vec<Object>>)]
    pub secrets: Option<Vec<Value>>,
    /// The sandbox whose network it shares, by id or name; it goes with that one.
    pub linked_sandbox: Option<String>,
}
