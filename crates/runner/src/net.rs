//! A sandbox's link: an address, a way out through NAT, and the rules that hold it there.
//!
//! Each sandbox has a veth pair of its own whose host end is routed, not bridged: no two sandboxes share a wire.
//! Place `n` of the pool has addresses `2n` (host end, gateway) and `2n + 1` (sandbox) as a /31. A link is prepared
//! before its sandbox is known and passes nothing until a sandbox is admitted to it. All calls block.

mod range;
pub mod address;
pub mod attachment;
mod membership;
mod denied;
mod reason;
mod sets;
mod group;
mod policy;
mod error;
pub mod resolver;
mod ground;
mod docker;
mod ledger;
mod access;
mod pins;
mod place;
mod table;
mod rules;
mod keeper;
mod watch;
mod dns;
mod settings;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use linux::link::{self, Link};
use linux::netlink::{Family, Socket};
use linux::nflog::Listener;
use linux::nft::flow;
use rustix::io::Errno;
use types::egress::Egress;
use types::network::Ipv4Network;
use types::{Clock, Random, sandbox};

use address::{Names, PAIR_PREFIX, Pair};
pub use attachment::Attachment;
use attachment::NAME_INSIDE;
pub use denied::PolicyError;
use dns::Resolver;
pub use error::NetError;
use keeper::Keeper;
use ledger::{Ledger, Packets};
pub use membership::Membership;
use place::Place;
pub use place::Running;
use rules::Rules;
pub use settings::Settings;
use watch::Watch;

/// The largest packet where there is no default route to ask.
const ETHERNET_MTU_BYTES: u32 = 1500;

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

/// Listens to the first free group of reports; without one, says why none will be told.
fn listen(names: &Names) -> (Option<(u16, Listener)>, Option<String>) {
    const TRIED: u16 = 16;
    let first = names.log_group();
    let mut trouble = String::new();
    for group in (0..TRIED).map(|step| first.wrapping_add(step)) {
        match Listener::open(group) {
            Ok(listener) => return (Some((group, listener)), None),
            Err(error) => trouble = linux::errno::chain(&error),
        }
    }
    (None, Some(format!("refused packets are counted but not told one by one: {trouble}")))
}

/// Tells whether an instance could use a pool: no link of the host but its own has addresses of it.
pub fn is_free(pool: Ipv4Network, instance: &str) -> Result<bool, NetError> {
    let mut route = Socket::open(Family::Route).map_err(|source| NetError::Open { source })?;
    match ground::require_free_pool(&mut route, pool, &Names::of(instance).link_prefix) {
        Ok(()) => Ok(true),
        Err(NetError::PoolTaken { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the rules of an instance whose server is dead, unless it has links: without rules they would be open.
pub fn remove_rules(instance: &str) -> Result<(), NetError> {
    let open = |family| Socket::open(family).map_err(|source| NetError::Open { source });
    let names = Names::of(instance);
    let (mut route, mut filter) = (open(Family::Route)?, open(Family::Netfilter)?);
    if !links_of(&mut route, &names)?.is_empty() {
        return Ok(());
    }
    let failed = |source| NetError::Rules { table: names.table.clone(), source };
    docker::close_path(&mut filter, &names).map_err(failed)?;
    rules::delete_table(&mut filter, &names).map_err(failed)
}

/// Lists the links of an instance's sandboxes.
fn links_of(route: &mut Socket, names: &Names) -> Result<Vec<Link>, NetError> {
    let prefix = &names.link_prefix;
    link::list(route, prefix).map_err(|source| NetError::List { prefix: prefix.clone(), source })
}

/// The network of one server's sandboxes.
#[derive(Debug)]
pub struct Network {
    rules: Arc<Rules>,
    ledger: Arc<Ledger>,
    mtu_bytes: u32,
    route: Mutex<Socket>,
    report: Report,
    keeper: Keeper,
    resolver: Resolver,
    _watch: Option<Watch>,
    /// Whether the rules were taken off the host for good. Held while a link is made.
    removed: RwLock<bool>,
}

impl Network {
    /// Prepares the host: routing, rules with the elements of what runs, and no link of anything else. Threads of its
    /// own look after the rules, answer lookups and listen to reports until the network is dropped.
    pub fn open(
        settings: &Settings,
        running: &[Running],
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, NetError> {
        let open = |family| Socket::open(family).map_err(|source| NetError::Open { source });
        let (mut route, filter) = (open(Family::Route)?, open(Family::Netfilter)?);
        let names = Names::of(&settings.instance);
        ground::require_free_pool(&mut route, settings.pool, &names.link_prefix)?;
        let mtu_bytes = match settings.mtu_bytes {
            Some(mtu_bytes) => mtu_bytes,
            None => link::default_route_mtu(&mut route)
                .map_err(|source| NetError::Open { source })?
                .unwrap_or(ETHERNET_MTU_BYTES),
        };
        let (listener, deaf) = listen(&names);
        let policy = settings.policy(names, listener.as_ref().map(|(group, _)| *group))?;
        let places = running.iter().map(|running| {
            let Running { index, sandbox_id, policy, membership } = running.clone();
            (index, Place::new(sandbox_id, policy), membership)
        });
        let rules = Arc::new(Rules::new(policy, filter, clock.clone(), places));
        rules.adopt();
        // Rules first: nothing is forwarded that they have not seen.
        rules.install()?;
        let opened = docker::open_path(&mut rules.socket(), &rules.policy.names, rules.policy.resolver_port);
        let mut warnings = opened.map_err(|source| rules.error(source))?;
        warnings.extend(deaf);
        let ledger = Arc::new(Ledger::new(clock));
        let keeper = Keeper::start(rules.clone(), open(Family::Route)?)?;
        let watch = listener.map(|(_, listener)| Watch::start(listener, rules.clone(), ledger.clone()));
        let resolver = Resolver::start(rules.clone(), ledger.clone(), settings.servers(), random)?;
        let report = Report { warnings, ..Report::default() };
        let route = Mutex::new(route);
        let (watch, removed) = (watch.transpose()?, RwLock::new(false));
        let mut network =
            Self { rules, ledger, mtu_bytes, route, report, keeper, resolver, _watch: watch, removed };
        network.report.orphans_removed = network.remove_orphans()?;
        network.take_over()?;
        network.report.forwarding_enabled = ground::enable_forwarding()?;
        Ok(network)
    }

    /// Serves what runs already.
    fn take_over(&mut self) -> Result<(), NetError> {
        for link in self.links()? {
            if let Some(index) = self.rules.policy.names.place(&link.name) {
                self.rules.set_link(index, Some(link.index));
            }
        }
        for (index, policy) in self.rules.policies() {
            self.ledger.open(index);
            if policy.listed() || self.rules.is_linked(index) {
                // One that cannot be served resolves no name; that is no reason to keep the others waiting.
                let served = self.resolver.serve(index, self.rules.locate(index)?.1);
                self.report.warnings.extend(served.err().map(|error| linux::errno::chain(&error)));
            }
        }
        Ok(())
    }

    /// Returns what opening found and changed.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Returns why the rules are not in force as they should be; `None` when they are. A sentence for the log.
    pub fn trouble(&self) -> Option<String> {
        self.keeper.trouble()
    }

    /// Returns how many sandboxes have addresses.
    pub fn places(&self) -> u32 {
        address::capacity(self.rules.policy.pool)
    }

    /// Installs the rules anew, with the elements of exactly what runs.
    pub fn install(&self) -> Result<(), NetError> {
        self.rules.install()
    }

    /// Looks whether the rules are there and installs them anew when someone took them away; tells whether it had
    /// to. The network's own thread does this all the time.
    pub fn check(&self) -> Result<bool, NetError> {
        self.rules.check()
    }

    /// Gives the namespace of process `pid` the link of a free place, with its addresses, through which nothing
    /// passes. What was left of the place's last link is replaced; a failed attempt leaves nothing.
    pub fn prepare(&self, index: u32, pid: i32) -> Result<Attachment, NetError> {
        let (name, pair) = self.rules.locate(index)?;
        if let Some(owner) = self.rules.owner(index) {
            return Err(NetError::PlaceTaken { index, owner });
        }
        // Without rules a link would be open, so they must be there, and may not go before the link is listed.
        let removed = self.removed.read().unwrap_or_else(PoisonError::into_inner);
        if *removed {
            return Err(NetError::Removed { link: name });
        }
        self.rules.check()?;
        let link = self.create_link(&name, pair, pid)?;
        self.rules.set_link(index, Some(link.index));
        let Pair { host: gateway, sandbox: address } = pair;
        let mtu_bytes = self.mtu_bytes;
        Ok(Attachment { link_name: name, address, prefix: PAIR_PREFIX, gateway, mtu_bytes })
    }

    /// Puts a sandbox's policy in force in its place, at once and for open connections too: the first time, and
    /// whenever the policy changes. May be repeated.
    pub fn admit(&self, sandbox_id: &str, index: u32, policy: &sandbox::Network) -> Result<(), NetError> {
        let (name, pair) = self.rules.locate(index)?;
        let owner = self.rules.owner(index);
        if policy.listed() {
            self.resolver.serve(index, pair)?;
        }
        self.rules.admit(index, Place::new(sandbox_id.to_owned(), policy.clone()))?;
        if owner.is_none_or(|owner| owner != sandbox_id) {
            self.ledger.open(index);
            self.keeper.note(name, sandbox_id.to_owned());
        }
        Ok(())
    }

    /// Links an admitted sandbox with those of its group that are in their places, both ways, whatever their policies
    /// are. The links end when it is detached. May be repeated.
    pub fn join(&self, index: u32, membership: &Membership) -> Result<(), NetError> {
        self.rules.join(index, membership, |index, pair| self.resolver.serve(index, pair))
    }

    /// Tells what became of what the sandbox in a place sent and asked for since it was admitted; of the last one
    /// there when nobody is.
    pub fn egress(&self, index: u32) -> Result<Egress, NetError> {
        Ok(self.ledger.read(index, self.rules.packets(index)?))
    }

    /// Prepares and admits in one go; a failed attempt leaves nothing.
    pub fn attach(
        &self,
        sandbox_id: &str,
        index: u32,
        pid: i32,
        policy: &sandbox::Network,
    ) -> Result<Attachment, NetError> {
        if self.rules.owner(index).is_some_and(|owner| owner == sandbox_id) {
            self.detach(index)?;
        }
        let attachment = self.prepare(index, pid)?;
        if let Err(error) = self.admit(sandbox_id, index, policy) {
            let _ = self.detach(index);
            let _ = link::delete(&mut self.route(), &attachment.link_name);
            return Err(error);
        }
        Ok(attachment)
    }

    /// Makes the host's end of a link ready to send, called once the inside is configured. The kernel does that by
    /// itself, but on a busy host only after a moment in which answers to the sandbox are lost, and one lost answer
    /// costs the sandbox a second. Looking at the link makes the kernel (from 6.8 on) catch up first.
    pub fn settle(&self, attachment: &Attachment) -> Result<(), NetError> {
        let link = &attachment.link_name;
        let failed = |source| NetError::Link { action: "settle", link: link.clone(), source };
        link::find(&mut self.route(), link).map(|_| ()).map_err(failed)
    }

    /// Takes a place's rules and address back, whether it has them or not. Its link then passes nothing, and dies
    /// with its namespace: the kernel does that on its own time, some 20 ms that nobody has to wait for.
    pub fn detach(&self, index: u32) -> Result<(), NetError> {
        let (name, pair) = self.rules.locate(index)?;
        let packets: Option<Packets> = self.rules.packets(index).ok().flatten();
        let listed = self.rules.policy_of(index).is_some_and(|policy| policy.listed());
        let asks_us = listed || self.rules.is_linked(index);
        self.rules.withdraw(index)?;
        self.resolver.close(index);
        self.rules.set_link(index, None);
        // The kernel looks at its whole table of connections for it; who passed nothing has none there. Lookups
        // that we answer are connections to the host, which are not counted among the packets.
        let has_flows = asks_us || packets.is_none_or(|packets| packets.allowed > 0);
        if let Some(packets) = packets {
            self.ledger.close(index, packets);
        }
        let failed = |source| NetError::Link { action: "take the address of", link: name.clone(), source };
        link::remove_address(&mut self.route(), &name, pair.host, PAIR_PREFIX).map_err(failed)?;
        // The next sandbox with this address must not receive what was sent to this one.
        let failed =
            |source| NetError::Link { action: "forget the connections of", link: name.clone(), source };
        if has_flows {
            flow::forget_flows(&mut self.rules.socket(), pair.sandbox).map_err(failed)?;
        }
        Ok(())
    }

    /// Lists the links of this instance's sandboxes, also those that are about to die with their namespace.
    pub fn attached(&self) -> Result<Vec<String>, NetError> {
        Ok(self.links()?.into_iter().map(|link| link.name).collect())
    }

    /// Removes the rules from the host, for good; false, and nothing is done, while links remain: without rules
    /// they would be open. Not for an ordinary stop of the server, which sandboxes survive.
    pub fn remove(&self) -> Result<bool, NetError> {
        let mut removed = self.removed.write().unwrap_or_else(PoisonError::into_inner);
        if !self.links()?.is_empty() {
            return Ok(false);
        }
        docker::close_path(&mut self.rules.socket(), &self.rules.policy.names)
            .map_err(|source| self.rules.error(source))?;
        self.rules.remove()?;
        *removed = true;
        Ok(true)
    }

    fn create_link(&self, name: &str, pair: Pair, pid: i32) -> Result<Link, NetError> {
        let failed = |source| NetError::Link { action: "create", link: name.to_owned(), source };
        let wanted = link::Pair {
            name,
            alias: "",
            peer_name: NAME_INSIDE,
            peer_namespace: link::Namespace::OfProcess(pid),
            mtu_bytes: self.mtu_bytes,
            address: pair.host,
            prefix: PAIR_PREFIX,
        };
        let mut socket = self.route();
        match link::create_pair(&mut socket, &wanted) {
            // The place's last link, which dies with its namespace in a moment, or one of an attempt that was killed.
            Err(error) if error.errno() == Errno::EXIST.raw_os_error() => {
                link::delete(&mut socket, name).map_err(failed)?;
                link::create_pair(&mut socket, &wanted).map_err(failed)
            }
            result => result.map_err(failed),
        }
    }

    fn remove_orphans(&self) -> Result<Vec<String>, NetError> {
        let taken = self.rules.policies().into_iter();
        let kept: BTreeSet<String> = taken.map(|(index, _)| self.rules.policy.names.link(index)).collect();
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

    fn links(&self) -> Result<Vec<Link>, NetError> {
        links_of(&mut self.route(), &self.rules.policy.names)
    }

    fn route(&self) -> MutexGuard<'_, Socket> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
