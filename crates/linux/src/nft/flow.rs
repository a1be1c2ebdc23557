//! Forgets tracked connections, so that an address given to someone new carries none of its last owner's
//! (conntrack(8)).

use std::net::Ipv4Addr;

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
const FILTER: u16 = 25;
const FILTER_ORIGINAL_FLAGS: u16 = 1;
const FILTER_REPLY_FLAGS: u16 = 2;
const MATCH_SOURCE_ADDRESS: u32 = 1;

/// Forgets the connections that `source` opened; false when this kernel (before 6.10) cannot choose by address.
pub fn forget_flows(socket: &mut Socket, source: Ipv4Addr) -> Result<bool, CallError> {
    let addresses = Attributes::new().bytes(SOURCE_ADDRESS, &source.octets());
    let filter =
        Attributes::new().number(FILTER_ORIGINAL_FLAGS, MATCH_SOURCE_ADDRESS).number(FILTER_REPLY_FLAGS, 0);
    let body = wire::body(Family::Ipv4 as u8, 0)
        .nested(ORIGINAL, &Attributes::new().nested(ORIGINAL_ADDRESSES, &addresses))
        .nested(FILTER, &filter);
    let kind = wire::kind_of(CONNECTION_TRACKING, DELETE);
    let operand = format!("from {source}");
    match socket.send(&[Message::new(kind, libc::NLM_F_ACK, body, "forget connections", operand)]) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.errno(), libc::ENOENT) => Ok(true),
        Err(error) if matches!(error.errno(), libc::EINVAL | libc::EOPNOTSUPP) => Ok(false),
        Err(error) => Err(error),
    }
}
