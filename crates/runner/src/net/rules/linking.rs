//! Links between sandboxes: in force while two of a group are in their places.

use std::net::Ipv4Addr;

use linux::nft::Transaction;

use super::{Rules, State};
use crate::net::address::Pair;
use crate::net::error::NetError;
use crate::net::group;
use crate::net::membership::Membership;

impl Rules {
    /// Links the sandbox in a place with the others of its group, at once and both ways; nothing is done when it is
    /// already, or nobody is in the place. `serve` has our resolver listen on a link before questions are led there.
    pub(in crate::net) fn join(
        &self,
        index: u32,
        membership: &Membership,
        serve: impl Fn(u32, Pair) -> Result<(), NetError>,
    ) -> Result<(), NetError> {
        let mut state = self.state();
        let Some(place) = state.places.get(&index) else { return Ok(()) };
        let sandbox_id = place.sandbox_id.clone();
        if !state.groups.is_in(index, &sandbox_id, membership) {
            self.leave(&mut state, index)?;
        }
        if !state.groups.join(index, &sandbox_id, membership) {
            return Ok(());
        }
        let Some(number) = state.groups.number(index) else { return Ok(()) };
        let others = state.groups.others(index);
        // Of two, neither was in force.
        let is_new = others.len() == 1;
        let mut changed = if is_new { others } else { Vec::new() };
        changed.push(index);
        let linked =
            changed.iter().try_for_each(|changed| serve(*changed, self.locate(*changed)?.1)).and_then(|()| {
                let open = |transaction: &mut Transaction| {
                    if is_new {
                        group::open(transaction, number);
                    }
                };
                self.regroup(&mut state, &changed, (None, Some(number)), open, |_| {})
            });
        if linked.is_err() {
            state.groups.leave(index);
        }
        linked
    }

    /// Takes the links of a place back, whether it has any or not; who is alone then has none either.
    pub(super) fn leave(&self, state: &mut State, index: u32) -> Result<(), NetError> {
        if let Some(number) = state.groups.number(index) {
            let others = state.groups.others(index);
            let is_last = others.len() == 1;
            let mut changed = if is_last { others } else { Vec::new() };
            changed.push(index);
            let close = |transaction: &mut Transaction| {
                if is_last {
                    group::close(transaction, number);
                }
            };
            self.regroup(state, &changed, (Some(number), None), |_| {}, close)?;
        }
        state.groups.leave(index);
        Ok(())
    }

    /// Puts the policies of places in force anew, with the links of another group than before.
    fn regroup(
        &self,
        state: &mut State,
        changed: &[u32],
        (before, after): (Option<u32>, Option<u32>),
        first: impl Fn(&mut Transaction),
        last: impl Fn(&mut Transaction),
    ) -> Result<(), NetError> {
        let mut wires = Vec::with_capacity(changed.len());
        for index in changed {
            let policy = state.places.get(index).map(|place| place.policy.clone());
            wires.extend(policy.map(|policy| Ok((self.wire(*index)?, policy))).transpose()?);
        }
        let Some((wire, _)) = wires.first().cloned() else { return Ok(()) };
        let fill = |transaction: &mut Transaction| {
            first(transaction);
            for (wire, policy) in &wires {
                wire.revoke(transaction, Some(policy), before);
                wire.grant(transaction, policy, after);
            }
            last(transaction);
        };
        self.commit(state, "change the links of", &wire, fill)?;
        // Who has no list is led to our resolver now, or back to the usual name servers.
        wires
            .iter()
            .filter(|(_, policy)| !policy.listed())
            .try_for_each(|(wire, _)| self.forget_questions(wire))
    }

    /// Tells whether a place is linked with another.
    pub(in crate::net) fn is_linked(&self, index: u32) -> bool {
        self.state().groups.number(index).is_some()
    }

    /// Returns the address of whoever is called `name`, in lower case, among those that a place is linked with, itself
    /// included.
    pub(in crate::net) fn find_neighbour(&self, index: u32, name: &str) -> Option<Ipv4Addr> {
        let place = self.state().groups.find(index, name)?;
        Some(self.locate(place).ok()?.1.sandbox)
    }

    /// Returns what the sandbox at an address is called by one that it is linked with.
    pub(in crate::net) fn neighbour_at(&self, index: u32, address: Ipv4Addr) -> Option<String> {
        let state = self.state();
        let at = |place: &u32| self.locate(*place).is_ok_and(|(_, pair)| pair.sandbox == address);
        let place = state.groups.others(index).into_iter().find(at)?;
        state.groups.name_of(place)
    }
}
