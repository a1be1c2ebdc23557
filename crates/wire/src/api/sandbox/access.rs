//! How a sandbox is reached.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a sandbox's toolbox is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolboxProxyUrl {
    /// The URL, without a final slash and without the sandbox's id.
    pub url: String,
}

/// Where a port of a sandbox is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortPreviewUrl {
    /// The sandbox's id.
    pub sandbox_id: String,
    /// The URL.
    pub url: String,
    /// What opens it while the sandbox is not public; valid until the sandbox is started again.
    pub token: String,
}

/// Where a port of a sandbox is reached for a while, without a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedPortPreviewUrl {
    /// The sandbox's id.
    pub sandbox_id: String,
    /// The only port that the URL opens.
    pub port: u16,
    /// The part of the URL that opens it.
    pub token: String,
    /// The URL.
    pub url: String,
}
