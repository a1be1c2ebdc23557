//! Ports.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The TCP ports that something in the sandbox listens on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortList {
    /// The ports, lowest first, each once.
    pub ports: Vec<u16>,
}

/// Whether something listens on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IsPortInUseResponse {
    /// Whether it does.
    pub is_in_use: bool,
}
