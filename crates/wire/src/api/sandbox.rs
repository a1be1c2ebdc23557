//! Sandboxes as clients see and ask for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A sandbox in full. The SDKs refuse it when a field that is not optional here is missing, and when a whole number is
/// written with a fraction.
#[expect(clippy::struct_excessive_bools, reason = "the contract has them")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sandbox {
    /// Its id.
    pub id: String,
    /// The organisation it belongs to.
    pub organization_id: String,
    /// Its name; the id when none was given.
    pub name: String,
    /// Name of the snapshot it was made from.
    pub snapshot: String,
    /// The user inside that commands run as.
    pub user: String,
    /// Variables every command gets.
    pub env: BTreeMap<String, String>,
    /// The caller's own marks.
    pub labels: BTreeMap<String, String>,
    /// Whether previews need no key.
    pub public: bool,
    /// Whether its network is shut.
    pub network_block_all: bool,
    /// The networks it may reach, separated by commas; missing when no list limits them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_allow_list: Option<String>,
    /// The names it may reach, separated by commas; missing when no list limits them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_allow_list: Option<String>,
    /// The region it runs in.
    pub target: String,
    /// Virtual processors.
    pub cpu: u32,
    /// Graphics processors.
    pub gpu: u32,
    /// Memory in GiB.
    pub memory: u32,
    /// Disk in GiB.
    pub disk: u32,
    /// Whether it can run virtual machines.
    pub kvm: bool,
    /// Whether it may be taken away for a dearer one.
    pub spot: bool,
    /// What it is, a change under way included.
    pub state: String,
    /// What was asked for.
    pub desired_state: String,
    /// Why it is in error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// Whether `recover` can help.
    pub recoverable: bool,
    /// State of its backup.
    pub backup_state: String,
    /// Stops after so many idle minutes; 0 never.
    pub auto_stop_interval: u32,
    /// Is archived after so many stopped minutes.
    pub auto_archive_interval: u32,
    /// Is deleted after so many stopped minutes; negative never, 0 as soon as it stops.
    pub auto_delete_interval: i32,
    /// Volumes mounted into it.
    pub volumes: Vec<SandboxVolume>,
    /// How it is isolated.
    pub sandbox_class: String,
    /// When it was made.
    pub created_at: String,
    /// When anything of it last changed.
    pub updated_at: String,
    /// When it was last used.
    pub last_activity_at: String,
    /// Version of the daemon inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemon_version: Option<String>,
    /// Where its toolbox is reached, without a final slash and without its id.
    pub toolbox_proxy_url: String,
    /// The isolation that was found in force; only where one sandbox is asked for, and only while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// What it has run into since it started; only where one sandbox is asked for, and missing when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

/// How a sandbox is isolated: probed on its host, not configured. Not part of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Isolation {
    /// The class, such as `container`.
    pub class: String,
    /// Whose kernel it runs on: `shared` or `own`.
    pub kernel: String,
    /// Every layer that the class has, whether or not it holds.
    pub layers: Vec<IsolationLayer>,
}

/// One layer of an isolation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IsolationLayer {
    /// Its name.
    pub name: String,
    /// Whether it was found to hold.
    pub in_force: bool,
    /// What was found.
    pub detail: String,
}

/// Something a sandbox has run into. Not part of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// `out-of-memory`, `disk-full`, `inodes-full` or `process-limit`.
    pub cause: String,
    /// What was found, with numbers.
    pub evidence: String,
    /// What helps.
    pub remedy: String,
    /// How often it happened, or 1 for what lasts.
    pub count: u64,
}

/// What became of the packets and names that a sandbox asked for. Not part of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxEgress {
    /// How many packets and lookups were let through since it started.
    pub allowed: u64,
    /// How many were refused.
    pub refused: u64,
    /// The last decisions, oldest first.
    pub decisions: Vec<EgressDecision>,
}

/// What became of one packet or lookup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EgressDecision {
    /// When it was decided.
    pub at: String,
    /// The address, or the name that was looked up.
    pub destination: String,
    /// The port, where the protocol has ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `tcp`, `udp`, `icmp`, `dns` or the protocol's number.
    pub protocol: String,
    /// The name that the address was looked up by, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which rule decided.
    pub rule: String,
    /// Whether it was let through.
    pub allowed: bool,
}

/// New limits; what is missing stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResizeSandbox {
    /// Virtual processors.
    pub cpu: Option<i64>,
    /// Memory in GiB.
    pub memory: Option<i64>,
    /// Disk in GiB; never less than it has.
    pub disk: Option<i64>,
}

/// A sandbox in a list.
#[expect(clippy::struct_excessive_bools, reason = "the contract has them")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxListItem {
    /// Its id.
    pub id: String,
    /// The organisation it belongs to.
    pub organization_id: String,
    /// Its name; the id when none was given.
    pub name: String,
    /// The region it runs in.
    pub target: String,
    /// How it is isolated.
    pub sandbox_class: String,
    /// What it is, a change under way included.
    pub state: String,
    /// What was asked for.
    pub desired_state: String,
    /// Name of the snapshot it was made from.
    pub snapshot: String,
    /// The user inside that commands run as.
    pub user: String,
    /// Why it is in error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// Whether `recover` can help.
    pub recoverable: bool,
    /// Whether previews need no key.
    pub public: bool,
    /// Whether its network is shut.
    pub network_block_all: bool,
    /// The networks it may reach, separated by commas; missing when no list limits them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_allow_list: Option<String>,
    /// The names it may reach, separated by commas; missing when no list limits them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_allow_list: Option<String>,
    /// Virtual processors.
    pub cpu: u32,
    /// Graphics processors.
    pub gpu: u32,
    /// Memory in GiB.
    pub memory: u32,
    /// Disk in GiB.
    pub disk: u32,
    /// Whether it may be taken away for a dearer one.
    pub spot: bool,
    /// The caller's own marks.
    pub labels: BTreeMap<String, String>,
    /// State of its backup.
    pub backup_state: String,
    /// Stops after so many idle minutes; 0 never.
    pub auto_stop_interval: u32,
    /// Is archived after so many stopped minutes.
    pub auto_archive_interval: u32,
    /// Is deleted after so many stopped minutes; negative never, 0 as soon as it stops.
    pub auto_delete_interval: i32,
    /// When it was made.
    pub created_at: String,
    /// When anything of it last changed.
    pub updated_at: String,
    /// When it was last used.
    pub last_activity_at: String,
    /// Version of the daemon inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemon_version: Option<String>,
    /// Where its toolbox is reached, without a final slash and without its id.
    pub toolbox_proxy_url: String,
}

/// A volume mounted into a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxVolume {
    /// The volume's id or name.
    pub volume_id: String,
    /// Where it is mounted.
    pub mount_path: String,
    /// The part of it that is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
}

/// What to make. Every field may be missing or null; fields that are not known are ignored. Numbers are wide here, so that
/// a value out of bounds gets an answer that names its bounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateSandbox {
    /// Its name; the id when missing.
    pub name: Option<String>,
    /// The snapshot to start from; the default one when missing.
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
    /// Pauses after so many idle minutes. Not built yet.
    pub auto_pause_interval: Option<i64>,
    /// Is archived after so many stopped minutes; 0 the longest allowed.
    pub auto_archive_interval: Option<i64>,
    /// Is deleted after so many stopped minutes; negative never, 0 as soon as it stops.
    pub auto_delete_interval: Option<i64>,
    /// Is deleted so many minutes from now. Not built yet.
    pub ttl_minutes: Option<i64>,
    /// How long it may wait for room; there is no queue, so that it never waits.
    pub queue_timeout: Option<i64>,
    /// Volumes to mount. Not built yet.
    #[schema(value_type = Option<Vec<SandboxVolume>>)]
    pub volumes: Option<Vec<Value>>,
    /// A Dockerfile to build. Not built yet.
    #[schema(value_type = Option<Object>)]
    pub build_info: Option<Value>,
    /// Secrets to hand in. Not built yet.
    #[schema(value_type = Option<Vec<Object>>)]
    pub secrets: Option<Vec<Value>>,
    /// The sandbox to be joined with. Not built yet.
    pub linked_sandbox: Option<String>,
}

/// A page of a list, and where the next begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListSandboxesResponse {
    /// The page.
    pub items: Vec<SandboxListItem>,
    /// What to send as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// A numbered page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaginatedSandboxes {
    /// The page.
    pub items: Vec<Sandbox>,
    /// How many there are on all pages.
    pub total: u64,
    /// Which page this is, from 1.
    pub page: u32,
    /// How many pages there are.
    pub total_pages: u64,
}

/// Labels, sent and answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxLabels {
    /// All labels; others are gone.
    pub labels: BTreeMap<String, String>,
}

/// What a sandbox may reach from now on; at least one field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateSandboxNetworkSettings {
    /// Whether its network is shut.
    pub network_block_all: Option<bool>,
    /// The networks it may reach, as at its creation; empty for no such list.
    pub network_allow_list: Option<String>,
    /// The names it may reach, as at its creation; empty for no such list.
    pub domain_allow_list: Option<String>,
}

/// Where a sandbox's toolbox is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolboxProxyUrl {
    /// The URL, without a final slash and without the sandbox's id.
    pub url: String,
}
