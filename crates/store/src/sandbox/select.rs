//! From faces to a page: pure.

use std::cmp::Ordering;

use types::{SandboxId, Timestamp};

use crate::roster::Face;
use crate::sandbox::list::{Cursor, Filter, Page, Range, SortField, SortValue};

/// Where the hyphens of an id's text are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Length of an id's text.
const ID_CHARACTERS: usize = 36;

/// Which rows make a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) ids: Vec<SandboxId>,
    pub(crate) next: Option<Cursor>,
    pub(crate) total: u64,
}

/// A face's value of the sort field.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'face> {
    Integer(i64),
    Text(&'face str),
}

/// Picks a page.
pub(crate) fn select(faces: &[Face], filter: &Filter, page: &Page) -> Selection {
    let Some(ids) = id_range(filter.id_prefix.as_deref().unwrap_or_default()) else {
        return Selection::default();
    };
    let passes = |face: &&Face| ids.holds(face.id) && lets_through(filter, face);
    let mut found: Vec<&Face> = faces.iter().filter(passes).collect();
    let total = found.len() as u64;
    let directed = |order: Ordering| if page.descending { order.reverse() } else { order };
    if let Some(Cursor { value, id }) = &page.after {
        let place = Key::of(value);
        let comes = |face: &Face| key(page.sort, face).cmp(&place).then(face.id.cmp(id));
        found.retain(|face| directed(comes(face)) == Ordering::Greater);
    }
    let order = |one: &&Face, other: &&Face| {
        directed(key(page.sort, one).cmp(&key(page.sort, other)).then(one.id.cmp(&other.id)))
    };
    let (offset, limit) = (page.offset as usize, page.limit as usize);
    let end = offset.saturating_add(limit);
    let more = found.len() > end;
    if more {
        found.select_nth_unstable_by(end, order);
        found.truncate(end);
    }
    // What comes before the page need not be in order.
    if offset > 0 && offset < found.len() {
        found.select_nth_unstable_by(offset, order);
    }
    let listed = found.get_mut(offset..).unwrap_or_default();
    listed.sort_unstable_by(order);
    let last = listed.last().filter(|_| more);
    let next = last.map(|face| Cursor { value: key(page.sort, face).to_value(), id: face.id });
    Selection { ids: listed.iter().map(|face| face.id).collect(), next, total }
}

impl Key<'_> {
    fn of(value: &SortValue) -> Key<'_> {
        match value {
            SortValue::Integer(number) => Key::Integer(*number),
            SortValue::Text(text) => Key::Text(text),
        }
    }

    fn to_value(&self) -> SortValue {
        match self {
            Self::Integer(number) => SortValue::Integer(*number),
            Self::Text(text) => SortValue::Text((*text).to_owned()),
        }
    }
}

fn key(sort: SortField, face: &Face) -> Key<'_> {
    let moment = |moment: Timestamp| Key::Integer(moment.as_millisecond());
    match sort {
        // The id decides between equals, and so it does when all are.
        SortField::Id => Key::Integer(0),
        SortField::Name => Key::Text(&face.name),
        SortField::Cpu => Key::Integer(face.resources.cpu.into()),
        SortField::Memory => Key::Integer(face.resources.memory_gib.into()),
        SortField::Disk => Key::Integer(face.resources.disk_gib.into()),
        SortField::CreatedAt => moment(face.created_at),
        SortField::UpdatedAt => moment(face.updated_at),
        SortField::LastActivityAt => moment(face.last_activity_at),
        SortField::Snapshot => Key::Text(&face.snapshot),
        SortField::Region => Key::Text(&face.region),
        SortField::State => Key::Text(face.state),
    }
}

/// Everything of a filter but the id. What is cheap to ask is asked first.
fn lets_through(filter: &Filter, face: &Face) -> bool {
    (filter.errored_deleted || !face.errored_deleted)
        && filter.states.as_ref().is_none_or(|words| words.iter().any(|word| word == face.state))
        && filter.public.is_none_or(|public| public == face.public)
        && filter.recoverable.is_none_or(|recoverable| recoverable == face.recoverable)
        && filter.cpu.holds(face.resources.cpu)
        && filter.gpu.holds(face.resources.gpu)
        && filter.memory_gib.holds(face.resources.memory_gib)
        && filter.disk_gib.holds(face.resources.disk_gib)
        && filter.created_at.holds(face.created_at)
        && filter.last_activity_at.holds(face.last_activity_at)
        && (filter.destroy_at.is_open() || face.destroy_at.is_some_and(|at| filter.destroy_at.holds(at)))
        && (filter.snapshots.is_empty() || filter.snapshots.iter().any(|name| **name == *face.snapshot))
        && (filter.regions.is_empty() || filter.regions.iter().any(|name| **name == *face.region))
        && filter.name_prefix.as_ref().is_none_or(|prefix| begins(&face.name, prefix))
        && filter.labels.iter().all(|(key, value)| is_labelled(face, key, value))
}

/// Tells whether a text begins so, whatever the case of its ASCII letters.
fn begins(text: &str, prefix: &str) -> bool {
    let head = text.as_bytes().get(..prefix.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}

fn is_labelled(face: &Face, key: &str, value: &str) -> bool {
    let place = face.labels.binary_search_by(|(known, _)| (**known).cmp(key));
    place.is_ok_and(|place| face.labels.get(place).is_some_and(|(_, known)| **known == *value))
}

/// Returns the first and last id that begin so, `None` when no id does.
fn id_range(prefix: &str) -> Option<Range<SandboxId>> {
    let prefix = prefix.to_ascii_lowercase();
    if prefix.len() > ID_CHARACTERS {
        return None;
    }
    let filled = |digit: char| -> Option<SandboxId> {
        let rest = (prefix.chars().count()..ID_CHARACTERS)
            .map(|place| if HYPHENS.contains(&place) { '-' } else { digit });
        prefix.chars().chain(rest).collect::<String>().parse().ok()
    };
    Some(Range { least: Some(filled('0')?), most: Some(filled('f')?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_begin_alike_lie_side_by_side() {
        let holds =
            |prefix: &str, id: &str| id_range(prefix).is_some_and(|range| range.holds(id.parse().unwrap()));
        let id = "01234567-89ab-4def-8123-456789abcdef";
        for end in 0..=id.len() {
            assert!(holds(id.get(..end).unwrap(), id), "{end}");
        }
        assert!(holds("01234567-89AB", id));
        for other in [
            "1",
            "01234567-9",
            "0123456789",
            "01234567-89ab-4def-8123-456789abcdef0",
            "x",
            "%",
            "é",
            "012345678",
        ] {
            assert!(!holds(other, id), "{other}");
        }
    }

    #[test]
    fn names_begin_so_whatever_their_case() {
        assert!(begins("Éa_B", "Éa_b") && begins("a", "") && !begins("é", "É") && !begins("a", "ab"));
        assert!(!begins("aé", "a\u{c3}"), "a cut letter is no beginning");
    }
}
