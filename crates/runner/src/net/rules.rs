//! The rules in force: what the kernel was told, remembered so that it can be told again.
//!
//! Two locks, always taken in this order: what is remembered, then the socket. A change is remembered only after the
//! kernel took it, so that a rebuilt table is what was there before.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use linux::errno::CallError;
use linux::netlink::Socket;
use linux::nft::flow;
use linux::nft::inspect;
use linux::nft::rule::Transport;
use linux::nft::{Family, Transaction};
use rustix::io::Errno;
use types::{Clock, sandbox};

use crate::net::access::Wire;
use crate::net::address::{self, Names, Pair};
use crate::net::error::NetError;
use crate::net::group;
use crate::net::ledger::Packets;
use crate::net::membership::{Groups, Membership};
use crate::net::place::Place;
use crate::net::policy::{DOMAIN_PORT, Policy};
use crate::net::table::{self, Left};

mod linking;
mod upkeep;

/// How the kernel says that a chain or a set cannot be renewed, because it exists and is of another kind.
const OTHER_VERSION: [Errno; 4] = [Errno::EXIST, Errno::BUSY, Errno::INVAL, Errno::OPNOTSUPP];

/// The table of one instance.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) policy: Policy,
    clock: Arc<dyn Clock>,
    socket: Mutex<Socket>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    places: BTreeMap<u32, Place>,
    /// Who of them is linked with whom.
    groups: Groups,
    /// Which place each link is of, by the link's number. Numbers are not used again, names are.
    links: HashMap<u32, u32>,
    /// The table as it was left.
    left: Option<Left>,
    /// Whether the table was taken off the host for good.
    removed: bool,
}

/// Takes an instance's table off the host, whether it is there or not.
pub(super) fn delete_table(socket: &mut Socket, names: &Names) -> Result<(), CallError> {
    let mut transaction = Transaction::of(Family::Inet, &names.table);
    transaction.create_table(); // so that it is no error when someone flushed it
    transaction.delete_table();
    transaction.commit(socket)
}

impl Rules {
    /// Remembers what runs; nothing is in force before [`Rules::install`].
    pub(super) fn new(
        policy: Policy,
        socket: Socket,
        clock: Arc<dyn Clock>,
        running: impl Iterator<Item = (u32, Place, Membership)>,
    ) -> Self {
        let mut state = State::default();
        for (index, place, membership) in running {
            state.groups.join(index, &place.sandbox_id, &membership);
            state.places.insert(index, place);
        }
        Self { policy, clock, socket: Mutex::new(socket), state: Mutex::new(state) }
    }

    /// Returns the link and the addresses of a place.
    pub(super) fn locate(&self, index: u32) -> Result<(String, Pair), NetError> {
        let pool = self.policy.pool;
        let pair = address::pair(pool, index).ok_or(NetError::NoPlace { index, pool })?;
        Ok((self.policy.names.link(index), pair))
    }

    fn wire(&self, index: u32) -> Result<Wire, NetError> {
        let (link, pair) = self.locate(index)?;
        Ok(Wire { index, link, address: pair.sandbox })
    }

    /// Remembers which link is a place's; `None` when it has none any more.
    pub(super) fn set_link(&self, index: u32, link: Option<u32>) {
        let mut state = self.state();
        state.links.retain(|_, place| *place != index);
        state.links.extend(link.map(|link| (link, index)));
    }

    /// Finds the place of a link.
    pub(super) fn place_of(&self, link: u32) -> Option<u32> {
        self.state().links.get(&link).copied()
    }

    /// Returns the policy in force in a place.
    pub(super) fn policy_of(&self, index: u32) -> Option<Arc<sandbox::Network>> {
        self.state().places.get(&index).map(|place| place.policy.clone())
    }

    /// Tells for which name of a sandbox an address was given out lately.
    pub(super) fn name_of(&self, index: u32, address: Ipv4Addr) -> Option<String> {
        self.state().places.get(&index).and_then(|place| place.pins.name_of(address))
    }

    /// Returns the sandbox whose policy is in force in a place.
    pub(super) fn owner(&self, index: u32) -> Option<String> {
        self.state().places.get(&index).map(|place| place.sandbox_id.clone())
    }

    /// Returns the policies in force, place by place.
    pub(super) fn policies(&self) -> Vec<(u32, Arc<sandbox::Network>)> {
        self.state().places.iter().map(|(index, place)| (*index, place.policy.clone())).collect()
    }

    /// Takes over what an earlier run left in the table: counters, and pinned addresses whose names are on the list
    /// still. A table that is not there, or of another version, has none of it.
    pub(super) fn adopt(&self) {
        let now_ms = self.now_ms();
        let pinned = table::pinned(&mut self.socket(), &self.policy);
        let mut state = self.state();
        for (index, pinned) in pinned {
            if let Some(place) = state.places.get_mut(&index).filter(|place| place.lists(&pinned.name)) {
                place.pins.adopt(&pinned, now_ms);
            }
        }
        self.look_at_counters(&mut state);
    }

    /// Reads all counters, which are lost with the table.
    fn look_at_counters(&self, state: &mut State) {
        for (index, packets) in table::counters(&mut self.socket(), &self.policy) {
            if let Some(place) = state.places.get_mut(&index) {
                place.last_seen = place.last_seen.or(packets);
            }
        }
    }

    /// Returns what was counted in a place; `None` when nobody is there.
    pub(super) fn packets(&self, index: u32) -> Result<Option<Packets>, NetError> {
        let (link, _) = self.locate(index)?;
        let mut state = self.state();
        let Some(place) = state.places.get_mut(&index) else { return Ok(None) };
        let counted = table::counters_of(&mut self.socket(), &self.policy, &link);
        for packets in counted.map_err(|source| self.error(source))? {
            place.last_seen = place.last_seen.or(packets);
        }
        Ok(Some(place.counted.plus(place.last_seen)))
    }

    /// Installs everything anew, with the elements of what is remembered.
    pub(super) fn install(&self) -> Result<(), NetError> {
        self.install_state(&mut self.state())
    }

    fn install_state(&self, state: &mut State) -> Result<(), NetError> {
        self.look_at_counters(state);
        let leftover = self.find_stale(state)?;
        let groups = state.groups.numbers();
        let now_ms = self.now_ms();
        let mut wires = Vec::with_capacity(state.places.len());
        for (index, place) in &mut state.places {
            let group = state.groups.number(*index);
            wires.push((self.wire(*index)?, place.policy.clone(), group, place.pins.left(now_ms)));
        }
        let install = |in_place| {
            let behind = |transaction: &mut Transaction| {
                for number in &groups {
                    group::open(transaction, *number);
                }
                for (wire, policy, group, pins) in &wires {
                    wire.grant(transaction, policy, *group);
                    wire.pin(transaction, pins);
                }
            };
            self.policy.install(in_place, &leftover, behind).commit(&mut self.socket())
        };
        let installed = match install(true) {
            Err(error) if OTHER_VERSION.map(Errno::raw_os_error).contains(&error.errno()) => install(false),
            result => result,
        };
        installed.map_err(|source| self.error(source))?;
        for place in state.places.values_mut() {
            place.counted = place.counted.plus(std::mem::take(&mut place.last_seen));
        }
        state.left = Some(self.look_at_table()?);
        Ok(())
    }

    fn look_at_table(&self) -> Result<Left, NetError> {
        table::look(&mut self.socket(), &self.policy).map_err(|source| self.error(source))
    }

    /// Looks whether the table is as it was left, and installs it anew when it is not; tells whether it had to.
    pub(super) fn check(&self) -> Result<bool, NetError> {
        let mut state = self.state();
        if state.removed {
            return Ok(false);
        }
        let generation = inspect::generation(&mut self.socket()).map_err(|source| self.error(source))?;
        if state.left.as_ref().is_some_and(|left| left.generation == generation) {
            return Ok(false);
        }
        let found = self.look_at_table()?;
        let same = state.left.as_ref().is_some_and(|left| left.rules == found.rules);
        if same && self.has_all_elements(&state) {
            state.left = Some(found);
            return Ok(false);
        }
        self.install_state(&mut state)?;
        Ok(true)
    }

    /// Puts a sandbox's policy in force in its place. Addresses that were pinned for names that are listed no more
    /// go at once.
    pub(super) fn admit(&self, index: u32, mut place: Place) -> Result<(), NetError> {
        let wire = self.wire(index)?;
        let mut state = self.state();
        let before = state.places.get(&index).cloned();
        let old_policy = before.as_ref().map(|before| before.policy.clone());
        let stranger = before.as_ref().is_some_and(|before| before.sandbox_id != place.sandbox_id);
        if stranger {
            self.leave(&mut state, index)?;
        }
        let group = state.groups.number(index);
        let gone = before.map(|before| place.inherit(before)).unwrap_or_default();
        let fill = |transaction: &mut Transaction| {
            if old_policy.is_some() {
                wire.revoke(transaction, old_policy.as_deref(), group);
                wire.unpin(transaction, &gone);
            }
            if stranger {
                wire.forget(transaction);
            }
            wire.grant(transaction, &place.policy, group);
        };
        self.commit(&mut state, "put the rules in force for", &wire, fill)?;
        let listed = place.policy.listed();
        state.places.insert(index, place);
        // A sandbox that was not here has asked nothing yet.
        if old_policy.is_some_and(|before| before.listed() != listed) {
            self.forget_questions(&wire)?;
        }
        Ok(())
    }

    /// Has questions that are on their way to a name server take the other way from now on.
    fn forget_questions(&self, wire: &Wire) -> Result<(), NetError> {
        for transport in [Transport::Udp, Transport::Tcp] {
            let forgotten = flow::forget_flows_to(&mut self.socket(), wire.address, transport, DOMAIN_PORT);
            forgotten.map_err(|source| NetError::Link {
                action: "forget the questions of",
                link: wire.link.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// Takes everything back that was in force in a place, whether there was anything or not.
    pub(super) fn withdraw(&self, index: u32) -> Result<(), NetError> {
        let wire = self.wire(index)?;
        let now_ms = self.now_ms();
        let mut state = self.state();
        self.leave(&mut state, index)?;
        let place = state.places.get_mut(&index);
        let pins = place.map(|place| place.pins.left(now_ms)).unwrap_or_default();
        let policy = state.places.get(&index).map(|place| place.policy.clone());
        let fill = |transaction: &mut Transaction| {
            wire.revoke(transaction, policy.as_deref(), None);
            wire.unpin(transaction, &pins);
            wire.forget(transaction);
        };
        self.commit(&mut state, "remove the rules of", &wire, fill)?;
        state.places.remove(&index);
        Ok(())
    }

    /// Lets a sandbox's connections go to addresses that a name on its list has; false when the name is listed no
    /// more, and nothing is done.
    pub(super) fn pin(
        &self,
        index: u32,
        name: &str,
        addresses: &[Ipv4Addr],
        ttl_s: u32,
    ) -> Result<bool, NetError> {
        let wire = self.wire(index)?;
        let now_ms = self.now_ms();
        let mut state = self.state();
        let Some(place) = state.places.get(&index) else { return Ok(false) };
        if !place.lists(name) {
            return Ok(false);
        }
        let mut pins = place.pins.clone();
        let (new, dropped) = pins.add(name, addresses, ttl_s, now_ms);
        let fill = |transaction: &mut Transaction| {
            wire.unpin(transaction, &dropped);
            wire.pin(transaction, &new);
        };
        self.commit(&mut state, "pin an address for", &wire, fill)?;
        if let Some(place) = state.places.get_mut(&index) {
            place.pins = pins;
        }
        Ok(true)
    }

    /// Makes a change of one link. When somebody flushed the table nothing of it is in force, so it is made anew
    /// before anything is let through.
    fn commit(
        &self,
        state: &mut State,
        action: &'static str,
        wire: &Wire,
        fill: impl Fn(&mut Transaction),
    ) -> Result<(), NetError> {
        let commit = || {
            let mut transaction = self.policy.transaction();
            fill(&mut transaction);
            transaction.commit(&mut self.socket())
        };
        let committed = match commit() {
            Err(error) if error.errno() == Errno::NOENT.raw_os_error() && !state.removed => {
                self.install_state(state)?;
                commit()
            }
            result => result,
        };
        committed.map_err(|source| NetError::Link { action, link: wire.link.clone(), source })?;
        // Our own change is no reason to look for somebody else's.
        if let Some(left) = &mut state.left {
            let generation = inspect::generation(&mut self.socket()).map_err(|source| self.error(source))?;
            if generation == left.generation.wrapping_add(1) {
                left.generation = generation;
            }
        }
        Ok(())
    }

    /// Deletes the table, for good.
    pub(super) fn remove(&self) -> Result<(), NetError> {
        let mut state = self.state();
        state.removed = true;
        delete_table(&mut self.socket(), &self.policy.names).map_err(|source| self.error(source))
    }

    pub(super) fn error(&self, source: CallError) -> NetError {
        NetError::Rules { table: self.policy.names.table.clone(), source }
    }

    pub(super) fn socket(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().as_millisecond()
    }
}
