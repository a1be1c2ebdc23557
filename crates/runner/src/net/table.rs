//! Looks at what is installed of our table: who changed it, what it counted, what is pinned.

use linux::errno::CallError;
use linux::netlink::Socket;
use linux::nft::Family;
use linux::nft::inspect;
use linux::nft::set::Element;
use rustix::io::Errno;

use crate::net::access::Pinned;
use crate::net::ledger::Packets;
use crate::net::policy::Policy;
use crate::net::sets::{ALLOWED, LINGERING, PINNED, REFUSED};

/// What tells whether somebody else changed the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    /// Grows with every change that anybody makes, our own included.
    pub(super) generation: u32,
    /// The handles of all rules that are nobody's own.
    pub(super) rules: Vec<u64>,
}

/// Looks at the rules.
pub(super) fn look(socket: &mut Socket, policy: &Policy) -> Result<Left, CallError> {
    let generation = inspect::generation(socket)?;
    let mut rules = Vec::new();
    for chain in policy.chain_names() {
        match inspect::list_rules(socket, Family::Inet, &policy.names.table, &chain) {
            Err(error) if error.errno() == Errno::NOENT.raw_os_error() => {}
            listed => rules.extend(listed?.into_iter().map(|rule| rule.handle)),
        }
    }
    Ok(Left { generation, rules })
}

/// Lists the chains of the table that are not among those that are `known`.
pub(super) fn unknown_chains(
    socket: &mut Socket,
    policy: &Policy,
    known: &[String],
) -> Result<Vec<String>, CallError> {
    let chains = inspect::list_chains(socket)?.into_iter();
    let ours = chains.filter(|chain| chain.table == policy.names.table && chain.family == Family::Inet);
    Ok(ours.map(|chain| chain.name).filter(|name| !known.contains(name)).collect())
}

/// Lists the sets of the table that are not among those that are `known`.
pub(super) fn unknown_sets(
    socket: &mut Socket,
    policy: &Policy,
    known: &[String],
) -> Result<Vec<String>, CallError> {
    let sets = inspect::list_sets(socket, Family::Inet, &policy.names.table)?.into_iter();
    Ok(sets.filter(|name| !known.contains(name)).collect())
}

/// Counts the elements of a set; `None` when it is not there.
pub(super) fn count(socket: &mut Socket, policy: &Policy, set: &str) -> Option<usize> {
    inspect::list_elements(socket, Family::Inet, &policy.names.table, set).map(|list| list.len()).ok()
}

/// Reads what was counted, place by place. A table that is not there, or of another version, has counted nothing.
pub(super) fn counters(socket: &mut Socket, policy: &Policy) -> Vec<(u32, Packets)> {
    let mut counted = Vec::new();
    for (set, allowed) in [(ALLOWED, true), (REFUSED, false)] {
        let listed = inspect::list_elements(socket, Family::Inet, &policy.names.table, set);
        for element in listed.unwrap_or_default() {
            if let (Some(index), Some(packets)) = (policy.names.place(&element.link), element.packets) {
                counted.push((index, packets_of(packets, allowed)));
            }
        }
    }
    counted
}

/// Reads what was counted for one link.
pub(super) fn counters_of(
    socket: &mut Socket,
    policy: &Policy,
    link: &str,
) -> Result<Vec<Packets>, CallError> {
    let key = Element::Link(link.to_owned());
    let mut counted = Vec::new();
    for (set, allowed) in [(ALLOWED, true), (REFUSED, false)] {
        let found = inspect::find_element(socket, Family::Inet, &policy.names.table, set, &key)?;
        let packets = found.and_then(|element| element.packets);
        counted.extend(packets.map(|packets| packets_of(packets, allowed)));
    }
    Ok(counted)
}

const fn packets_of(packets: u64, allowed: bool) -> Packets {
    if allowed { Packets { allowed: packets, refused: 0 } } else { Packets { allowed: 0, refused: packets } }
}

/// Reads what is pinned, place by place.
pub(super) fn pinned(socket: &mut Socket, policy: &Policy) -> Vec<(u32, Pinned)> {
    let mut pinned = Vec::new();
    for (set, opens) in [(PINNED, true), (LINGERING, false)] {
        let listed = inspect::list_elements(socket, Family::Inet, &policy.names.table, set);
        for element in listed.unwrap_or_default() {
            let index = policy.names.place(&element.link);
            let (Some(index), Some(address), Some(time_ms)) = (index, element.address, element.expires_in_ms)
            else {
                continue;
            };
            let opens_for_ms = if opens { time_ms } else { 0 };
            let name = element.comment;
            pinned.push((index, Pinned { address, name, opens_for_ms, lingers_for_ms: time_ms }));
        }
    }
    pinned
}
