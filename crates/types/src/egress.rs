//! What became of the packets and names that a sandbox asked for.

use crate::clock::Timestamp;

/// The counts since the sandbox started, and the last decisions, newest last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Egress {
    /// How many packets and lookups were let through.
    pub allowed: u64,
    /// How many were refused.
    pub refused: u64,
    /// The last ones worth telling, oldest first; bounded.
    pub decisions: Vec<Decision>,
}

/// One packet or one lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// When it was decided.
    pub at: Timestamp,
    /// The address, or the name that was looked up.
    pub destination: String,
    /// The port; `None` for protocols without.
    pub port: Option<u16>,
    /// `tcp`, `udp`, `icmp`, `dns` or the protocol's number.
    pub protocol: String,
    /// The name that the address was pinned for, where known.
    pub name: Option<String>,
    /// Which rule decided, for a person.
    pub rule: String,
    /// Whether it was let through.
    pub allowed: bool,
}
