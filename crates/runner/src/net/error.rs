//! What can go wrong with the network, by what was attempted.

use std::net::{Ipv4Addr, SocketAddrV4};

use linux::errno::CallError;
use types::network::Ipv4Network;

use crate::net::denied::PolicyError;

/// A failure of the network, by what was attempted.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The data file that came with the program is broken.
    #[error("read the rules for destinations")]
    Policy { source: PolicyError },
    /// The kernel's interfaces could not be opened.
    #[error("open netlink")]
    Open { source: CallError },
    /// The host already uses addresses of the pool.
    #[error("use the address pool {pool}: {address} belongs to the link {link} of this host")]
    PoolTaken { pool: Ipv4Network, address: Ipv4Addr, link: String },
    /// Routing could not be switched on.
    #[error("switch on routing between links")]
    Forwarding { source: std::io::Error },
    /// The rules could not be installed, so no sandbox can have a link.
    #[error("install the rules of table {table}")]
    Rules { table: String, source: CallError },
    /// The links of this host could not be looked at.
    #[error("list the links {prefix}*")]
    List { prefix: String, source: CallError },
    /// The pool has no such place.
    #[error("find addresses for place {index} of the pool {pool}")]
    NoPlace { index: u32, pool: Ipv4Network },
    /// The place is in use by a sandbox that was not detached.
    #[error("prepare place {index}: it belongs to sandbox {owner}")]
    PlaceTaken { index: u32, owner: String },
    /// The rules were taken off the host, and a link would be open without.
    #[error("create link {link}: the rules were removed from this host")]
    Removed { link: String },
    /// A thread of the network's own could not be started.
    #[error("start the thread {name}")]
    Thread { name: &'static str, source: std::io::Error },
    /// Other programs have all ports that the resolver may listen on.
    #[error("find a port for the resolver: {first} to {last} are all taken")]
    NoPort { first: u16, last: u16 },
    /// The resolver cannot listen on a link.
    #[error("listen for lookups at {address}")]
    Listen { address: SocketAddrV4, source: std::io::Error },
    /// A link, or its rules, could not be made, changed or removed.
    #[error("{action} link {link}")]
    Link { action: &'static str, link: String, source: CallError },
}
