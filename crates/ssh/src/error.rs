//! What ends a connection.

use std::io;

use linux::child::SpawnError;
use linux::errno::CallError;

/// A connection that could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// The descriptor or the settings that the process was started with are not what it expects.
    #[error("start an SSH server: {step}")]
    Start {
        /// What was attempted.
        step: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A system call on the way to the start failed.
    #[error("start an SSH server")]
    Call(#[from] CallError),
    /// The connection could not be read or written.
    #[error("{action} the connection")]
    Stream {
        /// What was attempted.
        action: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The client does not speak SSH 2.
    #[error("the client sent no SSH version line: send `SSH-2.0-…` first")]
    Version,
    /// A message does not have the form that the protocol gives it.
    #[error("the client sent a malformed message: {what}")]
    Malformed {
        /// Which part.
        what: &'static str,
    },
    /// A message came when it may not come.
    #[error("the client broke the protocol: {what}")]
    Protocol {
        /// What it did.
        what: &'static str,
    },
    /// Both sides have nothing in common.
    #[error("no common {what}; the client offers {offered}")]
    Negotiation {
        /// Which kind of algorithm.
        what: &'static str,
        /// The client's offer.
        offered: String,
    },
    /// A packet's authentication code is wrong.
    #[error("a packet was changed on its way")]
    Integrity,
    /// A cryptographic operation failed.
    #[error("agree on keys: {step}")]
    Exchange {
        /// Which one.
        step: &'static str,
    },
    /// The client did not authenticate in time.
    #[error("the client did not authenticate within {seconds} seconds")]
    TooSlow {
        /// How long it had.
        seconds: u64,
    },
    /// A program could not be started.
    #[error("start a program")]
    Spawn(#[from] SpawnError),
    /// A step of starting or driving a program failed.
    #[error("run a program: {step}")]
    Program {
        /// What was attempted.
        step: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

impl SshError {
    /// The number by which a client is told why it is disconnected (RFC 4253 §11.1).
    pub(crate) const fn disconnect_reason(&self) -> u32 {
        match self {
            Self::Version => 8,
            Self::Negotiation { .. } | Self::Exchange { .. } => 3,
            Self::Integrity => 5,
            Self::Malformed { .. } | Self::Protocol { .. } => 2,
            _ => 11,
        }
    }
}
