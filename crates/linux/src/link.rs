//! Network links: a veth pair whose peer is born inside another namespace, and what is needed at both of its ends
//! (rtnetlink(7), veth(4)).

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::errno::CallError;
use crate::netlink::attribute::{self, Attributes};
use crate::netlink::{Message, Socket};

/// `VETH_INFO_PEER`: the description of the other end.
const PEER: u16 = 1;
/// `IFLA_INET_CONF`: the IPv4 settings of a link, one attribute per setting.
const IPV4_SETTINGS: u16 = 1;
/// `IFLA_INET6_ADDR_GEN_MODE`, and its value for "none".
const IPV6_ADDRESS_MODE: u16 = 8;
const IPV6_ADDRESS_MODE_NONE: u8 = 1;
/// `AF_INET`, as wide as the headers want it.
const IPV4: u8 = 2;
/// The loopback device is the first of every namespace.
const LOOPBACK_INDEX: u32 = 1;
const LINK_HEADER_BYTES: usize = 16;
const ADDRESS_HEADER_BYTES: usize = 8;
const ROUTE_HEADER_BYTES: usize = 12;

/// Settings of the host's end as `IPV4_DEVCONF_*` numbers: it routes, and gives its other side nothing else to use.
const HOST_END_SETTINGS: [(u16, u32); 8] = [
    (1, 1),  // forwarding: packets from the sandbox may be routed on
    (3, 0),  // proxy_arp: answers for no one else
    (4, 0),  // accept_redirects: a sandbox does not change the host's routes
    (6, 0),  // send_redirects: there is no better way to tell it of
    (8, 1),  // rp_filter: the way back to the source must be this link
    (9, 0),  // accept_source_route
    (19, 1), // arp_ignore: answers for this link's address only, not for the host's other ones
    (26, 0), // route_localnet: the host's loopback is not reachable
];

/// Where the other end of a pair is born.
#[derive(Debug, Clone, Copy)]
pub enum Namespace<'a> {
    /// The network namespace of a process or thread.
    OfProcess(i32),
    /// An open network namespace.
    Open(BorrowedFd<'a>),
}

/// A pair of links to create: one end here, the other in another namespace.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// Name of the end here; at most 15 bytes.
    pub name: &'a str,
    /// A note on the end here, for people and for finding out whose it is.
    pub alias: &'a str,
    /// Name of the end there.
    pub peer_name: &'a str,
    /// Where "there" is.
    pub peer_namespace: Namespace<'a>,
    /// Largest packet of both ends.
    pub mtu_bytes: u32,
    /// Address of the end here.
    pub address: Ipv4Addr,
    /// Length of the network's prefix; the kernel derives the route from it.
    pub prefix: u8,
}

/// A link of this namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The note on it; empty when there is none.
    pub alias: String,
    /// Its largest packet.
    pub mtu_bytes: u32,
}

/// What the end inside a namespace is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside<'a> {
    /// Name of the end inside.
    pub name: &'a str,
    /// Its address.
    pub address: Ipv4Addr,
    /// Length of its network's prefix.
    pub prefix: u8,
    /// Where everything else is reached through.
    pub gateway: Ipv4Addr,
}

/// Creates the pair and brings up the end here; on failure nothing of it is left. The end there waits, down and
/// without an address, for `configure_inside`.
pub fn create_pair(socket: &mut Socket, pair: &Pair<'_>) -> Result<Link, CallError> {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL | libc::NLM_F_ACK;
    let message = Message::new(libc::RTM_NEWLINK, flags, pair_body(pair), "create link", pair.name);
    socket.send(&[message])?;
    let raised = raise_host_end(socket, pair);
    if raised.is_err() {
        let _ = delete(socket, pair.name);
    }
    raised
}

/// Deletes a link, and with it its peer; false when there is none of that name.
pub fn delete(socket: &mut Socket, name: &str) -> Result<bool, CallError> {
    let body = Attributes::after(&link_header(0, 0)).text(libc::IFLA_IFNAME, name);
    match socket.send(&[Message::new(libc::RTM_DELLINK, libc::NLM_F_ACK, body, "delete link", name)]) {
        Ok(()) => Ok(true),
        Err(error) if error.errno() == libc::ENODEV => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes a link's address and the route that came with it away; false when there is no such link or address.
/// A link that dies with its namespace lingers for a while: without an address it is in nobody's way.
pub fn remove_address(
    socket: &mut Socket,
    name: &str,
    address: Ipv4Addr,
    prefix: u8,
) -> Result<bool, CallError> {
    let Some(link) = find(socket, name)? else { return Ok(false) };
    let body = address_body(link.index, address, prefix);
    let operand = format!("{address}/{prefix} of {name}");
    match socket.send(&[Message::new(libc::RTM_DELADDR, libc::NLM_F_ACK, body, "remove address", operand)]) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.errno(), libc::ENODEV | libc::EADDRNOTAVAIL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lists the IPv4 addresses of this namespace, each with the index of its link.
pub fn list_addresses(socket: &mut Socket) -> Result<Vec<(u32, Ipv4Addr)>, CallError> {
    let mut addresses = Vec::new();
    let flags = libc::NLM_F_DUMP | libc::NLM_F_ACK;
    let body = Attributes::after(&[IPV4, 0, 0, 0, 0, 0, 0, 0]);
    socket.query(Message::new(libc::RTM_GETADDR, flags, body, "list addresses", "IPv4"), |_, body| {
        addresses.extend(read_address(body));
    })?;
    Ok(addresses)
}

/// Changes the note on a link.
pub fn set_alias(socket: &mut Socket, name: &str, alias: &str) -> Result<(), CallError> {
    let body =
        Attributes::after(&link_header(0, 0)).text(libc::IFLA_IFNAME, name).text(libc::IFLA_IFALIAS, alias);
    socket.send(&[Message::new(libc::RTM_SETLINK, libc::NLM_F_ACK, body, "set alias of", name)])
}

/// Finds a link by name.
pub fn find(socket: &mut Socket, name: &str) -> Result<Option<Link>, CallError> {
    let body = Attributes::after(&link_header(0, 0)).text(libc::IFLA_IFNAME, name);
    query_one(socket, body, name)
}

/// Lists the links whose name starts with `prefix`.
pub fn list(socket: &mut Socket, prefix: &str) -> Result<Vec<Link>, CallError> {
    let skip_statistics = u32::try_from(libc::RTEXT_FILTER_SKIP_STATS).unwrap_or_default();
    let body = Attributes::after(&link_header(0, 0)).number(libc::IFLA_EXT_MASK, skip_statistics);
    let flags = libc::NLM_F_DUMP | libc::NLM_F_ACK;
    let mut links = Vec::new();
    socket.query(Message::new(libc::RTM_GETLINK, flags, body, "list links", prefix), |_, body| {
        links.extend(read_link(body).filter(|link| link.name.starts_with(prefix)));
    })?;
    Ok(links)
}

/// Returns the largest packet of the link that the default route leads to; `None` without a default route.
pub fn default_route_mtu(socket: &mut Socket) -> Result<Option<u32>, CallError> {
    let mut header = [0_u8; ROUTE_HEADER_BYTES];
    header[0] = IPV4;
    let flags = libc::NLM_F_DUMP | libc::NLM_F_ACK;
    let body = Attributes::after(&header);
    let mut best: Option<(u32, u32)> = None;
    socket.query(Message::new(libc::RTM_GETROUTE, flags, body, "list routes", "IPv4"), |_, body| {
        best = read_default_route(body).into_iter().chain(best).min();
    })?;
    let Some((_, index)) = best else { return Ok(None) };
    let link = query_one(socket, Attributes::after(&link_header(index, 0)), &index.to_string())?;
    Ok(link.map(|link| link.mtu_bytes))
}

/// Brings up the loopback device and the end inside the calling thread's namespace: address, then default route.
/// Needs `CAP_NET_ADMIN` over the namespace, so it is called before privileges are dropped. It gives out no IPv6
/// address other than loopback's. Blocks, and starts no thread.
pub fn configure_inside(socket: &mut Socket, inside: &Inside<'_>) -> Result<(), CallError> {
    let up = libc::IFF_UP.cast_unsigned();
    let body = Attributes::after(&link_header(LOOPBACK_INDEX, up));
    socket.send(&[Message::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, body, "raise link", "lo")])?;
    let Some(link) = find(socket, inside.name)? else {
        let source = std::io::Error::from_raw_os_error(libc::ENODEV);
        return Err(CallError { call: "find link", operand: inside.name.to_owned(), source });
    };
    refuse_ipv6(socket, link.index, inside.name)?;
    let raise = Attributes::after(&link_header(link.index, up));
    let route = Attributes::after(&default_route_header())
        .bytes(libc::RTA_GATEWAY, &inside.gateway.octets())
        .number(libc::RTA_OIF, link.index);
    let create = libc::NLM_F_CREATE | libc::NLM_F_EXCL | libc::NLM_F_ACK;
    let gateway = inside.gateway.to_string();
    socket.send(&[
        Message::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, raise, "raise link", inside.name),
        address_message(link.index, inside.name, inside.address, inside.prefix),
        Message::new(libc::RTM_NEWROUTE, create, route, "add default route", gateway),
    ])
}

fn pair_body(pair: &Pair<'_>) -> Attributes {
    // One queue each: left alone the kernel makes one per processor, megabytes per sandbox on a large host.
    let mut peer = Attributes::after(&link_header(0, 0))
        .text(libc::IFLA_IFNAME, pair.peer_name)
        .number(libc::IFLA_MTU, pair.mtu_bytes)
        .number(libc::IFLA_NUM_TX_QUEUES, 1)
        .number(libc::IFLA_NUM_RX_QUEUES, 1);
    peer = match pair.peer_namespace {
        Namespace::OfProcess(pid) => peer.number(libc::IFLA_NET_NS_PID, pid.cast_unsigned()),
        Namespace::Open(descriptor) => {
            peer.number(libc::IFLA_NET_NS_FD, descriptor.as_raw_fd().cast_unsigned())
        }
    };
    let kind = Attributes::new()
        .text(libc::IFLA_INFO_KIND, "veth")
        .nested(libc::IFLA_INFO_DATA, &Attributes::new().nested(PEER, &peer));
    Attributes::after(&link_header(0, 0))
        .text(libc::IFLA_IFNAME, pair.name)
        .number(libc::IFLA_MTU, pair.mtu_bytes)
        .number(libc::IFLA_NUM_TX_QUEUES, 1)
        .number(libc::IFLA_NUM_RX_QUEUES, 1)
        .nested(libc::IFLA_LINKINFO, &kind)
}

fn raise_host_end(socket: &mut Socket, pair: &Pair<'_>) -> Result<Link, CallError> {
    let Some(link) = find(socket, pair.name)? else {
        let source = std::io::Error::from_raw_os_error(libc::ENODEV);
        return Err(CallError { call: "find link", operand: pair.name.to_owned(), source });
    };
    refuse_ipv6(socket, link.index, pair.name)?;
    let settings = HOST_END_SETTINGS
        .iter()
        .fold(Attributes::new(), |settings, (number, value)| settings.number(*number, *value));
    let ipv4 = Attributes::new().nested(u16::from(IPV4), &Attributes::new().nested(IPV4_SETTINGS, &settings));
    // The kernel does not take the alias of a link that it creates, only of one that it changes.
    let body = Attributes::after(&link_header(link.index, libc::IFF_UP.cast_unsigned()))
        .text(libc::IFLA_IFALIAS, pair.alias)
        .nested(libc::IFLA_AF_SPEC, &ipv4);
    socket.send(&[
        Message::new(libc::RTM_SETLINK, libc::NLM_F_ACK, body, "raise link", pair.name),
        address_message(link.index, pair.name, pair.address, pair.prefix),
    ])?;
    Ok(link)
}

/// Keeps a link that is still down from getting a link-local IPv6 address when it comes up.
fn refuse_ipv6(socket: &mut Socket, index: u32, name: &str) -> Result<(), CallError> {
    let mode = Attributes::new().bytes(IPV6_ADDRESS_MODE, &[IPV6_ADDRESS_MODE_NONE]);
    let family = u16::try_from(libc::AF_INET6).unwrap_or_default();
    let body = Attributes::after(&link_header(index, 0))
        .nested(libc::IFLA_AF_SPEC, &Attributes::new().nested(family, &mode));
    match socket.send(&[Message::new(libc::RTM_SETLINK, libc::NLM_F_ACK, body, "refuse IPv6 on", name)]) {
        // A kernel without IPv6 has nothing to refuse.
        Err(error) if error.errno() == libc::EAFNOSUPPORT => Ok(()),
        result => result,
    }
}

fn address_message(index: u32, name: &str, address: Ipv4Addr, prefix: u8) -> Message {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL | libc::NLM_F_ACK;
    let body = address_body(index, address, prefix);
    Message::new(libc::RTM_NEWADDR, flags, body, "add address", format!("{address}/{prefix} to {name}"))
}

fn address_body(index: u32, address: Ipv4Addr, prefix: u8) -> Attributes {
    let mut header = Vec::with_capacity(ADDRESS_HEADER_BYTES);
    header.extend_from_slice(&[IPV4, prefix, 0, libc::RT_SCOPE_UNIVERSE]);
    header.extend_from_slice(&index.to_ne_bytes());
    Attributes::after(&header)
        .bytes(libc::IFA_LOCAL, &address.octets())
        .bytes(libc::IFA_ADDRESS, &address.octets())
}

fn query_one(socket: &mut Socket, body: Attributes, operand: &str) -> Result<Option<Link>, CallError> {
    let mut found = None;
    let message = Message::new(libc::RTM_GETLINK, libc::NLM_F_ACK, body, "find link", operand);
    match socket.query(message, |_, body| found = read_link(body)) {
        Err(error) if error.errno() == libc::ENODEV => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok(found),
    }
}

fn read_link(body: &[u8]) -> Option<Link> {
    let index = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
    let attributes = attribute::read(body, LINK_HEADER_BYTES);
    Some(Link {
        index,
        name: attributes.find_text(libc::IFLA_IFNAME)?,
        alias: attributes.find_text(libc::IFLA_IFALIAS).unwrap_or_default(),
        mtu_bytes: attributes.find_number(libc::IFLA_MTU)?,
    })
}

fn read_address(body: &[u8]) -> Option<(u32, Ipv4Addr)> {
    let index = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
    let octets: [u8; 4] =
        *attribute::read(body, ADDRESS_HEADER_BYTES).find(libc::IFA_LOCAL)?.first_chunk()?;
    Some((index, Ipv4Addr::from(octets)))
}

/// Reads a route's priority and link when it is a default route of the main table.
fn read_default_route(body: &[u8]) -> Option<(u32, u32)> {
    let [_, destination_bits, _, _, table, _, _, kind] = *body.first_chunk::<8>()?;
    if destination_bits != 0 || table != libc::RT_TABLE_MAIN || kind != libc::RTN_UNICAST {
        return None;
    }
    let attributes = attribute::read(body, ROUTE_HEADER_BYTES);
    let first_hop = || {
        let hops = attributes.find(libc::RTA_MULTIPATH)?;
        hops.get(4..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    };
    let link = attributes.find_number(libc::RTA_OIF).or_else(first_hop)?;
    Some((attributes.find_number(libc::RTA_PRIORITY).unwrap_or_default(), link))
}

/// `struct ifinfomsg`: the link's number, or 0 for "by name", and the flags to raise.
fn link_header(index: u32, raised: u32) -> [u8; LINK_HEADER_BYTES] {
    let mut header = [0; LINK_HEADER_BYTES];
    let fields = [0, index, raised, raised];
    for (place, field) in header.chunks_exact_mut(4).zip(fields) {
        place.copy_from_slice(&field.to_ne_bytes());
    }
    header
}

/// `struct rtmsg` of a default route in the main table.
const fn default_route_header() -> [u8; ROUTE_HEADER_BYTES] {
    let main = libc::RT_TABLE_MAIN;
    [IPV4, 0, 0, 0, main, libc::RTPROT_STATIC, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST, 0, 0, 0, 0]
}
