//! Somebody in the sandbox who wants to get to the client.

use std::net::SocketAddr;

use crate::target::Stream;

/// Where a client wants to be reached, in its own words: by them it recognises what arrives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// A port.
    Port {
        /// The address, or a word for several.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket in the file system.
    Path(String),
}

/// A connection that somebody made to such a place.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The connection.
    pub(crate) stream: Stream,
    /// The place.
    pub(crate) place: Place,
    /// Who it was, if that has an address.
    pub(crate) from: Option<SocketAddr>,
}
