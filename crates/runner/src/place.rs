//! A sandbox's place on the host: one small number that decides its ids, its address and its control group.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many user and group ids a sandbox has.
pub const IDS_PER_SANDBOX: u32 = 65_536;

/// Returns the first host id of place `index`, counted from `id_base`.
pub fn first_id(id_base: u32, index: u32) -> u32 {
    id_base.saturating_add(index.saturating_mul(IDS_PER_SANDBOX))
}

/// Returns how many of `wanted` places there are ids for.
pub fn places(id_base: u32, wanted: u32) -> u32 {
    wanted.min((u32::MAX - id_base) / IDS_PER_SANDBOX)
}

/// Names the control group of place `index`.
pub fn group_name(index: u32) -> String {
    format!("place-{index}")
}

/// Reads what [`group_name`] wrote.
pub fn index_of_group(name: &str) -> Option<u32> {
    name.strip_prefix("place-")?.parse().ok()
}

/// Which places are taken.
#[derive(Debug)]
pub struct Places {
    count: u32,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    indexes: BTreeSet<u32>,
    /// Where the search for a free place begins: the one that was freed last is the last to be given again, because
    /// the kernel takes a moment to remove the link it had.
    next: u32,
}

impl Places {
    /// Makes `count` places, of which `taken` are.
    pub fn new(count: u32, taken: impl IntoIterator<Item = u32>) -> Self {
        let taken = Taken { indexes: taken.into_iter().collect(), next: 0 };
        Self { count, taken: Mutex::new(taken) }
    }

    /// Returns how many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Takes a free place; `None` when there is none.
    pub fn take(&self) -> Option<u32> {
        let mut taken = self.taken();
        let free = |index: &u32| !taken.indexes.contains(index);
        let found =
            (taken.next..self.count).find(free).or_else(|| (0..taken.next.min(self.count)).find(free))?;
        taken.indexes.insert(found);
        taken.next = found + 1;
        Some(found)
    }

    /// Gives a place back.
    pub fn release(&self, index: u32) {
        self.taken().indexes.remove(&index);
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_overlap_and_stay_below_the_last() {
        let base = 1_000_000;
        assert_eq!(first_id(base, 1) - first_id(base, 0), IDS_PER_SANDBOX);
        let last = places(base, u32::MAX) - 1;
        assert_eq!(places(base, 7), 7);
        assert!(first_id(base, last).checked_add(IDS_PER_SANDBOX - 1).is_some());
    }

    #[test]
    fn a_place_is_one_sandbox_s_and_is_given_again_as_late_as_possible() {
        let places = Places::new(4, [1]);
        assert_eq!([places.take(), places.take()], [Some(0), Some(2)]);
        places.release(2);
        assert_eq!([places.take(), places.take(), places.take()], [Some(3), Some(2), None]);
        places.release(0);
        assert_eq!(places.take(), Some(0));
        assert_eq!(index_of_group(&group_name(17)), Some(17));
        assert_eq!(index_of_group("17"), None);
    }
}
