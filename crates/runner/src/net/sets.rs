//! The sets that rules look packets up in, besides those of one group.

use linux::nft::set::{KeyKind, Limit};

/// The links of all sandboxes, each with its address.
pub(super) const MEMBERS: &str = "members";
/// The links of sandboxes without a list.
pub(super) const OPEN: &str = "open";
/// The links of sandboxes whose questions all come to our resolver: they have a list, or are shut but linked.
pub(super) const LISTED: &str = "listed";
/// The links of sandboxes without a list that are linked: what they ask the usual name servers comes to our resolver.
pub(super) const NAMED: &str = "named";
/// The links of sandboxes whose network is shut.
pub(super) const BLOCKED: &str = "blocked";
/// Leads from a link to the chain with the networks on its sandbox's list, and to the one for the answers from there.
pub(super) const RANGES: &str = "ranges";
pub(super) const ANSWERS: &str = "answers";
/// Leads from a link to the chain that lets packets to those through that the sandbox is linked with, and to the one
/// that leaves such packets as they are.
pub(super) const GROUPS: &str = "groups";
pub(super) const MATES: &str = "mates";
/// The links with addresses that the resolver gave out lately, where new connections may go.
pub(super) const PINNED: &str = "pinned";
/// The same for longer, for connections that are open already.
pub(super) const LINGERING: &str = "lingering";
/// Count, link by link, and limit what is told.
pub(super) const REFUSED: &str = "refused";
pub(super) const ALLOWED: &str = "allowed";
/// Limits, link by link, how many connections begin.
pub(super) const PACE: &str = "pace";
/// The addresses that everyone may reach, and the name servers.
pub(super) const REACHABLE: &str = "reachable";
pub(super) const RESOLVERS: &str = "resolvers";

/// What is told of one sandbox: enough to see what it tries, too little to be a burden.
const REFUSED_LIMIT: Limit = Limit { per_second: 5, burst: 64 };
const ALLOWED_LIMIT: Limit = Limit { per_second: 2, burst: 64 };
/// Every connection stays in the host's table for half a minute and more, and the table is everybody's.
const PACE_LIMIT: Limit = Limit { per_second: 500, burst: 4000 };

/// All of them.
pub(super) const SETS: [(&str, KeyKind); 16] = [
    (MEMBERS, KeyKind::LinkAndAddress),
    (OPEN, KeyKind::Link),
    (LISTED, KeyKind::Link),
    (NAMED, KeyKind::Link),
    (BLOCKED, KeyKind::Link),
    (RANGES, KeyKind::LinkVerdict),
    (ANSWERS, KeyKind::LinkVerdict),
    (GROUPS, KeyKind::LinkVerdict),
    (MATES, KeyKind::LinkVerdict),
    (PINNED, KeyKind::LinkAndAddressForAWhile),
    (LINGERING, KeyKind::LinkAndAddressForAWhile),
    (REFUSED, KeyKind::LinkMeter(REFUSED_LIMIT)),
    (ALLOWED, KeyKind::LinkMeter(ALLOWED_LIMIT)),
    (PACE, KeyKind::LinkMeter(PACE_LIMIT)),
    (REACHABLE, KeyKind::AddressRange),
    (RESOLVERS, KeyKind::Address),
];
