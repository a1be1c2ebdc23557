//! What the host itself must be like: the pool free, and routing between links on (ip-sysctl).

use std::net::Ipv4Addr;

use linux::errno::CallError;
use linux::link;
use linux::netlink::{Family, Socket};
use types::network::Ipv4Network;

use crate::net::error::NetError;

/// Switches routing between links on, for this whole network namespace.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Refuses a pool that another link of the host has addresses of: its packets would go to sandboxes.
pub(super) fn require_free_pool(
    socket: &mut Socket,
    pool: Ipv4Network,
    prefix: &str,
) -> Result<(), NetError> {
    let list_error = |source| NetError::List { prefix: prefix.to_owned(), source };
    let addresses = link::list_addresses(socket).map_err(list_error)?;
    let inside: Vec<_> = addresses.into_iter().filter(|(_, address)| pool.contains(*address)).collect();
    if inside.is_empty() {
        return Ok(());
    }
    let links = link::list(socket, "").map_err(list_error)?;
    for (index, address) in inside {
        let owner = links.iter().find(|link| link.index == index);
        if let Some(owner) = owner.filter(|link| !link.name.starts_with(prefix)) {
            return Err(NetError::PoolTaken { pool, address, link: owner.name.clone() });
        }
    }
    Ok(())
}

/// Lists the host's own IPv4 addresses.
pub(super) fn addresses() -> Result<Vec<Ipv4Addr>, CallError> {
    let addresses = link::list_addresses(&mut Socket::open(Family::Route)?)?;
    Ok(addresses.into_iter().map(|(_, address)| address).collect())
}

/// Returns whether routing had to be switched on.
pub(super) fn enable_forwarding() -> Result<bool, NetError> {
    let failed = |source| NetError::Forwarding { source };
    if fs_err::read_to_string(FORWARDING).map_err(failed)?.trim() == "1" {
        return Ok(false);
    }
    fs_err::write(FORWARDING, "1").map_err(failed)?;
    Ok(true)
}
