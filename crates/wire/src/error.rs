//! The one error body: the union of what the old and the new SDKs and the CLI read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every answer that is not a success, from the API, the proxy and the daemon alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// The HTTP status, repeated.
    pub status_code: u16,
    /// The HTTP reason phrase; the CLI prints it in front of the message.
    pub error: String,
    /// What failed, why, and what to do about it: one sentence for a person.
    pub message: String,
    /// A stable word for programs, such as `NOT_FOUND` or `FILE_NOT_FOUND`.
    pub code: String,
    /// Which part answered: `DAYTONA_API`, `DAYTONA_PROXY` or `DAYTONA_DAEMON`.
    pub source: String,
    /// The request's path with its query.
    pub path: String,
    /// The request's method.
    pub method: String,
    /// When it failed, ISO 8601 with milliseconds, UTC.
    pub timestamp: String,
}

/// The part that answered with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The control plane.
    Api,
    /// The proxy in front of sandboxes.
    Proxy,
    /// The daemon inside a sandbox.
    Daemon,
}

impl Source {
    /// Returns the word on the wire; the SDKs choose their exception class by it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "DAYTONA_API",
            Self::Proxy => "DAYTONA_PROXY",
            Self::Daemon => "DAYTONA_DAEMON",
        }
    }
}
