//! The numbers of the kernel's packet filter protocol that this crate uses, and its message header
//! (`linux/netfilter/nf_tables.h`).

use crate::netlink::attribute::Attributes;

/// The protocol family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// IPv4 and IPv6 together.
    Inet = 1,
    /// IPv4 alone.
    Ipv4 = 2,
}

impl Family {
    /// The family of that number, when it is one that this crate speaks.
    pub(super) const fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Inet),
            2 => Some(Self::Ipv4),
            _ => None,
        }
    }
}

pub(super) const HEADER_BYTES: usize = 4;

/// Attributes of a table.
pub(super) mod table {
    pub(in crate::nft) const NAME: u16 = 1;
}

/// Attributes of a chain and of its hook.
pub(super) mod chain {
    pub(in crate::nft) const TABLE: u16 = 1;
    pub(in crate::nft) const NAME: u16 = 3;
    pub(in crate::nft) const HOOK: u16 = 4;
    pub(in crate::nft) const POLICY: u16 = 5;
    pub(in crate::nft) const KIND: u16 = 7;
    pub(in crate::nft) const HOOK_NUMBER: u16 = 1;
    pub(in crate::nft) const HOOK_PRIORITY: u16 = 2;
}

/// Attributes of a rule and of the comment in its user data.
pub(super) mod rule {
    pub(in crate::nft) const TABLE: u16 = 1;
    pub(in crate::nft) const CHAIN: u16 = 2;
    pub(in crate::nft) const HANDLE: u16 = 3;
    pub(in crate::nft) const EXPRESSIONS: u16 = 4;
    pub(in crate::nft) const USER_DATA: u16 = 7;
    pub(in crate::nft) const USER_DATA_COMMENT: u8 = 0;
}

/// Attributes of a set, of a list of its elements, and of an element.
pub(super) mod set {
    pub(in crate::nft) const TABLE: u16 = 1;
    pub(in crate::nft) const NAME: u16 = 2;
    pub(in crate::nft) const FLAGS: u16 = 3;
    pub(in crate::nft) const KEY_TYPE: u16 = 4;
    pub(in crate::nft) const KEY_BYTES: u16 = 5;
    pub(in crate::nft) const DATA_TYPE: u16 = 6;
    pub(in crate::nft) const DATA_BYTES: u16 = 7;
    pub(in crate::nft) const ID: u16 = 10;
    pub(in crate::nft) const USER_DATA: u16 = 13;
    /// Expressions that each element has for itself, such as a counter.
    pub(in crate::nft) const EXPRESSIONS: u16 = 18;
    pub(in crate::nft) const FLAG_EXPRESSIONS: i32 = 0x100;
    /// The type of data that is a verdict (`NFT_DATA_VERDICT`).
    pub(in crate::nft) const DATA_IS_VERDICT: u32 = 0xffff_ff00;
    pub(in crate::nft) const LIST_TABLE: u16 = 1;
    pub(in crate::nft) const LIST_SET: u16 = 2;
    pub(in crate::nft) const LIST_ELEMENTS: u16 = 3;
    pub(in crate::nft) const ELEMENT_KEY: u16 = 1;
    pub(in crate::nft) const ELEMENT_DATA: u16 = 2;
    pub(in crate::nft) const ELEMENT_FLAGS: u16 = 3;
    pub(in crate::nft) const ELEMENT_TIMEOUT: u16 = 4;
    pub(in crate::nft) const ELEMENT_EXPIRES_IN: u16 = 5;
    pub(in crate::nft) const ELEMENT_USER_DATA: u16 = 6;
    pub(in crate::nft) const ELEMENT_EXPRESSIONS: u16 = 11;
    pub(in crate::nft) const USER_DATA_COMMENT: u8 = 0;
}

/// Attributes of expressions: the parts of a rule.
pub(super) mod expression {
    pub(in crate::nft) const LIST_ELEMENT: u16 = 1;
    pub(in crate::nft) const NAME: u16 = 1;
    pub(in crate::nft) const DATA: u16 = 2;
    pub(in crate::nft) const VALUE: u16 = 1;
    pub(in crate::nft) const VERDICT: u16 = 2;
    pub(in crate::nft) const VERDICT_CODE: u16 = 1;
    pub(in crate::nft) const VERDICT_CHAIN: u16 = 2;
    pub(in crate::nft) const META_TARGET: u16 = 1;
    pub(in crate::nft) const META_KEY: u16 = 2;
    pub(in crate::nft) const CONNECTION_TARGET: u16 = 1;
    pub(in crate::nft) const CONNECTION_KEY: u16 = 2;
    pub(in crate::nft) const CONNECTION_DIRECTION: u16 = 3;
    pub(in crate::nft) const COMPARE_SOURCE: u16 = 1;
    pub(in crate::nft) const COMPARE_OPERATION: u16 = 2;
    pub(in crate::nft) const COMPARE_DATA: u16 = 3;
    pub(in crate::nft) const MASK_SOURCE: u16 = 1;
    pub(in crate::nft) const MASK_TARGET: u16 = 2;
    pub(in crate::nft) const MASK_BYTES: u16 = 3;
    pub(in crate::nft) const MASK_MASK: u16 = 4;
    pub(in crate::nft) const MASK_XOR: u16 = 5;
    pub(in crate::nft) const PAYLOAD_TARGET: u16 = 1;
    pub(in crate::nft) const PAYLOAD_LAYER: u16 = 2;
    pub(in crate::nft) const PAYLOAD_OFFSET: u16 = 3;
    pub(in crate::nft) const PAYLOAD_BYTES: u16 = 4;
    pub(in crate::nft) const LOOKUP_SET: u16 = 1;
    pub(in crate::nft) const LOOKUP_SOURCE: u16 = 2;
    pub(in crate::nft) const LOOKUP_TARGET: u16 = 3;
    pub(in crate::nft) const LOOKUP_FLAGS: u16 = 5;
    pub(in crate::nft) const LOG_GROUP: u16 = 1;
    pub(in crate::nft) const LOG_PREFIX: u16 = 2;
    pub(in crate::nft) const REDIRECT_FIRST_PORT: u16 = 1;
    pub(in crate::nft) const REDIRECT_LAST_PORT: u16 = 2;
    pub(in crate::nft) const REDIRECT_FLAGS: u16 = 3;
    pub(in crate::nft) const LIMIT_RATE: u16 = 1;
    pub(in crate::nft) const LIMIT_SECONDS: u16 = 2;
    pub(in crate::nft) const LIMIT_BURST: u16 = 3;
    pub(in crate::nft) const COUNTER_PACKETS: u16 = 2;
    pub(in crate::nft) const IMMEDIATE_TARGET: u16 = 1;
    pub(in crate::nft) const IMMEDIATE_DATA: u16 = 2;
}

/// Returns the type of a packet filter message.
pub(super) const fn kind(message: i32) -> u16 {
    kind_of(libc::NFNL_SUBSYS_NFTABLES, message)
}

/// Returns the type of a message of one of netfilter's subsystems.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both numbers are below 256")]
pub(super) const fn kind_of(subsystem: i32, message: i32) -> u16 {
    ((subsystem as u16) << 8) | message as u16
}

/// Starts a body with `struct nfgenmsg`.
pub(super) fn body(family: u8, resource: u16) -> Attributes {
    let [high, low] = resource.to_be_bytes();
    Attributes::after(&[family, 0, high, low])
}
