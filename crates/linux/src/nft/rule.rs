//! Rules: statements that are encoded as the kernel's expressions and print as `nft` would print them (nft(8)).

use std::fmt;
use std::net::Ipv4Addr;

use super::wire::expression as number;
use crate::netlink::attribute::Attributes;

const NETWORK_LAYER: u32 = 1;
const TRANSPORT_LAYER: u32 = 2;
const SOURCE_ADDRESS_OFFSET: u32 = 12;
const DESTINATION_ADDRESS_OFFSET: u32 = 16;
const DESTINATION_PORT_OFFSET: u32 = 2;
/// Bits of a connection's state as the filter sees them.
const STATE_INVALID: u32 = 1;
const STATE_ESTABLISHED_OR_RELATED: u32 = 2 | 4;
const STATE_NEW: u32 = 8;
/// Bit of a connection's status: its destination was rewritten (`IPS_DST_NAT`).
const STATUS_DESTINATION_REWRITTEN: u32 = 1 << 5;
/// `NFT_CT_DST_IP`: an IPv4 destination of a connection, and the direction that opened it.
const CONNECTION_DESTINATION: u32 = 20;
const DIRECTION_ORIGINAL: u8 = 0;
/// `NF_NAT_RANGE_PROTO_SPECIFIED`: the port is rewritten too.
const REWRITE_PORT: u32 = 2;
/// `NFPROTO_IPV4`.
const IPV4: u8 = 2;
/// A register of 16 bytes, wide enough for a link's name, and the one behind it.
const FIRST_REGISTER: u32 = 1;
const SECOND_REGISTER: u32 = 2;
const VERDICT_REGISTER: u32 = 0;

/// The way a packet takes through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It came in through the link.
    In,
    /// It goes out through the link.
    Out,
}

/// One end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Where it comes from.
    Source,
    /// Where it goes to.
    Destination,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Transport {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
}

/// One part of a rule; a packet passes to the next part only when this one holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// The link's name starts with this text.
    LinkPrefix(Side, String),
    /// The link's name does not start with this text.
    LinkPrefixNot(Side, String),
    /// The link's name is an element of this set.
    LinkIn(Side, String),
    /// Do what this map says about the link's name; nothing, when it says nothing.
    LinkVerdict(Side, String),
    /// The pair of link and IPv4 address is an element of this set.
    LinkAndAddressIn(Side, End, String),
    /// The pair of link and the address that the connection was opened to is an element of this set.
    LinkAndOpenedToIn(Side, String),
    /// The address that the connection was opened to is in this network.
    OpenedToWithin(Ipv4Addr, u8),
    /// The pair of link and IPv4 address is no element of this set.
    LinkAndAddressNotIn(Side, End, String),
    /// It is anything but IPv4.
    NotIpv4,
    /// The IPv4 address is in this network.
    AddressWithin(End, Ipv4Addr, u8),
    /// The IPv4 address is an element of this set.
    AddressIn(End, String),
    /// The IPv4 address is no element of this set.
    AddressNotIn(End, String),
    /// It is of this protocol.
    Protocol(Transport),
    /// It goes to this port.
    Port(Transport, u16),
    /// It belongs to a connection that was accepted before.
    Established,
    /// It opens a connection.
    Opening,
    /// Its destination was rewritten on its way in.
    Redirected,
    /// It fits no connection.
    Invalid,
    /// Count it.
    Counter,
    /// Let it through this chain.
    Accept,
    /// Discard it.
    Drop,
    /// Go on in that chain, and come back at its end.
    Jump(String),
    /// Go on in that chain, and at its end where the last jump came from.
    Goto(String),
    /// Tell the listener of this group about it, under this heading.
    Log(String, u16),
    /// Rewrite its destination to the host's end of the link that it came in through, and this port.
    RedirectTo(u16),
    /// Rewrite its source to the address of the link it leaves through.
    Masquerade,
}

impl fmt::Display for Statement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkPrefix(side, prefix) => write!(formatter, "{side} \"{prefix}*\""),
            Self::LinkPrefixNot(side, prefix) => write!(formatter, "{side} != \"{prefix}*\""),
            Self::LinkIn(side, set) => write!(formatter, "{side} @{set}"),
            Self::LinkVerdict(side, map) => write!(formatter, "{side} vmap @{map}"),
            Self::LinkAndAddressIn(side, end, set) => write!(formatter, "{side} . ip {end} @{set}"),
            Self::LinkAndOpenedToIn(side, set) => write!(formatter, "{side} . ct original ip daddr @{set}"),
            Self::OpenedToWithin(address, 32) => write!(formatter, "ct original ip daddr {address}"),
            Self::OpenedToWithin(address, prefix) => {
                write!(formatter, "ct original ip daddr {address}/{prefix}")
            }
            Self::LinkAndAddressNotIn(side, end, set) => write!(formatter, "{side} . ip {end} != @{set}"),
            Self::NotIpv4 => write!(formatter, "meta nfproto != ipv4"),
            Self::AddressWithin(end, address, 32) => write!(formatter, "ip {end} {address}"),
            Self::AddressWithin(end, address, prefix) => write!(formatter, "ip {end} {address}/{prefix}"),
            Self::AddressIn(end, set) => write!(formatter, "ip {end} @{set}"),
            Self::AddressNotIn(end, set) => write!(formatter, "ip {end} != @{set}"),
            Self::Protocol(transport) => write!(formatter, "meta l4proto {transport}"),
            Self::Port(transport, port) => write!(formatter, "{transport} dport {port}"),
            Self::Established => write!(formatter, "ct state established,related"),
            Self::Opening => write!(formatter, "ct state new"),
            Self::Redirected => write!(formatter, "ct status dnat"),
            Self::Invalid => write!(formatter, "ct state invalid"),
            Self::Counter => write!(formatter, "counter"),
            Self::Accept => write!(formatter, "accept"),
            Self::Drop => write!(formatter, "drop"),
            Self::Jump(chain) => write!(formatter, "jump {chain}"),
            Self::Goto(chain) => write!(formatter, "goto {chain}"),
            Self::Log(prefix, group) => write!(formatter, "log prefix \"{prefix}\" group {group}"),
            Self::RedirectTo(port) => write!(formatter, "redirect to :{port}"),
            Self::Masquerade => write!(formatter, "masquerade"),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if *self == Self::In { "iifname" } else { "oifname" })
    }
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if *self == Self::Source { "saddr" } else { "daddr" })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if *self == Self::Tcp { "tcp" } else { "udp" })
    }
}

/// Encodes a rule's statements as the value of its list of expressions.
pub(super) fn encode(statements: &[Statement]) -> Attributes {
    statements.iter().fold(Attributes::new(), |list, statement| statement.encode(list))
}

impl Statement {
    fn encode(&self, list: Attributes) -> Attributes {
        match self {
            Self::LinkPrefix(side, prefix) => {
                compare(load_meta(list, side.meta_key(), FIRST_REGISTER), libc::NFT_CMP_EQ, prefix.as_bytes())
            }
            Self::LinkPrefixNot(side, prefix) => compare(
                load_meta(list, side.meta_key(), FIRST_REGISTER),
                libc::NFT_CMP_NEQ,
                prefix.as_bytes(),
            ),
            Self::LinkIn(side, set) => lookup(load_meta(list, side.meta_key(), FIRST_REGISTER), set, 0),
            Self::LinkVerdict(side, map) => {
                look_up_verdict(load_meta(list, side.meta_key(), FIRST_REGISTER), map)
            }
            Self::LinkAndAddressIn(side, end, set) => lookup(load_pair(list, *side, *end), set, 0),
            Self::LinkAndOpenedToIn(side, set) => {
                let list = load_meta(list, side.meta_key(), FIRST_REGISTER);
                lookup(load_opened_to(list, SECOND_REGISTER), set, 0)
            }
            Self::OpenedToWithin(network, prefix) => {
                compare_within(load_opened_to(list, FIRST_REGISTER), *network, *prefix)
            }
            Self::LinkAndAddressNotIn(side, end, set) => {
                lookup(load_pair(list, *side, *end), set, libc::NFT_LOOKUP_F_INV)
            }
            Self::NotIpv4 => {
                compare(load_meta(list, libc::NFT_META_NFPROTO, FIRST_REGISTER), libc::NFT_CMP_NEQ, &[IPV4])
            }
            Self::AddressWithin(end, network, prefix) => compare_within(end.load(list), *network, *prefix),
            Self::AddressIn(end, set) => lookup(end.load(list), set, 0),
            Self::AddressNotIn(end, set) => lookup(end.load(list), set, libc::NFT_LOOKUP_F_INV),
            Self::Protocol(transport) => require_protocol(list, *transport),
            Self::Port(transport, port) => {
                let list = require_protocol(list, *transport);
                let list = load(list, TRANSPORT_LAYER, DESTINATION_PORT_OFFSET, 2, FIRST_REGISTER);
                compare(list, libc::NFT_CMP_EQ, &port.to_be_bytes())
            }
            Self::Established => require_state(list, STATE_ESTABLISHED_OR_RELATED),
            Self::Opening => require_state(list, STATE_NEW),
            Self::Redirected => require_connection(list, libc::NFT_CT_STATUS, STATUS_DESTINATION_REWRITTEN),
            Self::Invalid => require_state(list, STATE_INVALID),
            Self::Counter => push(list, "counter", &Attributes::new()),
            Self::Accept => verdict(list, libc::NF_ACCEPT, None),
            Self::Drop => verdict(list, libc::NF_DROP, None),
            Self::Jump(chain) => verdict(list, libc::NFT_JUMP, Some(chain)),
            Self::Goto(chain) => verdict(list, libc::NFT_GOTO, Some(chain)),
            Self::Log(prefix, group) => {
                let data = Attributes::new()
                    .bytes(number::LOG_GROUP, &group.to_be_bytes())
                    .text(number::LOG_PREFIX, prefix);
                push(list, "log", &data)
            }
            Self::RedirectTo(port) => redirect(list, *port),
            Self::Masquerade => push(list, "masq", &Attributes::new()),
        }
    }
}

impl Side {
    const fn meta_key(self) -> i32 {
        match self {
            Self::In => libc::NFT_META_IIFNAME,
            Self::Out => libc::NFT_META_OIFNAME,
        }
    }
}

impl End {
    const fn offset(self) -> u32 {
        match self {
            Self::Source => SOURCE_ADDRESS_OFFSET,
            Self::Destination => DESTINATION_ADDRESS_OFFSET,
        }
    }

    fn load(self, list: Attributes) -> Attributes {
        load(require_ipv4(list), NETWORK_LAYER, self.offset(), 4, FIRST_REGISTER)
    }
}

/// Loads the link's name and, in the register behind it, an address of the packet.
fn load_pair(list: Attributes, side: Side, end: End) -> Attributes {
    let list = load_meta(require_ipv4(list), side.meta_key(), FIRST_REGISTER);
    load(list, NETWORK_LAYER, end.offset(), 4, SECOND_REGISTER)
}

/// Loads the address that the packet's connection was opened to, whichever way the packet goes.
fn load_opened_to(list: Attributes, register: u32) -> Attributes {
    let data = Attributes::new()
        .network_number(number::CONNECTION_KEY, CONNECTION_DESTINATION)
        .network_number(number::CONNECTION_TARGET, register)
        .bytes(number::CONNECTION_DIRECTION, &[DIRECTION_ORIGINAL]);
    push(list, "ct", &data)
}

fn compare_within(list: Attributes, network: Ipv4Addr, prefix: u8) -> Attributes {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    let masked = (network.to_bits() & mask).to_be_bytes();
    compare(mask_register(list, mask.to_be_bytes()), libc::NFT_CMP_EQ, &masked)
}

fn require_protocol(list: Attributes, transport: Transport) -> Attributes {
    let list = load_meta(list, libc::NFT_META_L4PROTO, FIRST_REGISTER);
    compare(list, libc::NFT_CMP_EQ, &[transport as u8])
}

fn look_up_verdict(list: Attributes, map: &str) -> Attributes {
    let data = Attributes::new()
        .text(number::LOOKUP_SET, map)
        .network_number(number::LOOKUP_SOURCE, FIRST_REGISTER)
        .network_number(number::LOOKUP_TARGET, VERDICT_REGISTER);
    push(list, "lookup", &data)
}

fn redirect(list: Attributes, port: u16) -> Attributes {
    let port = Attributes::new().bytes(number::VALUE, &port.to_be_bytes());
    let load = Attributes::new()
        .network_number(number::IMMEDIATE_TARGET, FIRST_REGISTER)
        .nested(number::IMMEDIATE_DATA, &port);
    let rewrite = Attributes::new()
        .network_number(number::REDIRECT_FIRST_PORT, FIRST_REGISTER)
        .network_number(number::REDIRECT_LAST_PORT, FIRST_REGISTER)
        .network_number(number::REDIRECT_FLAGS, REWRITE_PORT);
    push(push(list, "immediate", &load), "redir", &rewrite)
}

pub(super) fn push(list: Attributes, name: &str, data: &Attributes) -> Attributes {
    let expression = Attributes::new().text(number::NAME, name).nested(number::DATA, data);
    list.nested(number::LIST_ELEMENT, &expression)
}

fn load_meta(list: Attributes, key: i32, register: u32) -> Attributes {
    let data = Attributes::new()
        .network_number(number::META_KEY, key.cast_unsigned())
        .network_number(number::META_TARGET, register);
    push(list, "meta", &data)
}

fn load(list: Attributes, layer: u32, offset: u32, bytes: u32, register: u32) -> Attributes {
    let data = Attributes::new()
        .network_number(number::PAYLOAD_TARGET, register)
        .network_number(number::PAYLOAD_LAYER, layer)
        .network_number(number::PAYLOAD_OFFSET, offset)
        .network_number(number::PAYLOAD_BYTES, bytes);
    push(list, "payload", &data)
}

fn compare(list: Attributes, operation: i32, value: &[u8]) -> Attributes {
    let data = Attributes::new()
        .network_number(number::COMPARE_SOURCE, FIRST_REGISTER)
        .network_number(number::COMPARE_OPERATION, operation.cast_unsigned())
        .nested(number::COMPARE_DATA, &Attributes::new().bytes(number::VALUE, value));
    push(list, "cmp", &data)
}

fn lookup(list: Attributes, set: &str, flags: i32) -> Attributes {
    let data = Attributes::new()
        .text(number::LOOKUP_SET, set)
        .network_number(number::LOOKUP_SOURCE, FIRST_REGISTER)
        .network_number(number::LOOKUP_FLAGS, flags.cast_unsigned());
    push(list, "lookup", &data)
}

fn mask_register(list: Attributes, mask: [u8; 4]) -> Attributes {
    let data = Attributes::new()
        .network_number(number::MASK_SOURCE, FIRST_REGISTER)
        .network_number(number::MASK_TARGET, FIRST_REGISTER)
        .network_number(number::MASK_BYTES, 4)
        .nested(number::MASK_MASK, &Attributes::new().bytes(number::VALUE, &mask))
        .nested(number::MASK_XOR, &Attributes::new().bytes(number::VALUE, &[0; 4]));
    push(list, "bitwise", &data)
}

/// An address can only be read where it is known which kind of address it is.
fn require_ipv4(list: Attributes) -> Attributes {
    compare(load_meta(list, libc::NFT_META_NFPROTO, FIRST_REGISTER), libc::NFT_CMP_EQ, &[IPV4])
}

fn require_state(list: Attributes, states: u32) -> Attributes {
    require_connection(list, libc::NFT_CT_STATE, states)
}

fn require_connection(list: Attributes, key: i32, bits: u32) -> Attributes {
    let data = Attributes::new()
        .network_number(number::CONNECTION_KEY, key.cast_unsigned())
        .network_number(number::CONNECTION_TARGET, FIRST_REGISTER);
    let masked = mask_register(push(list, "ct", &data), bits.to_ne_bytes());
    compare(masked, libc::NFT_CMP_NEQ, &[0; 4])
}

fn verdict(list: Attributes, code: i32, chain: Option<&str>) -> Attributes {
    let data = Attributes::new()
        .network_number(number::IMMEDIATE_TARGET, VERDICT_REGISTER)
        .nested(number::IMMEDIATE_DATA, &describe_verdict(code, chain));
    push(list, "immediate", &data)
}

/// Encodes a verdict as data.
pub(super) fn describe_verdict(code: i32, chain: Option<&str>) -> Attributes {
    let mut verdict = Attributes::new().network_number(number::VERDICT_CODE, code.cast_unsigned());
    if let Some(chain) = chain {
        verdict = verdict.text(number::VERDICT_CHAIN, chain);
    }
    Attributes::new().nested(number::VERDICT, &verdict)
}
