//! A sandbox in full.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::build::BuildInfo;
use crate::api::sandbox::inspection::{Condition, Isolation};

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
    /// The same for programs: what it came from, what shows it, what helps. Not part of the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<SandboxFailure>,
    /// Whether `recover` can help.
    pub recoverable: bool,
    /// State of its backup.
    pub backup_state: String,
    /// When its backup was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_created_at: Option<String>,
    /// Stops after so many idle minutes; 0 never.
    pub auto_stop_interval: u32,
    /// Pauses after so many idle minutes; 0 never.
    pub auto_pause_interval: u32,
    /// Is archived after so many stopped minutes.
    pub auto_archive_interval: u32,
    /// Is deleted after so many stopped minutes; negative never, 0 as soon as it stops.
    pub auto_delete_interval: i32,
    /// When it is deleted, whatever it does then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_destroy_at: Option<String>,
    /// How many minutes its creation may wait for room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_timeout: Option<u32>,
    /// When it had waited too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_timed_out_at: Option<String>,
    /// The warm pool that it waits in; missing once somebody has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_pool_id: Option<String>,
    /// What its image was built from; in answers to a create and a get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_info: Option<BuildInfo>,
    /// The sandbox whose network it shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linked_sandbox_id: Option<String>,
    /// The sandbox that it was forked from. Not part of the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
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
    /// Why it runs on, and what it becomes by itself; only where one sandbox is asked for, and only while it runs. Not part
    /// of the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awake: Option<Vec<AwakeReason>>,
}

/// One thing that keeps a sandbox awake. Not part of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AwakeReason {
    /// A stable word: `used`, `work`, `connections`, `copying` or `auto-stop-off`.
    pub reason: String,
    /// What was seen, for a person.
    pub detail: String,
}

/// Why something of a sandbox failed, in words for programs that act on them. Not part of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxFailure {
    /// A stable identifier, such as `out-of-memory`, `disk-full` or `host-full`.
    pub cause: String,
    /// What was found, with numbers.
    pub evidence: String,
    /// What helps.
    pub remedy: String,
}

/// A volume mounted into a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxVolume {
    /// The volume's id; its name will do where one is asked for.
    pub volume_id: String,
    /// Where it is mounted.
    pub mount_path: String,
    /// The part of it that is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subpath: Option<String>,
    /// Whether it may only be read there. Not part of the contract.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}
