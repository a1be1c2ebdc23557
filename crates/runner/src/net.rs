//! A sandbox's link: an address, a way out through NAT, and the rules that hold it there.
//!
//! Each sandbox has a veth pair of its own whose host end is routed, not bridged: no two sandboxes share a wire.
//! Index `n` of the pool has addresses `2n` (host end, gateway) and `2n + 1` (sandbox) as a /31. A link exists only
//! after its rules do; a link without rules of its own passes nothing. All calls block.

pub mod subnet;
pub mod address;
mod policy;
mod error;
pub mod resolver;
mod ground;
mod docker;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use linux::errno::CallError;
use linux::link::{self, Inside, Link};
use linux::netlink::{Family, Socket};
use linux::nft::set::Element;
use linux::nft::{self, Transaction, flow};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use address::{Names, PAIR_PREFIX, Pair};
pub use error::NetError;
pub use policy::PolicyError;
use policy::{MEMBERS, Policy};
use subnet::Subnet;

/// What every link inside is called.
const NAME_INSIDE: &str = "eth0";
/// The largest packet where there is no default route to ask.
const ETHERNET_MTU_BYTES: u32 = 1500;
/// How the kernel says that a chain or a set cannot be renewed, because it exists and is of another kind.
const OTHER_VERSION: [Errno; 4] = [Errno::EXIST, Errno::BUSY, Errno::INVAL, Errno::OPNOTSUPP];

/// What the network is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tells two servers on one machine apart: names the table and the links. Two instances need two pools.
    pub instance: String,
    /// The addresses of all links; in use nowhere else.
    pub pool: Subnet,
    /// Largest packet; `None` takes that of the link behind the default route.
    pub mtu_bytes: Option<u32>,
    /// Destinations that sandboxes may reach although they are denied.
    pub allowed: Vec<Subnet>,
    /// Destinations that sandboxes may not reach, besides those of `policy/egress.json`.
    pub denied: Vec<Subnet>,
    /// Name servers that sandboxes may ask on port 53, wherever they are.
    pub resolvers: Vec<Ipv4Addr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            instance: String::new(),
            pool: Subnet::around(Ipv4Addr::new(10, 210, 0, 0), 16),
            mtu_bytes: None,
            allowed: Vec::new(),
            denied: Vec::new(),
            resolvers: Vec::new(),
        }
    }
}

/// A sandbox that runs already when the network is opened.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its id.
    pub sandbox_id: String,
    /// Its place in the pool.
    pub index: u32,
    /// Whether everything of it is blocked.
    pub block_all: bool,
}

/// A sandbox's end of its link, as its first process needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The host's end.
    pub link_name: String,
    /// The address inside.
    pub address: Ipv4Addr,
    /// Length of its network's prefix.
    pub prefix: u8,
    /// The host's end, through which everything is reached.
    pub gateway: Ipv4Addr,
    /// Largest packet.
    pub mtu_bytes: u32,
}

impl Attachment {
    /// Brings up loopback and the link, called inside by the sandbox's first process while it still may.
    pub fn configure_inside(&self) -> Result<(), CallError> {
        let Self { address, prefix, gateway, .. } = *self;
        let mut socket = Socket::open(Family::Route)?;
        link::configure_inside(&mut socket, &Inside { name: NAME_INSIDE, address, prefix, gateway })
    }
}

/// What opening found and changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether routing between links was off on this host and is on now.
    pub forwarding_enabled: bool,
    /// Links of sandboxes that do not run, removed.
    pub orphans_removed: Vec<String>,
    /// What will keep sandboxes from reaching anything and is not ours to change; one sentence each.
    pub warnings: Vec<String>,
}

/// Tells whether an instance could use a pool: no link of the host but its own has addresses of it.
pub fn is_free(pool: Subnet, instance: &str) -> Result<bool, NetError> {
    let mut route = Socket::open(Family::Route).map_err(|source| NetError::Open { source })?;
    match ground::require_free_pool(&mut route, pool, &Names::of(instance).link_prefix) {
        Ok(()) => Ok(true),
        Err(NetError::PoolTaken { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The network of one server's sandboxes.
#[derive(Debug)]
pub struct Network {
    policy: Policy,
    mtu_bytes: u32,
    route: Mutex<Socket>,
    filter: Mutex<Socket>,
    report: Report,
}

impl Network {
    /// Prepares the host: routing, rules with the elements of what runs, and no link of anything else.
    pub fn open(settings: &Settings, running: &[Running]) -> Result<Self, NetError> {
        let mut denied = policy::denied_by_default().map_err(|source| NetError::Policy { source })?;
        denied.extend(&settings.denied);
        let policy = Policy {
            names: Names::of(&settings.instance),
            pool: settings.pool,
            allowed: settings.allowed.clone(),
            denied,
            resolvers: settings.resolvers.iter().copied().collect::<BTreeSet<_>>().into_iter().collect(),
        };
        let open = |family| Socket::open(family).map_err(|source| NetError::Open { source });
        let (mut route, filter) = (open(Family::Route)?, open(Family::Netfilter)?);
        ground::require_free_pool(&mut route, policy.pool, &policy.names.link_prefix)?;
        let mtu_bytes = match settings.mtu_bytes {
            Some(mtu_bytes) => mtu_bytes,
            None => link::default_route_mtu(&mut route)
                .map_err(|source| NetError::Open { source })?
                .unwrap_or(ETHERNET_MTU_BYTES),
        };
        let (route, filter, report) = (Mutex::new(route), Mutex::new(filter), Report::default());
        let mut network = Self { policy, mtu_bytes, route, filter, report };
        // Rules first: nothing is forwarded that they have not seen.
        network.install(running)?;
        let opened = docker::open_path(&mut network.filter(), &network.policy.names);
        network.report.warnings = opened.map_err(|source| network.rules_error(source))?;
        network.report.orphans_removed = network.remove_orphans(running)?;
        network.report.forwarding_enabled = ground::enable_forwarding()?;
        Ok(network)
    }

    /// Returns what opening found and changed.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Returns how many sandboxes have addresses.
    pub fn places(&self) -> u32 {
        address::capacity(self.policy.pool)
    }

    /// Installs the rules anew, as when someone flushed them, with the elements of exactly what runs.
    pub fn install(&self, running: &[Running]) -> Result<(), NetError> {
        let mut members = Vec::with_capacity(running.len());
        for sandbox in running {
            let (name, pair) = self.locate(&sandbox.sandbox_id, sandbox.index)?;
            if !sandbox.block_all {
                members.push(Element::LinkAndAddress(name, pair.sandbox));
            }
        }
        let install = |in_place| self.policy.install(&members, in_place).commit(&mut self.filter());
        let installed = match install(true) {
            Err(error) if OTHER_VERSION.map(Errno::raw_os_error).contains(&error.errno()) => install(false),
            result => result,
        };
        installed.map_err(|source| self.rules_error(source))
    }

    /// Gives the namespace of process `pid` a link, under rules from its first packet on. What an earlier attempt
    /// for the same sandbox left is replaced; a failed attempt leaves nothing.
    pub fn attach(
        &self,
        sandbox_id: &str,
        index: u32,
        pid: i32,
        block_all: bool,
    ) -> Result<Attachment, NetError> {
        let (name, pair) = self.locate(sandbox_id, index)?;
        self.admit("make rules for", &name, pair, !block_all)?;
        if let Err(error) = self.create_link(sandbox_id, &name, pair, pid) {
            let _ = self.admit("remove the rules of", &name, pair, false);
            return Err(error);
        }
        let Pair { host: gateway, sandbox: address } = pair;
        let mtu_bytes = self.mtu_bytes;
        Ok(Attachment { link_name: name, address, prefix: PAIR_PREFIX, gateway, mtu_bytes })
    }

    /// Makes the host's end of a link ready to send, called once the inside is configured. The kernel does that by
    /// itself, but on a busy host only after a moment in which answers to the sandbox are lost, and one lost answer
    /// costs the sandbox a second. Looking at the link makes the kernel (from 6.8 on) catch up first.
    pub fn settle(&self, attachment: &Attachment) -> Result<(), NetError> {
        let link = &attachment.link_name;
        let failed = |source| NetError::Link { action: "settle", link: link.clone(), source };
        link::find(&mut self.route(), link).map(|_| ()).map_err(failed)
    }

    /// Takes a sandbox's rules and address back, whether it has them or not. Its link then passes nothing, and dies
    /// with its namespace: the kernel does that on its own time, some 20 ms that nobody has to wait for.
    pub fn detach(&self, sandbox_id: &str, index: u32) -> Result<(), NetError> {
        let (name, pair) = self.locate(sandbox_id, index)?;
        self.admit("remove the rules of", &name, pair, false)?;
        let failed = |source| NetError::Link { action: "take the address of", link: name.clone(), source };
        link::remove_address(&mut self.route(), &name, pair.host, PAIR_PREFIX).map_err(failed)?;
        // The next sandbox with this address must not receive what was sent to this one.
        let failed =
            |source| NetError::Link { action: "forget the connections of", link: name.clone(), source };
        flow::forget_flows(&mut self.filter(), pair.sandbox).map_err(failed)?;
        Ok(())
    }

    /// Shuts or opens a sandbox's network at once, open connections included. May be repeated.
    pub fn set_block_all(&self, sandbox_id: &str, index: u32, block_all: bool) -> Result<(), NetError> {
        let (name, pair) = self.locate(sandbox_id, index)?;
        self.admit("change the rules of", &name, pair, !block_all)
    }

    /// Lists the links of this instance's sandboxes, also those that are about to die with their namespace.
    pub fn attached(&self) -> Result<Vec<String>, NetError> {
        Ok(self.links()?.into_iter().map(|link| link.name).collect())
    }

    /// Removes the rules from the host, for good; false, and nothing is done, while links remain: without rules
    /// they would be open. Not for an ordinary stop of the server, which sandboxes survive.
    pub fn remove(&self) -> Result<bool, NetError> {
        if !self.links()?.is_empty() {
            return Ok(false);
        }
        docker::close_path(&mut self.filter(), &self.policy.names)
            .map_err(|source| self.rules_error(source))?;
        let mut transaction = Transaction::of(nft::Family::Inet, &self.policy.names.table);
        transaction.create_table(); // so that it is no error when someone flushed it
        transaction.delete_table();
        transaction.commit(&mut self.filter()).map_err(|source| self.rules_error(source))?;
        Ok(true)
    }

    fn create_link(&self, sandbox_id: &str, name: &str, pair: Pair, pid: i32) -> Result<(), NetError> {
        let failed = |source| NetError::Link { action: "create", link: name.to_owned(), source };
        let wanted = link::Pair {
            name,
            alias: sandbox_id,
            peer_name: NAME_INSIDE,
            peer_namespace: link::Namespace::OfProcess(pid),
            mtu_bytes: self.mtu_bytes,
            address: pair.host,
            prefix: PAIR_PREFIX,
        };
        let mut socket = self.route();
        match link::create_pair(&mut socket, &wanted) {
            Err(error) if error.errno() == Errno::EXIST.raw_os_error() => {}
            result => return result.map(|_| ()).map_err(failed),
        }
        // One of this sandbox's earlier lives, or of an attempt that was killed before it could write the alias.
        let owner = link::find(&mut socket, name).map_err(failed)?.map(|link| link.alias).unwrap_or_default();
        if !owner.is_empty() && owner != sandbox_id {
            return Err(NetError::NameTaken { link: name.to_owned(), owner });
        }
        link::delete(&mut socket, name).map_err(failed)?;
        link::create_pair(&mut socket, &wanted).map(|_| ()).map_err(failed)
    }

    /// Lets a link's packets pass, or none of them.
    fn admit(&self, action: &'static str, name: &str, pair: Pair, admitted: bool) -> Result<(), NetError> {
        let member = [Element::LinkAndAddress(name.to_owned(), pair.sandbox)];
        let mut transaction = Transaction::of(nft::Family::Inet, &self.policy.names.table);
        if admitted {
            transaction.add_elements(MEMBERS, &member);
        } else {
            transaction.remove_elements(MEMBERS, &member);
        }
        let failed = |source| NetError::Link { action, link: name.to_owned(), source };
        transaction.commit(&mut self.filter()).map_err(failed)
    }

    fn remove_orphans(&self, running: &[Running]) -> Result<Vec<String>, NetError> {
        let kept: BTreeSet<String> =
            running.iter().filter_map(|sandbox| self.policy.names.link(&sandbox.sandbox_id)).collect();
        let mut removed = Vec::new();
        for Link { name, .. } in self.links()? {
            if !kept.contains(&name) {
                link::delete(&mut self.route(), &name).map_err(|source| NetError::Link {
                    action: "remove",
                    link: name.clone(),
                    source,
                })?;
                removed.push(name);
            }
        }
        Ok(removed)
    }

    fn locate(&self, sandbox_id: &str, index: u32) -> Result<(String, Pair), NetError> {
        let pool = self.policy.pool;
        let pair = address::pair(pool, index).ok_or(NetError::NoPlace { index, pool })?;
        let name = self.policy.names.link(sandbox_id);
        Ok((name.ok_or_else(|| NetError::NoName { sandbox_id: sandbox_id.to_owned() })?, pair))
    }

    fn links(&self) -> Result<Vec<Link>, NetError> {
        let prefix = &self.policy.names.link_prefix;
        link::list(&mut self.route(), prefix)
            .map_err(|source| NetError::List { prefix: prefix.clone(), source })
    }

    fn rules_error(&self, source: CallError) -> NetError {
        NetError::Rules { table: self.policy.names.table.clone(), source }
    }

    fn route(&self) -> MutexGuard<'_, Socket> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn filter(&self) -> MutexGuard<'_, Socket> {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
