//! Looks at what is installed: chains with their hooks and policies, and rules with their comments, of any owner.

use super::set::{self, Element, InstalledElement};
use super::wire::{self, Family, HEADER_BYTES, chain, rule, set as number};
use crate::errno::CallError;
use crate::netlink::attribute::{self, Attributes, Reader};
use crate::netlink::{Message, Socket};

/// A chain that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledChain {
    /// Family of its table.
    pub family: Family,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Whether it decides, as a base chain, about what passes through this host.
    pub forwards: bool,
    /// Whether it decides, as a base chain, about what is for this host.
    pub receives: bool,
    /// Whether it drops what no rule of its decided.
    pub drops_by_default: bool,
}

/// A rule that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledRule {
    /// The number that it is deleted by.
    pub handle: u64,
    /// Its comment; empty when it has none.
    pub comment: String,
}

/// Lists every chain of this namespace whose family this crate speaks.
pub fn list_chains(socket: &mut Socket) -> Result<Vec<InstalledChain>, CallError> {
    let mut chains = Vec::new();
    let flags = libc::NLM_F_DUMP | libc::NLM_F_ACK;
    let kind = wire::kind(libc::NFT_MSG_GETCHAIN);
    socket.query(Message::new(kind, flags, wire::body(0, 0), "list chains", "all"), |_, body| {
        chains.extend(read_chain(body));
    })?;
    Ok(chains)
}

/// Lists the names of the sets of a table; none when there is no such table.
pub fn list_sets(socket: &mut Socket, family: Family, table: &str) -> Result<Vec<String>, CallError> {
    let mut sets = Vec::new();
    let body = wire::body(family as u8, 0).text(number::TABLE, table);
    let flags = libc::NLM_F_DUMP | libc::NLM_F_ACK;
    let message = Message::new(wire::kind(libc::NFT_MSG_GETSET), flags, body, "list sets", table);
    let listed = socket.query(message, |_, body| {
        let attributes = attribute::read(body, HEADER_BYTES);
        if attributes.find_text(number::TABLE).as_deref() == Some(table) {
            sets.extend(attributes.find_text(number::NAME));
        }
    });
    match listed {
        Err(error) if error.errno() == libc::ENOENT => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(()) => Ok(sets),
    }
}

/// Lists the rules of a chain.
pub fn list_rules(
    socket: &mut Socket,
    family: Family,
    table: &str,
    chain: &str,
) -> Result<Vec<InstalledRule>, CallError> {
    let mut rules = Vec::new();
    let body = wire::body(family as u8, 0).text(rule::TABLE, table).text(rule::CHAIN, chain);
    let flags = libc::NLM_F_DUMP | libc::NLM_F_ACK;
    let message = Message::new(wire::kind(libc::NFT_MSG_GETRULE), flags, body, "list rules", chain);
    socket.query(message, |_, body| rules.extend(read_rule(body, chain)))?;
    Ok(rules)
}

/// Lists the elements of a set whose keys start with a link's name.
pub fn list_elements(
    socket: &mut Socket,
    family: Family,
    table: &str,
    set: &str,
) -> Result<Vec<InstalledElement>, CallError> {
    let mut elements = Vec::new();
    let body = wire::body(family as u8, 0).text(number::LIST_TABLE, table).text(number::LIST_SET, set);
    let flags = libc::NLM_F_DUMP | libc::NLM_F_ACK;
    let message = Message::new(wire::kind(libc::NFT_MSG_GETSETELEM), flags, body, "list elements", set);
    socket.query(message, |_, body| {
        let list = attribute::read(body, HEADER_BYTES).find_nested(number::LIST_ELEMENTS);
        let elements_read = list.into_iter().flatten().map(|(_, element)| attribute::read(element, 0));
        elements.extend(elements_read.filter_map(|element| set::read(&element)));
    })?;
    Ok(elements)
}

/// Finds one element by its key; `None` when the set or the element is not there.
pub fn find_element(
    socket: &mut Socket,
    family: Family,
    table: &str,
    set: &str,
    element: &Element,
) -> Result<Option<InstalledElement>, CallError> {
    let mut found = None;
    let list = element.encode(Attributes::new());
    let body = wire::body(family as u8, 0)
        .text(number::LIST_TABLE, table)
        .text(number::LIST_SET, set)
        .nested(number::LIST_ELEMENTS, &list);
    let message =
        Message::new(wire::kind(libc::NFT_MSG_GETSETELEM), libc::NLM_F_ACK, body, "find element", set);
    let answered = socket.query(message, |_, body| {
        let list = attribute::read(body, HEADER_BYTES).find_nested(number::LIST_ELEMENTS);
        let mut elements = list.into_iter().flatten().map(|(_, element)| attribute::read(element, 0));
        found = elements.find_map(|element| set::read(&element));
    });
    match answered {
        Err(error) if error.errno() == libc::ENOENT => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok(found),
    }
}

/// Returns a number that grows with every change that anybody makes to the rules of this namespace.
pub fn generation(socket: &mut Socket) -> Result<u32, CallError> {
    const GENERATION: u16 = 1;
    let mut generation = 0;
    let kind = wire::kind(libc::NFT_MSG_GETGEN);
    let message = Message::new(kind, libc::NLM_F_ACK, wire::body(0, 0), "read generation", "rules");
    socket.query(message, |_, body| {
        let found = attribute::read(body, HEADER_BYTES).find_network_number(GENERATION);
        generation = found.unwrap_or(generation);
    })?;
    Ok(generation)
}

fn read_chain(body: &[u8]) -> Option<InstalledChain> {
    let attributes = attribute::read(body, HEADER_BYTES);
    let hook = attributes.find_nested(chain::HOOK);
    let number = hook.and_then(|hook| hook.find_network_number(chain::HOOK_NUMBER));
    Some(InstalledChain {
        family: Family::of(*body.first()?)?,
        table: attributes.find_text(chain::TABLE)?,
        name: attributes.find_text(chain::NAME)?,
        forwards: number == Some(libc::NF_INET_FORWARD.cast_unsigned()),
        receives: number == Some(libc::NF_INET_LOCAL_IN.cast_unsigned()),
        drops_by_default: attributes.find_network_number(chain::POLICY)
            == Some(libc::NF_DROP.cast_unsigned()),
    })
}

fn read_rule(body: &[u8], of_chain: &str) -> Option<InstalledRule> {
    let attributes = attribute::read(body, HEADER_BYTES);
    if attributes.find_text(rule::CHAIN).as_deref() != Some(of_chain) {
        return None; // an old kernel does not filter the list
    }
    let handle = u64::from_be_bytes(*attributes.find(rule::HANDLE)?.first_chunk()?);
    Some(InstalledRule { handle, comment: read_comment(&attributes).unwrap_or_default() })
}

/// User data is a list of one-byte type, one-byte length, value.
fn read_comment(attributes: &Reader<'_>) -> Option<String> {
    let [kind, length, rest @ ..] = attributes.find(rule::USER_DATA)? else { return None };
    if *kind != rule::USER_DATA_COMMENT {
        return None;
    }
    let value = rest.get(..usize::from(*length))?;
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Writes a comment as user data; one that is too long is cut.
pub(super) fn with_comment(body: Attributes, comment: &str) -> Attributes {
    const LONGEST: usize = 120;
    let mut value: Vec<u8> = comment.bytes().take(LONGEST).collect();
    value.push(0);
    let mut data = vec![rule::USER_DATA_COMMENT, u8::try_from(value.len()).unwrap_or(u8::MAX)];
    data.append(&mut value);
    body.bytes(rule::USER_DATA, &data)
}
