//! What can be asked of a sandbox that is there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

/// A copy of a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ForkSandbox {
    /// The copy's name; its id when missing.
    pub name: Option<String>,
}

/// A snapshot of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateSandboxSnapshot {
    /// The snapshot's name, unique in the organisation.
    pub name: String,
    /// Whether its memory is part of it, which no class of ours can do.
    #[serde(default)]
    pub include_memory: Option<bool>,
}

/// The secrets of a sandbox from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateSandboxSecrets {
    /// Each entry maps the name of a variable to the name of a secret. Only the empty list is built.
    pub secrets: Vec<BTreeMap<String, String>>,
}
