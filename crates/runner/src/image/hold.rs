//! What keeps layers from being removed before an image has them, and keeps two from doing the same work.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Names, and how many guards there are of each.
#[derive(Debug, Default)]
pub(crate) struct Holds(Mutex<BTreeMap<String, usize>>);

impl Holds {
    /// Keeps the layers of these names until what is returned is dropped. Whether they are there is looked at after.
    pub(crate) fn hold(self: &Arc<Self>, names: impl IntoIterator<Item = String>) -> Held {
        let names: Vec<String> = names.into_iter().collect();
        let mut held = self.lock();
        for name in &names {
            *held.entry(name.clone()).or_default() += 1;
        }
        drop(held);
        Held { holds: self.clone(), names }
    }

    /// Tells whether somebody keeps the layer.
    pub(crate) fn is_held(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps layers from being removed.
#[derive(Debug)]
pub struct Held {
    holds: Arc<Holds>,
    names: Vec<String>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.holds.lock();
        for name in &self.names {
            if let Some(count) = held.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    held.remove(name);
                }
            }
        }
    }
}

/// One at a time for each name: whoever comes second waits, and then finds what the first one made.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    taken: Mutex<std::collections::BTreeSet<String>>,
    left: Condvar,
}

impl Turns {
    /// Waits for the turn. `stop` is asked again and again; `None` once it says so.
    pub(crate) fn take(self: &Arc<Self>, name: &str, stop: impl Fn() -> bool) -> Option<Turn> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.contains(name) {
            if stop() {
                return None;
            }
            let pause = std::time::Duration::from_millis(200);
            taken = self.left.wait_timeout(taken, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
        taken.insert(name.to_owned());
        Some(Turn { turns: self.clone(), name: name.to_owned() })
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    name: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        self.turns.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_layer_is_held_until_the_last_lets_go() {
        let holds = Arc::new(Holds::default());
        let first = holds.hold(["a".to_owned(), "b".to_owned()]);
        let second = holds.hold(["a".to_owned()]);
        drop(first);
        assert!(holds.is_held("a") && !holds.is_held("b"));
        drop(second);
        assert!(!holds.is_held("a"));
    }

    #[test]
    fn turns_are_taken_one_after_another() {
        let turns = Arc::new(Turns::default());
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _turn = turns.take("x", || false).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let _turn = turns.take("x", || false).unwrap();
        assert!(turns.take("x", || true).is_none());
        assert!(turns.take("y", || true).is_some());
    }
}
