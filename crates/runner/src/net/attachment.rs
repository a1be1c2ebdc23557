//! A sandbox's end of its link: what its first process is told, and does with it.

use std::net::Ipv4Addr;

use linux::errno::CallError;
use linux::link::{self, Inside};
use linux::netlink::{Family, Socket};
use serde::{Deserialize, Serialize};

/// What every link inside is called.
pub(super) const NAME_INSIDE: &str = "eth0";

/// A sandbox's end of its link, as its first process needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The host's end.
    pub link_name: String,
    /// The address inside.
    pub address: Ipv4Addr,
    /// Length of its network's prefix.
    pub prefix: u8,
    /// The host's end, through which everything is reached.
    pub gateway: Ipv4Addr,
    /// Largest packet.
    pub mtu_bytes: u32,
}

impl Attachment {
    /// Brings up loopback and the link, called inside by the sandbox's first process while it still may.
    pub fn configure_inside(&self) -> Result<(), CallError> {
        let Self { address, prefix, gateway, .. } = *self;
        let mut socket = Socket::open(Family::Route)?;
        link::configure_inside(&mut socket, &Inside { name: NAME_INSIDE, address, prefix, gateway })
    }
}
