//! Where the daemon works and which version it is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The directory that commands and relative paths start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkDirResponse {
    /// An absolute path.
    pub dir: String,
}

/// The home directory of the sandbox's user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserHomeDirResponse {
    /// An absolute path.
    pub dir: String,
}

/// Which daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionResponse {
    /// The daemon's version.
    pub version: String,
}

/// Hands the daemon the sandbox's token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InitializeRequest {
    /// The token; absent when the sandbox sends no telemetry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// A sentence that says that it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageResponse {
    /// The sentence.
    pub message: String,
}
