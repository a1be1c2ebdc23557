//! Sets that rules look keys up in: links, addresses, ranges of them, and pairs of link and address (nft(8), "SETS").

use std::net::Ipv4Addr;

use super::rule;
use super::wire::{expression, set as number};
use crate::netlink::attribute::{self, Attributes, Reader};

/// Bytes of a link's name in a key, NUL-padded.
const NAME_BYTES: usize = 16;
/// How `nft` tells types of keys apart when it prints a set; two types share a number side by side.
const TYPE_ADDRESS: u32 = 7;
const TYPE_LINK: u32 = 41;
const TYPE_BITS: u32 = 6;
/// User data that tells `nft` the byte order of the keys, without which it prints ranges and names wrongly.
const KEY_ORDER_IS_HOST: [u8; 6] = [0, 4, 1, 0, 0, 0];
const KEY_ORDER_IS_NETWORK: [u8; 6] = [0, 4, 2, 0, 0, 0];

/// How often something is told: so many times a second, after so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Packets per second.
    pub per_second: u32,
    /// Packets at once.
    pub burst: u32,
}

/// What a set's keys are, and what comes with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// The name of a link.
    Link,
    /// The name of a link; each counts the packets that are found by it. A rule goes on only within the limit.
    LinkMeter(Limit),
    /// The name of a link, with what to do about it.
    LinkVerdict,
    /// The name of a link and an IPv4 address.
    LinkAndAddress,
    /// The same, for a while.
    LinkAndAddressForAWhile,
    /// An IPv4 address.
    Address,
    /// Ranges of IPv4 addresses.
    AddressRange,
}

/// An element of a set. A link's name has at most 15 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// The name of a link.
    Link(String),
    /// The name of a link and the chain that its packets jump to.
    LinkJump(String, String),
    /// The name of a link and an address.
    LinkAndAddress(String, Ipv4Addr),
    /// The same, for so many milliseconds, with a comment.
    LinkAndAddressFor {
        /// The name of the link.
        link: String,
        /// The address.
        address: Ipv4Addr,
        /// How long the element stays.
        timeout_ms: u64,
        /// For people, and for whoever reads the set again.
        comment: String,
    },
    /// An address.
    Address(Ipv4Addr),
    /// The addresses from the first to the last; ranges of one set may not overlap.
    AddressRange(Ipv4Addr, Ipv4Addr),
}

/// An element that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledElement {
    /// Name of the link that its key starts with.
    pub link: String,
    /// The address that its key ends with, where it has one.
    pub address: Option<Ipv4Addr>,
    /// In how many milliseconds it goes by itself.
    pub expires_in_ms: Option<u64>,
    /// Its comment; empty when it has none.
    pub comment: String,
    /// How many packets were found by it, where it counts.
    pub packets: Option<u64>,
}

impl KeyKind {
    pub(super) fn describe(self, body: Attributes) -> Attributes {
        const PAIR: u32 = (TYPE_LINK << TYPE_BITS) | TYPE_ADDRESS;
        let (kind, bytes, flags) = match self {
            Self::Link => (TYPE_LINK, NAME_BYTES, 0),
            Self::LinkMeter(_) => (TYPE_LINK, NAME_BYTES, number::FLAG_EXPRESSIONS),
            Self::LinkVerdict => (TYPE_LINK, NAME_BYTES, libc::NFT_SET_MAP),
            Self::LinkAndAddress => (PAIR, NAME_BYTES + 4, 0),
            Self::LinkAndAddressForAWhile => (PAIR, NAME_BYTES + 4, libc::NFT_SET_TIMEOUT),
            Self::Address => (TYPE_ADDRESS, 4, 0),
            Self::AddressRange => (TYPE_ADDRESS, 4, libc::NFT_SET_INTERVAL),
        };
        let body = body
            .network_number(number::FLAGS, flags.cast_unsigned())
            .network_number(number::KEY_TYPE, kind)
            .network_number(number::KEY_BYTES, u32::try_from(bytes).unwrap_or(u32::MAX));
        let body = match self {
            Self::Link | Self::LinkMeter(_) | Self::LinkVerdict => {
                body.bytes(number::USER_DATA, &KEY_ORDER_IS_HOST)
            }
            _ => body,
        };
        match self {
            Self::AddressRange => body.bytes(number::USER_DATA, &KEY_ORDER_IS_NETWORK),
            Self::LinkVerdict => body
                .network_number(number::DATA_TYPE, number::DATA_IS_VERDICT)
                .network_number(number::DATA_BYTES, 0),
            Self::LinkMeter(limit) => body.nested(number::EXPRESSIONS, &meter(limit)),
            _ => body,
        }
    }
}

/// The counter comes first: it counts what the limit then holds back.
fn meter(limit: Limit) -> Attributes {
    let data = Attributes::new()
        .bytes(expression::LIMIT_RATE, &u64::from(limit.per_second).to_be_bytes())
        .bytes(expression::LIMIT_SECONDS, &1_u64.to_be_bytes())
        .network_number(expression::LIMIT_BURST, limit.burst);
    rule::push(rule::push(Attributes::new(), "counter", &Attributes::new()), "limit", &data)
}

impl Element {
    /// Adds the element to a list; a range is two entries, its first address and the one behind its last.
    pub(super) fn encode(&self, list: Attributes) -> Attributes {
        let entry = match self {
            Self::Link(name) => entry(&padded(name)),
            Self::LinkJump(name, chain) => {
                let data = rule::describe_verdict(libc::NFT_JUMP, Some(chain));
                entry(&padded(name)).nested(number::ELEMENT_DATA, &data)
            }
            Self::LinkAndAddress(name, address) => entry(&pair(name, *address)),
            Self::LinkAndAddressFor { link, address, timeout_ms, comment } => entry(&pair(link, *address))
                .bytes(number::ELEMENT_TIMEOUT, &timeout_ms.to_be_bytes())
                .bytes(number::ELEMENT_USER_DATA, &user_data(comment)),
            Self::Address(address) => entry(&address.octets()),
            Self::AddressRange(from, to) => return encode_range(list, *from, *to),
        };
        list.nested(expression::LIST_ELEMENT, &entry)
    }
}

fn encode_range(list: Attributes, from: Ipv4Addr, to: Ipv4Addr) -> Attributes {
    let list = list.nested(expression::LIST_ELEMENT, &entry(&from.octets()));
    // Nothing is behind the last address of all: that range stays open.
    let Some(end) = to.to_bits().checked_add(1) else { return list };
    let end = entry(&end.to_be_bytes())
        .network_number(number::ELEMENT_FLAGS, libc::NFT_SET_ELEM_INTERVAL_END.cast_unsigned());
    list.nested(expression::LIST_ELEMENT, &end)
}

fn pair(name: &str, address: Ipv4Addr) -> Vec<u8> {
    [padded(name).as_slice(), &address.octets()].concat()
}

fn padded(name: &str) -> [u8; NAME_BYTES] {
    let mut key = [0; NAME_BYTES];
    for (place, byte) in key.iter_mut().take(NAME_BYTES - 1).zip(name.bytes()) {
        *place = byte;
    }
    key
}

fn entry(key: &[u8]) -> Attributes {
    Attributes::new().nested(number::ELEMENT_KEY, &Attributes::new().bytes(expression::VALUE, key))
}

/// A list of one-byte type, one-byte length, value; a comment that is too long is cut.
fn user_data(comment: &str) -> Vec<u8> {
    const LONGEST: usize = 253;
    let mut value: Vec<u8> = comment.bytes().take(LONGEST).collect();
    value.push(0);
    let mut data = vec![number::USER_DATA_COMMENT, u8::try_from(value.len()).unwrap_or(u8::MAX)];
    data.append(&mut value);
    data
}

/// Reads an element of a set whose keys start with a link's name.
pub(super) fn read(element: &Reader<'_>) -> Option<InstalledElement> {
    let key = element.find_nested(number::ELEMENT_KEY)?.find(expression::VALUE)?;
    let (name, rest) = key.split_at_checked(NAME_BYTES)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let milliseconds = |attribute| {
        element.find(attribute).and_then(<[u8]>::first_chunk).map(|bytes| u64::from_be_bytes(*bytes))
    };
    Some(InstalledElement {
        link: String::from_utf8_lossy(name).into_owned(),
        address: rest.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets)),
        expires_in_ms: milliseconds(number::ELEMENT_EXPIRES_IN),
        comment: element.find(number::ELEMENT_USER_DATA).and_then(read_comment).unwrap_or_default(),
        packets: element.find(number::ELEMENT_EXPRESSIONS).and_then(read_packets),
    })
}

fn read_comment(data: &[u8]) -> Option<String> {
    let [number::USER_DATA_COMMENT, length, rest @ ..] = data else { return None };
    let text = rest.get(..usize::from(*length))?.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn read_packets(expressions: &[u8]) -> Option<u64> {
    let counter = attribute::read(expressions, 0)
        .map(|(_, expression)| attribute::read(expression, 0))
        .find(|one| one.find_text(expression::NAME).as_deref() == Some("counter"))?;
    let packets = counter.find_nested(expression::DATA)?.find(expression::COUNTER_PACKETS)?;
    packets.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}
