//! Destinations that no sandbox may reach: `policy/egress.json` says which, and why.

use serde::Deserialize;

use types::network::{InvalidNetwork, Ipv4Network};

/// The data file is not what this version expects.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is no such JSON.
    #[error("parse policy/egress.json")]
    Syntax {
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// One of its networks is none.
    #[error("read a network of policy/egress.json")]
    Network {
        /// Which one.
        source: InvalidNetwork,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    denied: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    network: String,
    reason: String,
}

/// A destination that no sandbox may reach.
#[derive(Debug, Clone)]
pub(super) struct Denied {
    pub(super) network: Ipv4Network,
    pub(super) reason: String,
}

/// Returns the destinations that are denied unless the operator allows them.
pub(super) fn denied_by_default() -> Result<Vec<Denied>, PolicyError> {
    let file: File = serde_json::from_str(include_str!("../../policy/egress.json"))
        .map_err(|source| PolicyError::Syntax { source })?;
    let entries = file.denied.into_iter();
    let parsed: Result<Vec<Denied>, InvalidNetwork> =
        entries.map(|entry| Ok(Denied { network: entry.network.parse()?, reason: entry.reason })).collect();
    parsed.map_err(|source| PolicyError::Network { source })
}
