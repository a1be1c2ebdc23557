//! Which snapshots a list shows, and in which order: pure.

use types::Timestamp;
use types::snapshot::SavedSnapshot;

/// Which snapshots; an empty filter lets all through.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// A part of the name, whatever its case.
    pub(crate) name: Option<String>,
    /// The sandbox it was taken of.
    pub(crate) source_sandbox_id: Option<String>,
}

/// What a list of snapshots is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The name.
    Name,
    /// The contract's word for the state.
    State,
    /// When a sandbox was last made from it.
    LastUsedAt,
    /// When it was made.
    CreatedAt,
}

/// One page of a list of snapshots.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// Which are listed.
    pub(crate) filter: Filter,
    /// What they are ordered by.
    pub(crate) order: Order,
    /// Greatest first.
    pub(crate) descending: bool,
    /// Which page, from 1.
    pub(crate) number: u32,
    /// The most on one page.
    pub(crate) limit: u32,
}

impl Page {
    /// Returns how many pages hold so many.
    pub(crate) fn pages(&self, total: usize) -> usize {
        total.div_ceil(usize::try_from(self.limit.max(1)).unwrap_or(usize::MAX))
    }
}

fn passes(snapshot: &SavedSnapshot, filter: &Filter) -> bool {
    let source = snapshot.source_sandbox_id.map(|id| id.to_string());
    let named = filter.name.as_ref();
    named.is_none_or(|part| snapshot.name.to_lowercase().contains(&part.to_lowercase()))
        && (filter.source_sandbox_id.is_none() || filter.source_sandbox_id == source)
}

/// What two are compared by: text, then moment. Only one of the two is used by an order.
fn key(snapshot: &SavedSnapshot, order: Order) -> (&str, Option<Timestamp>) {
    match order {
        Order::Name => (&snapshot.name, None),
        Order::State => (snapshot.state.as_str(), None),
        Order::LastUsedAt => ("", snapshot.last_used_at),
        Order::CreatedAt => ("", Some(snapshot.created_at)),
    }
}

/// Filters and orders: everybody's last, then those without a value, whatever the direction; the name decides between
/// equals.
fn arrange(known: Vec<SavedSnapshot>, filter: &Filter, order: Order, descending: bool) -> Vec<SavedSnapshot> {
    let mut chosen: Vec<_> = known.into_iter().filter(|snapshot| passes(snapshot, filter)).collect();
    chosen.sort_by(|left, right| {
        let is_last = |snapshot: &SavedSnapshot| {
            (snapshot.is_general(), order == Order::LastUsedAt && snapshot.last_used_at.is_none())
        };
        let compared = key(left, order).cmp(&key(right, order));
        let directed = if descending { compared.reverse() } else { compared };
        is_last(left).cmp(&is_last(right)).then(directed).then_with(|| left.name.cmp(&right.name))
    });
    chosen
}

/// Returns a page, and how many there are on all pages.
pub(crate) fn cut(known: Vec<SavedSnapshot>, page: &Page) -> (Vec<SavedSnapshot>, usize) {
    let all = arrange(known, &page.filter, page.order, page.descending);
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let before = usize::try_from(page.number.saturating_sub(1)).unwrap_or(usize::MAX).saturating_mul(limit);
    let total = all.len();
    (all.into_iter().skip(before).take(limit).collect(), total)
}

#[cfg(test)]
mod tests {
    use types::snapshot::SnapshotState;
    use types::{OrganizationId, SandboxId, SnapshotId};

    use super::*;

    fn own(name: &str, created: i64, used: Option<i64>, state: SnapshotState) -> SavedSnapshot {
        let at = |second| Timestamp::from_second(second).unwrap();
        let owner = Some(OrganizationId::from_u128(1));
        SavedSnapshot {
            state,
            source_sandbox_id: Some(SandboxId::from_u128(u128::try_from(created).unwrap())),
            last_used_at: used.map(at),
            ..SavedSnapshot::new(SnapshotId::from_u128(1), owner, name.to_owned(), at(created))
        }
    }

    fn names(filter: &Filter, order: Order, descending: bool) -> String {
        let general = own("Zero", 9, Some(90), SnapshotState::Active);
        let all = vec![
            SavedSnapshot { organization_id: None, source_sandbox_id: None, ..general },
            own("b", 1, Some(30), SnapshotState::Active),
            own("a", 2, None, SnapshotState::Snapshotting),
            own("d", 3, Some(10), SnapshotState::Error),
            own("c", 4, None, SnapshotState::Active),
        ];
        let chosen = arrange(all, filter, order, descending);
        chosen.iter().map(|snapshot| snapshot.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn general_ones_and_those_without_a_value_come_last() {
        for (order, descending, expected) in [
            (Order::LastUsedAt, true, "b d a c Zero"),
            (Order::LastUsedAt, false, "d b a c Zero"),
            (Order::Name, false, "a b c d Zero"),
            (Order::Name, true, "d c b a Zero"),
            (Order::CreatedAt, true, "c d a b Zero"),
            (Order::CreatedAt, false, "b a d c Zero"),
            (Order::State, false, "b c d a Zero"),
            (Order::State, true, "a d b c Zero"),
        ] {
            assert_eq!(names(&Filter::default(), order, descending), expected, "{order:?} {descending}");
        }
    }

    #[test]
    fn a_filter_lets_through_what_it_names() {
        let source = |number| Some(SandboxId::from_u128(number).to_string());
        for (name, source_sandbox_id, expected) in [
            (Some("ZER"), None, "Zero"),
            (Some("D"), None, "d"),
            (Some("%"), None, ""),
            (None, source(4), "c"),
            (None, source(9), ""),
            (Some("a"), source(4), ""),
            (None, Some("no id".to_owned()), ""),
        ] {
            let filter = Filter { name: name.map(str::to_owned), source_sandbox_id };
            assert_eq!(names(&filter, Order::Name, false), expected, "{filter:?}");
        }
    }
}
