//! How patient and how generous the server is with sockets.

use std::time::Duration;

/// The bounds of every socket, and of all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How often a client is asked whether it is there.
    pub ping_interval: Duration,
    /// How long it may take to answer.
    pub ping_timeout: Duration,
    /// How long a client may take to say who it is.
    pub connect_patience: Duration,
    /// How long one message may take to leave: a client that takes nothing for so long is gone.
    pub write_patience: Duration,
    /// How often the key of a socket is checked again.
    pub check_period: Duration,
    /// The longest packet that a client may send.
    pub packet_bytes: usize,
    /// The most packets that a client may send between two pings.
    pub packets_per_interval: u32,
    /// The most messages that wait for one client.
    pub queue_messages: usize,
    /// The most bytes that wait for one client.
    pub queue_bytes: usize,
    /// The most sockets.
    pub sockets: usize,
    /// The most sockets that have not yet said whose they are.
    pub strangers: usize,
    /// The most sockets of one organisation.
    pub sockets_per_organization: usize,
}

impl Default for Settings {
    /// The times are those of the contract. A packet holds a token and little else.
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_patience: Duration::from_secs(10),
            write_patience: Duration::from_secs(10),
            check_period: Duration::from_secs(10),
            packet_bytes: 64 << 10,
            packets_per_interval: 200,
            queue_messages: 1_024,
            queue_bytes: 8 << 20,
            sockets: 10_000,
            strangers: 1_000,
            sockets_per_organization: 1_000,
        }
    }
}
