//! Lists of sandboxes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::sandbox::full::Sandbox;

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
