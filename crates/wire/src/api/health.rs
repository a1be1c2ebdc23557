//! Whether the server answers, and whether what it needs does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer of `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
}

/// The answer of `GET /health/ready`, with 200 and with 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// `ok`, or `error` when any part is down.
    pub status: String,
    /// The parts that are up.
    pub info: BTreeMap<String, PartStatus>,
    /// The parts that are down.
    pub error: BTreeMap<String, PartStatus>,
    /// All parts.
    pub details: BTreeMap<String, PartStatus>,
}

/// How one part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartStatus {
    /// `up` or `down`.
    pub status: String,
}
