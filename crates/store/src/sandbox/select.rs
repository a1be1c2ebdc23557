//! From faces to a page: pure.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use types::{SandboxId, Timestamp};

use crate::roster::{Face, Faces};
use crate::sandbox::list::{Cursor, Filter, Page, Range, SortField, SortValue};

/// Where the hyphens of an id's text are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Length of an id's text.
const ID_CHARACTERS: usize = 36;

/// Which rows make a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) chosen: Vec<Chosen>,
    pub(crate) next: Option<Cursor>,
    pub(crate) total: u64,
}

/// A row that is on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) id: SandboxId,
    /// Of the row that it was chosen by.
    pub(crate) generation: i64,
    /// When it was last used, which no generation tells.
    pub(crate) last_activity_at: Timestamp,
}

/// A label as faces have it.
type Label<'faces> = (&'faces Arc<str>, &'faces Arc<str>);

/// A face's value of the sort field.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'face> {
    Integer(i64),
    Text(&'face str),
}

/// What a page is chosen from: small and side by side, because it is compared many times.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// Comes before another's where the sort field's value does; where both are equal the values may still differ, but only
    /// those of names.
    rank: u64,
    id: SandboxId,
    /// Among the faces.
    place: usize,
}

/// Picks a page.
pub(crate) fn select(faces: &Faces, filter: &Filter, page: &Page) -> Selection {
    let Some(ids) = id_range(filter.id_prefix.as_deref().unwrap_or_default()) else {
        return Selection::default();
    };
    // A label that nobody has is on no page.
    let known = |(key, value): &(String, String)| Some((faces.text(key)?, faces.text(value)?));
    let Some(labels) = filter.labels.iter().map(known).collect::<Option<Vec<Label<'_>>>>() else {
        return Selection::default();
    };
    let faces = faces.all();
    let directed = |order: Ordering| if page.descending { order.reverse() } else { order };
    let is_after = |face: &Face| {
        page.after.as_ref().is_none_or(|Cursor { value, id }| {
            let comes = key(page.sort, face).cmp(&Key::of(value)).then(face.id.cmp(id));
            directed(comes) == Ordering::Greater
        })
    };
    let mut total = 0;
    let mut found = Vec::new();
    for (place, face) in faces.iter().enumerate() {
        if ids.holds(face.id) && lets_through(filter, face) && is_labelled(face, &labels) {
            total += 1;
            if is_after(face) {
                found.push(Candidate { rank: 0, id: face.id, place });
            }
        }
    }
    rank(page.sort, faces, &mut found);
    let name = |candidate: &Candidate| faces.get(candidate.place).map(|face| &face.name);
    let order = |one: &Candidate, other: &Candidate| {
        let names =
            || if page.sort == SortField::Name { name(one).cmp(&name(other)) } else { Ordering::Equal };
        directed(one.rank.cmp(&other.rank).then_with(names).then(one.id.cmp(&other.id)))
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
    let last = listed.last().filter(|_| more).and_then(|candidate| faces.get(candidate.place));
    let next = last.map(|face| Cursor { value: key(page.sort, face).to_value(), id: face.id });
    let chosen = listed.iter().filter_map(|candidate| faces.get(candidate.place)).map(Chosen::of);
    Selection { chosen: chosen.collect(), next, total }
}

impl Chosen {
    const fn of(face: &Face) -> Self {
        Self { id: face.id, generation: face.generation, last_activity_at: face.last_activity_at }
    }
}

/// Gives each candidate its rank.
fn rank(sort: SortField, faces: &[Face], found: &mut [Candidate]) {
    let keys = |candidate: &Candidate| faces.get(candidate.place).map(|face| key(sort, face));
    let text = |candidate: &Candidate| match keys(candidate) {
        Some(Key::Text(text)) => text,
        Some(Key::Integer(_)) | None => "",
    };
    match sort {
        SortField::Snapshot | SortField::Region | SortField::State => {
            // Many have few different values between them: those are put in order, not the many. Where a text is tells
            // which it is, nearly always, and is soon looked up; the same text in two places has one rank all the same.
            let mut places: HashMap<(usize, usize), u64> = HashMap::new();
            let mut distinct: Vec<&str> = Vec::new();
            for candidate in &mut *found {
                let text = text(candidate);
                candidate.rank = *places.entry((text.as_ptr().addr(), text.len())).or_insert_with(|| {
                    distinct.push(text);
                    distinct.len() as u64 - 1
                });
            }
            let mut ordered = distinct.clone();
            ordered.sort_unstable();
            let rank = |text: &&str| ordered.partition_point(|other| other < text) as u64;
            let ranks: Vec<u64> = distinct.iter().map(rank).collect();
            for candidate in found {
                let place = usize::try_from(candidate.rank).ok();
                candidate.rank = place.and_then(|place| ranks.get(place)).copied().unwrap_or_default();
            }
        }
        SortField::Name => {
            let shared = shared_prefix(found.iter().map(text));
            for candidate in found {
                candidate.rank = head(text(candidate).as_bytes().get(shared..).unwrap_or_default());
            }
        }
        _ => {
            for candidate in found {
                if let Some(Key::Integer(number)) = keys(candidate) {
                    // The sign's bit turned: negative numbers come first.
                    candidate.rank = number.cast_unsigned() ^ (1 << 63);
                }
            }
        }
    }
}

/// Returns how many bytes all texts begin with in common.
fn shared_prefix<'text>(mut texts: impl Iterator<Item = &'text str>) -> usize {
    let mut shared = texts.next().unwrap_or_default().as_bytes();
    for text in texts {
        if !text.as_bytes().starts_with(shared) {
            let common = shared.iter().zip(text.as_bytes()).take_while(|(one, other)| one == other).count();
            shared = shared.get(..common).unwrap_or_default();
        }
    }
    shared.len()
}

/// Returns a number that is ordered as the first eight bytes are, where fewer come before more.
fn head(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    for (place, byte) in first.iter_mut().zip(bytes) {
        *place = *byte;
    }
    u64::from_be_bytes(first)
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

/// Everything of a filter but the id and the labels. What is cheap to ask is asked first.
fn lets_through(filter: &Filter, face: &Face) -> bool {
    (filter.errored_deleted || !face.errored_deleted)
        && (filter.warm || !face.is_warm)
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
}

/// Tells whether a text begins so, whatever the case of its ASCII letters.
fn begins(text: &str, prefix: &str) -> bool {
    let head = text.as_bytes().get(..prefix.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Tells whether a face has all labels: equal texts of faces are in one place, so that no text is read.
fn is_labelled(face: &Face, labels: &[Label<'_>]) -> bool {
    labels.iter().all(|(key, value)| {
        let is_it = |label: &(Arc<str>, Arc<str>)| Arc::ptr_eq(&label.0, key) && Arc::ptr_eq(&label.1, value);
        face.labels.iter().any(is_it)
    })
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
    fn the_rank_of_a_name_never_contradicts_it() {
        let names = [
            "sandbox-",
            "sandbox-\0",
            "sandbox-1",
            "sandbox-12345678",
            "sandbox-123456789",
            "sandbox-é",
            "sandbox-2",
        ];
        let shared = shared_prefix(names.into_iter());
        assert_eq!(shared, "sandbox-".len());
        assert_eq!((shared_prefix(["é", "è"].into_iter()), shared_prefix(std::iter::empty())), (1, 0));
        let rank = |name: &str| head(name.as_bytes().get(shared..).unwrap());
        for one in names {
            for other in names {
                let ranks = rank(one).cmp(&rank(other));
                assert!(ranks == one.cmp(other) || ranks == Ordering::Equal, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn names_begin_so_whatever_their_case() {
        assert!(begins("Éa_B", "Éa_b") && begins("a", "") && !begins("é", "É") && !begins("a", "ab"));
        assert!(!begins("aé", "a\u{c3}"), "a cut letter is no beginning");
    }
}
