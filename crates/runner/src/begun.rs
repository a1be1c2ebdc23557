//! What was begun for sandboxes that are not here yet: it may take minutes, and must not come about for one that was
//! removed meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Works under way, by the id of the sandbox that they are for.
#[derive(Debug, Default)]
pub(crate) struct Beginnings(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    latest: HashMap<String, u64>,
}

/// One work; it holds until the sandbox is removed, or the same is begun again.
#[derive(Debug)]
pub(crate) struct Begun<'host> {
    beginnings: &'host Beginnings,
    id: String,
    number: u64,
}

impl Beginnings {
    /// Begins a work for a sandbox; an earlier one for it holds no more.
    pub(crate) fn begin(&self, id: &str) -> Begun<'_> {
        let mut inner = self.inner();
        inner.next += 1;
        let number = inner.next;
        inner.latest.insert(id.to_owned(), number);
        Begun { beginnings: self, id: id.to_owned(), number }
    }

    /// Gives up what was begun for a sandbox.
    pub(crate) fn give_up(&self, id: &str) {
        self.inner().latest.remove(id);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun<'_> {
    /// Tells whether anybody still wants it; asked by whoever has the sandbox's entry alone.
    pub(crate) fn holds(&self) -> bool {
        self.beginnings.inner().latest.get(&self.id) == Some(&self.number)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut inner = self.beginnings.inner();
        if inner.latest.get(&self.id) == Some(&self.number) {
            inner.latest.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_or_begun_again_holds_no_more() {
        let beginnings = Beginnings::default();
        let first = beginnings.begin("a");
        let other = beginnings.begin("b");
        assert!(first.holds() && other.holds());
        let second = beginnings.begin("a");
        assert!(!first.holds() && second.holds());
        drop(first);
        assert!(second.holds(), "the end of the earlier is no end of the later");
        beginnings.give_up("a");
        assert!(!second.holds() && other.holds());
        drop((second, other));
        assert!(beginnings.inner().latest.is_empty());
    }
}
