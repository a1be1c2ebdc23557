//! What was last told of every snapshot.

use std::collections::{HashMap, HashSet};

use types::SnapshotId;
use types::snapshot::SnapshotChange;

/// The last word of every snapshot that is there.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    known: HashMap<SnapshotId, &'static str>,
}

/// Something that happened to a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// It is being taken.
    Created,
    /// It is in another state.
    State {
        /// The state before.
        old: &'static str,
        /// The state.
        new: &'static str,
    },
    /// It is gone.
    Removed,
}

impl Catalogue {
    /// Takes in what was done to a row, and returns what there is to tell.
    pub(crate) fn take(&mut self, change: &SnapshotChange) -> Option<News> {
        match change {
            SnapshotChange::Written(snapshot) => {
                let new = snapshot.state.as_str();
                match self.known.insert(snapshot.id, new) {
                    None => Some(News::Created),
                    Some(old) => (old != new).then_some(News::State { old, new }),
                }
            }
            SnapshotChange::Deleted(snapshot) => self.known.remove(&snapshot.id).map(|_| News::Removed),
        }
    }

    /// Forgets those that are not in `there`, of which nothing was told: their rows are gone.
    pub(crate) fn keep_only(&mut self, there: &HashSet<SnapshotId>) {
        self.known.retain(|id, _| there.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use types::snapshot::SnapshotState;

    use super::*;
    use crate::sample;

    #[test]
    fn a_snapshots_life_is_told_once() {
        let mut catalogue = Catalogue::default();
        let taking = sample::snapshot(1, 1, SnapshotState::Snapshotting);
        let active = sample::snapshot(1, 1, SnapshotState::Active);
        let written = |snapshot: &types::snapshot::SavedSnapshot| SnapshotChange::Written(snapshot.clone());
        assert_eq!(catalogue.take(&written(&taking)), Some(News::Created));
        assert_eq!(catalogue.take(&written(&taking)), None);
        let told = catalogue.take(&written(&active));
        assert_eq!(told, Some(News::State { old: "snapshotting", new: "active" }));
        assert_eq!(catalogue.take(&SnapshotChange::Deleted(active.clone())), Some(News::Removed));
        assert_eq!(catalogue.take(&SnapshotChange::Deleted(active.clone())), None);
        catalogue.take(&written(&active));
        catalogue.keep_only(&HashSet::new());
        assert!(catalogue.known.is_empty());
    }
}
