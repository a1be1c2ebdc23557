//! Sets that rules look keys up in: addresses, ranges of them, and pairs of link and address (nft(8), "SETS").

use std::net::Ipv4Addr;

use super::wire::{expression, set as number};
use crate::netlink::attribute::Attributes;

/// Bytes of a link's name in a key, NUL-padded.
const NAME_BYTES: usize = 16;
/// How `nft` tells types of keys apart when it prints a set; two types share a number side by side.
const TYPE_ADDRESS: u32 = 7;
const TYPE_LINK: u32 = 41;
const TYPE_BITS: u32 = 6;
/// User data that tells `nft` the byte order of the keys, without which it prints ranges wrongly.
const KEY_ORDER_IS_NETWORK: [u8; 6] = [0, 4, 2, 0, 0, 0];

/// What a set's keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// The name of a link and an IPv4 address.
    LinkAndAddress,
    /// An IPv4 address.
    Address,
    /// Ranges of IPv4 addresses.
    AddressRange,
}

/// An element of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// The name of a link, at most 15 bytes, and an address.
    LinkAndAddress(String, Ipv4Addr),
    /// An address.
    Address(Ipv4Addr),
    /// The addresses from the first to the last; ranges of one set may not overlap.
    AddressRange(Ipv4Addr, Ipv4Addr),
}

impl KeyKind {
    pub(super) fn describe(self, body: Attributes) -> Attributes {
        let (kind, bytes, flags) = match self {
            Self::LinkAndAddress => ((TYPE_LINK << TYPE_BITS) | TYPE_ADDRESS, NAME_BYTES + 4, 0),
            Self::Address => (TYPE_ADDRESS, 4, 0),
            Self::AddressRange => (TYPE_ADDRESS, 4, libc::NFT_SET_INTERVAL),
        };
        let body = body
            .network_number(number::FLAGS, flags.cast_unsigned())
            .network_number(number::KEY_TYPE, kind)
            .network_number(number::KEY_BYTES, u32::try_from(bytes).unwrap_or(u32::MAX));
        if self == Self::AddressRange { body.bytes(number::USER_DATA, &KEY_ORDER_IS_NETWORK) } else { body }
    }
}

impl Element {
    /// Adds the element to a list; a range is two entries, its first address and the one behind its last.
    pub(super) fn encode(&self, list: Attributes) -> Attributes {
        match self {
            Self::LinkAndAddress(name, address) => {
                let mut key = padded(name).to_vec();
                key.extend_from_slice(&address.octets());
                entry(list, &key, 0)
            }
            Self::Address(address) => entry(list, &address.octets(), 0),
            Self::AddressRange(first, final_one) => {
                let list = entry(list, &first.octets(), 0);
                // Nothing is behind the last address of all: that range stays open.
                match final_one.to_bits().checked_add(1) {
                    Some(end) => entry(list, &end.to_be_bytes(), libc::NFT_SET_ELEM_INTERVAL_END),
                    None => list,
                }
            }
        }
    }
}

fn padded(name: &str) -> [u8; NAME_BYTES] {
    let mut key = [0; NAME_BYTES];
    for (place, byte) in key.iter_mut().take(NAME_BYTES - 1).zip(name.bytes()) {
        *place = byte;
    }
    key
}

fn entry(list: Attributes, key: &[u8], flags: i32) -> Attributes {
    let mut element =
        Attributes::new().nested(number::ELEMENT_KEY, &Attributes::new().bytes(expression::VALUE, key));
    if flags != 0 {
        element = element.network_number(number::ELEMENT_FLAGS, flags.cast_unsigned());
    }
    list.nested(expression::LIST_ELEMENT, &element)
}
