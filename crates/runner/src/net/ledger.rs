//! What became of packets and lookups: the last decisions of each place, kept in memory and bounded.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use types::Clock;
use types::egress::{Decision, Egress};

/// Decisions that are kept of each kind: what is refused is not crowded out by what is allowed.
const KEPT: usize = 64;
/// Of those, what is kept of a sandbox that has stopped.
const KEPT_AFTERWARDS: usize = 16;

/// The books of all places.
#[derive(Debug)]
pub(super) struct Ledger {
    clock: Arc<dyn Clock>,
    books: Mutex<HashMap<u32, Book>>,
}

#[derive(Debug, Default)]
struct Book {
    allowed: VecDeque<Decision>,
    refused: VecDeque<Decision>,
    lookups_allowed: u64,
    lookups_refused: u64,
    /// What the kernel had counted when the place was given up.
    packets: Packets,
}

/// What the kernel counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Packets {
    pub(super) allowed: u64,
    pub(super) refused: u64,
}

impl Packets {
    /// Adds what another table counted.
    pub(super) const fn plus(self, other: Self) -> Self {
        let allowed = self.allowed.saturating_add(other.allowed);
        Self { allowed, refused: self.refused.saturating_add(other.refused) }
    }

    /// Takes over what a newer look at the same table saw.
    pub(super) fn or(self, newer: Self) -> Self {
        Self { allowed: self.allowed.max(newer.allowed), refused: self.refused.max(newer.refused) }
    }
}

/// What is written down; the moment is added.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) destination: String,
    pub(super) port: Option<u16>,
    pub(super) protocol: String,
    pub(super) name: Option<String>,
    pub(super) rule: String,
    pub(super) allowed: bool,
}

impl Ledger {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, books: Mutex::default() }
    }

    /// Starts an empty book for a place.
    pub(super) fn open(&self, index: u32) {
        self.books().insert(index, Book::default());
    }

    /// Keeps the last word of the kernel about a place.
    pub(super) fn close(&self, index: u32, packets: Packets) {
        if let Some(book) = self.books().get_mut(&index) {
            book.packets = packets;
            for kept in [&mut book.allowed, &mut book.refused] {
                kept.drain(..kept.len().saturating_sub(KEPT_AFTERWARDS));
                kept.shrink_to_fit();
            }
        }
    }

    /// Writes down what became of a packet that the kernel counted.
    pub(super) fn note(&self, index: u32, entry: Entry) {
        let at = self.clock.now();
        if let Some(book) = self.books().get_mut(&index) {
            book.write(at, entry);
        }
    }

    /// Counts a lookup and writes it down.
    pub(super) fn count(&self, index: u32, entry: Entry) {
        let at = self.clock.now();
        if let Some(book) = self.books().get_mut(&index) {
            let counter = if entry.allowed { &mut book.lookups_allowed } else { &mut book.lookups_refused };
            *counter = counter.saturating_add(1);
            book.write(at, entry);
        }
    }

    /// Returns a place's book, with what the kernel counts now or, where that is over, has counted.
    pub(super) fn read(&self, index: u32, packets: Option<Packets>) -> Egress {
        let books = self.books();
        let Some(book) = books.get(&index) else { return Egress::default() };
        let packets = packets.unwrap_or(book.packets);
        let mut decisions: Vec<Decision> = book.allowed.iter().chain(&book.refused).cloned().collect();
        decisions.sort_by_key(|decision| decision.at);
        Egress {
            allowed: packets.allowed.saturating_add(book.lookups_allowed),
            refused: packets.refused.saturating_add(book.lookups_refused),
            decisions,
        }
    }

    fn books(&self) -> MutexGuard<'_, HashMap<u32, Book>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn write(&mut self, at: types::Timestamp, entry: Entry) {
        let Entry { destination, port, protocol, name, rule, allowed } = entry;
        let kept = if allowed { &mut self.allowed } else { &mut self.refused };
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(Decision { at, destination, port, protocol, name, rule, allowed });
    }
}

#[cfg(test)]
mod tests {
    use types::SystemClock;

    use super::*;

    fn entry(number: u16, allowed: bool) -> Entry {
        Entry {
            destination: "192.0.2.1".to_owned(),
            port: Some(number),
            protocol: "tcp".to_owned(),
            name: None,
            rule: "a rule".to_owned(),
            allowed,
        }
    }

    #[test]
    fn the_last_of_each_kind_are_kept_and_all_lookups_are_counted() {
        let ledger = Ledger::new(Arc::new(SystemClock));
        ledger.note(7, entry(1, false));
        assert_eq!(ledger.read(7, None), Egress::default(), "nobody is there");
        ledger.open(7);
        for number in 0..200 {
            ledger.note(7, entry(number, true));
        }
        ledger.count(7, entry(9, false));
        let egress = ledger.read(7, Some(Packets { allowed: 200, refused: 4 }));
        assert_eq!((egress.allowed, egress.refused), (200, 5));
        assert_eq!(egress.decisions.len(), KEPT + 1);
        assert_eq!(egress.decisions[0].port, Some(136));
        assert!(!egress.decisions[KEPT].allowed);
        ledger.close(7, Packets { allowed: 300, refused: 4 });
        assert_eq!(ledger.read(7, None).allowed, 300);
        assert_eq!(ledger.read(7, None).decisions.len(), KEPT_AFTERWARDS + 1);
        ledger.open(7);
        assert_eq!(ledger.read(7, None), Egress::default());
    }
}
