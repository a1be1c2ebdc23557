//! Forgets tracked connections, so that an address given to someone new carries none of its last owner's
//! (conntrack(8)).

use std::net::Ipv4Addr;

use super::rule::Transport;
use super::wire::{self, Family};
use crate::errno::CallError;
use crate::netlink::attribute::Attributes;
use crate::netlink::{Message, Socket};

const CONNECTION_TRACKING: i32 = 1;
const DELETE: i32 = 2;
/// Attributes of a connection: the direction that opened it, its addresses, and which of them must match.
const ORIGINAL: u16 = 1;
const ORIGINAL_ADDRESSES: u16 = 1;
const SOURCE_ADDRESS: u16 = 1;
const ORIGINAL_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const DESTINATION_PORT: u16 = 3;
const FILTER: u16 = 25;
const FILTER_ORIGINAL_FLAGS: u16 = 1;
const FILTER_REPLY_FLAGS: u16 = 2;
const MATCH_SOURCE_ADDRESS: u32 = 1;
const MATCH_PROTOCOL: u32 = 1 << 3;
const MATCH_DESTINATION_PORT: u32 = 1 << 5;

/// Forgets the connections that `source` opened; false when this kernel (before 6.10) cannot choose by address.
pub fn forget_flows(socket: &mut Socket, source: Ipv4Addr) -> Result<bool, CallError> {
    forget(socket, source, &Attributes::new(), 0)
}

/// The same for the connections of one protocol to one port.
pub fn forget_flows_to(
    socket: &mut Socket,
    source: Ipv4Addr,
    transport: Transport,
    port: u16,
) -> Result<bool, CallError> {
    let protocol = Attributes::new()
        .bytes(PROTOCOL_NUMBER, &[transport as u8])
        .bytes(DESTINATION_PORT, &port.to_be_bytes());
    let protocol = Attributes::new().nested(ORIGINAL_PROTOCOL, &protocol);
    forget(socket, source, &protocol, MATCH_PROTOCOL | MATCH_DESTINATION_PORT)
}

fn forget(
    socket: &mut Socket,
    source: Ipv4Addr,
    protocol: &Attributes,
    flags: u32,
) -> Result<bool, CallError> {
    let addresses = Attributes::new().bytes(SOURCE_ADDRESS, &source.octets());
    let filter = Attributes::new()
        .number(FILTER_ORIGINAL_FLAGS, MATCH_SOURCE_ADDRESS | flags)
        .number(FILTER_REPLY_FLAGS, 0);
    let original = Attributes::new().nested(ORIGINAL_ADDRESSES, &addresses).followed_by(protocol);
    let body = wire::body(Family::Ipv4 as u8, 0).nested(ORIGINAL, &original).nested(FILTER, &filter);
    let kind = wire::kind_of(CONNECTION_TRACKING, DELETE);
    let operand = format!("from {source}");
    match socket.send(&[Message::new(kind, libc::NLM_F_ACK, body, "forget connections", operand)]) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.errno(), libc::ENOENT) => Ok(true),
        Err(error) if matches!(error.errno(), libc::EINVAL | libc::EOPNOTSUPP) => Ok(false),
        Err(error) => Err(error),
    }
}
