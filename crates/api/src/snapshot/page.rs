//! Which snapshots a list shows, and in which order: pure.

use types::snapshot::{SavedSnapshot, Snapshot};
use types::{SnapshotId, Timestamp};

/// A snapshot that a caller can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// One of the caller's organisation.
    Own(SavedSnapshot),
    /// One that every organisation may use.
    General(Snapshot),
}

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

impl Known {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Own(saved) => &saved.name,
            Self::General(snapshot) => &snapshot.name,
        }
    }

    fn passes(&self, filter: &Filter) -> bool {
        let source = match self {
            Self::Own(saved) => Some(saved.source_sandbox_id.to_string()),
            Self::General(_) => None,
        };
        let named = filter.name.as_ref();
        named.is_none_or(|part| self.name().to_lowercase().contains(&part.to_lowercase()))
            && (filter.source_sandbox_id.is_none() || filter.source_sandbox_id == source)
    }

    /// What two are compared by: text, then moment. Only one of the two is used by an order.
    fn key(&self, order: Order) -> (&str, Option<Timestamp>) {
        match (self, order) {
            (_, Order::Name) => (self.name(), None),
            (Self::Own(saved), Order::State) => (saved.state.as_str(), None),
            (Self::Own(saved), Order::LastUsedAt) => ("", saved.last_used_at),
            (Self::Own(saved), Order::CreatedAt) => ("", Some(saved.created_at)),
            (Self::General(_), _) => ("", None),
        }
    }
}

/// Filters and orders: general ones last, then those without a value, whatever the direction; the name decides between equals.
fn arrange(known: Vec<Known>, filter: &Filter, order: Order, descending: bool) -> Vec<Known> {
    let mut chosen: Vec<Known> = known.into_iter().filter(|known| known.passes(filter)).collect();
    chosen.sort_by(|left, right| {
        let is_last = |known: &Known| {
            let lacks = order == Order::LastUsedAt && known.key(order).1.is_none();
            (matches!(known, Known::General(_)), lacks)
        };
        let compared = left.key(order).cmp(&right.key(order));
        let directed = if descending { compared.reverse() } else { compared };
        is_last(left).cmp(&is_last(right)).then(directed).then_with(|| left.name().cmp(right.name()))
    });
    chosen
}

/// Returns a page, and how many there are on all pages.
pub(crate) fn cut(known: Vec<Known>, page: &Page) -> (Vec<Known>, usize) {
    let all = arrange(known, &page.filter, page.order, page.descending);
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let before = usize::try_from(page.number.saturating_sub(1)).unwrap_or(usize::MAX).saturating_mul(limit);
    let total = all.len();
    (all.into_iter().skip(before).take(limit).collect(), total)
}

/// Returns the id that a general snapshot is shown under: always the same for a name, and no saved one's.
pub(crate) fn general_id(name: &str) -> SnapshotId {
    let hash = store::api_key::hash(&format!("general snapshot {name}"));
    let start = hash.get(..32).and_then(|digits| u128::from_str_radix(digits, 16).ok()).unwrap_or_default();
    // Version 8 and the usual variant: a UUID whose other bits are the maker's own.
    let versioned = (start & !(0xf << 76)) | (0x8 << 76);
    SnapshotId::from_u128((versioned & !(0b11 << 62)) | (0b10 << 62))
}

#[cfg(test)]
mod tests {
    use types::resource::Resources;
    use types::snapshot::SnapshotState;
    use types::{OrganizationId, SandboxId};

    use super::*;

    fn own(name: &str, created: i64, used: Option<i64>, state: SnapshotState) -> Known {
        let at = |second| Timestamp::from_second(second).unwrap();
        let id = SnapshotId::from_u128(1);
        Known::Own(SavedSnapshot {
            id,
            organization_id: OrganizationId::from_u128(1),
            name: name.to_owned(),
            image: SavedSnapshot::image_of(id),
            state,
            error_reason: None,
            source_sandbox_id: SandboxId::from_u128(u128::try_from(created).unwrap()),
            resources: Resources::default(),
            size_bytes: 0,
            created_at: at(created),
            updated_at: at(created),
            last_used_at: used.map(at),
        })
    }

    fn names(filter: &Filter, order: Order, descending: bool) -> String {
        let general =
            Snapshot { name: "Zero".to_owned(), image: "zero".to_owned(), resources: Resources::default() };
        let all = vec![
            Known::General(general),
            own("b", 1, Some(30), SnapshotState::Active),
            own("a", 2, None, SnapshotState::Snapshotting),
            own("d", 3, Some(10), SnapshotState::Error),
            own("c", 4, None, SnapshotState::Active),
        ];
        let chosen = arrange(all, filter, order, descending);
        chosen.iter().map(Known::name).collect::<Vec<_>>().join(" ")
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

    #[test]
    fn a_general_id_is_a_uuid_of_its_own_kind() {
        let text = general_id("default").to_string();
        assert_eq!(text.as_bytes()[14], b'8', "{text}");
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{text}");
        assert_eq!(general_id("default"), general_id("default"));
        assert_ne!(general_id("default"), general_id("other"));
    }
}
