//! What a look at a sandbox on its host tells. Not part of the contract.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
