//! What should be in the table, and what should not.

use super::{Rules, State};
use crate::net::access::classes;
use crate::net::error::NetError;
use crate::net::group;
use crate::net::policy::Stale;
use crate::net::sets::{BLOCKED, GROUPS, LISTED, MATES, MEMBERS, NAMED, OPEN, REFUSED, SETS};
use crate::net::table;

impl Rules {
    /// Finds what is in the table and belongs to nobody any more.
    pub(super) fn find_stale(&self, state: &State) -> Result<Stale, NetError> {
        let (mut chains, mut sets) = group::names(&state.groups.numbers());
        chains.extend(self.policy.chain_names());
        sets.extend(SETS.map(|(name, _)| name.to_owned()));
        for (index, place) in &state.places {
            chains.extend(self.wire(*index)?.chains(&place.policy));
        }
        let mut socket = self.socket();
        let chains = table::unknown_chains(&mut socket, &self.policy, &chains);
        let sets = table::unknown_sets(&mut socket, &self.policy, &sets);
        let (chains, sets) =
            (chains.map_err(|source| self.error(source))?, sets.map_err(|source| self.error(source))?);
        Ok(Stale { chains, sets })
    }

    /// Tells whether every sandbox has its elements. Those that are missing let less through, never more.
    pub(super) fn has_all_elements(&self, state: &State) -> bool {
        let count = |set: &str| table::count(&mut self.socket(), &self.policy, set);
        let is_linked = |index: &u32| state.groups.number(*index).is_some();
        let of_class = |set| {
            let places = state.places.iter();
            Some(
                places
                    .filter(|(index, place)| classes(&place.policy, is_linked(index)).contains(&set))
                    .count(),
            )
        };
        let linked: Vec<u32> = state.places.keys().copied().filter(|index| is_linked(index)).collect();
        let mates = |number: &u32| {
            let members = linked.iter().filter(|index| state.groups.number(**index) == Some(*number)).count();
            count(&group::mates(*number)) == Some(members)
        };
        count(MEMBERS) == Some(state.places.len())
            && [OPEN, LISTED, NAMED, BLOCKED, REFUSED].into_iter().all(|set| count(set) == of_class(set))
            && count(GROUPS) == Some(linked.len())
            && count(MATES) == Some(linked.len())
            && state.groups.numbers().iter().all(mates)
    }
}
