//! A stock of things prepared ahead: what a request would have to wait for, and does not depend on it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a stock that is more than half full waits before it is filled up: something was just taken for a sandbox
/// that is being made, which needs the processors more.
const PAUSE: Duration = Duration::from_millis(30);
/// How long a stock rests after it could not be filled: the host is short of something, and whoever needs it now makes
/// it alone and learns why.
const REST: Duration = Duration::from_secs(1);

/// A bounded stock, refilled by a thread of its own. What is left in it goes with it.
#[derive(Debug)]
pub(crate) struct Stock<T: Send + 'static> {
    shared: Arc<Shared<T>>,
    worker: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    ready: VecDeque<T>,
    closed: bool,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room, then a little more while the stock is half full; false once it is closed.
    fn wait_for_room(&self, size: usize) -> bool {
        let mut state = self.state();
        while state.ready.len() >= size && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ready.len() * 2 >= size && !state.closed {
            state = self.rest(state, PAUSE);
        }
        !state.closed
    }

    /// Waits for a while, unless the stock is closed.
    fn rest<'a>(&'a self, state: MutexGuard<'a, State<T>>, time: Duration) -> MutexGuard<'a, State<T>> {
        let waited = self.changed.wait_timeout_while(state, time, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl<T: Send + 'static> Stock<T> {
    /// Starts to keep `size` things ready that `make` makes; `None` of it means that it could not.
    pub(crate) fn open(size: usize, mut make: impl FnMut() -> Option<T> + Send + 'static) -> Self {
        let state = Mutex::new(State { ready: VecDeque::with_capacity(size), closed: false });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let own = shared.clone();
        let worker = std::thread::spawn(move || {
            while own.wait_for_room(size) {
                let new = make();
                let mut state = own.state();
                match new {
                    Some(thing) if !state.closed => state.ready.push_back(thing),
                    // Closed meanwhile: it goes, but not under the lock.
                    Some(thing) => {
                        drop(state);
                        drop(thing);
                    }
                    None => drop(own.rest(state, REST)),
                }
            }
        });
        Self { shared, worker: Some(worker) }
    }

    /// Takes the oldest one; `None` when the stock is empty.
    pub(crate) fn take(&self) -> Option<T> {
        let taken = self.shared.state().ready.pop_front();
        self.shared.changed.notify_all();
        taken
    }

    /// Stops refilling and lets everything go. Waits for what is being made.
    pub(crate) fn close(&mut self) {
        let left = {
            let mut state = self.shared.state();
            state.closed = true;
            std::mem::take(&mut state.ready)
        };
        self.shared.changed.notify_all();
        drop(left);
        if let Some(worker) = self.worker.take() {
            // It ends by itself; a panic of it was printed where it happened.
            let _ = worker.join();
        }
    }
}

impl<T: Send + 'static> Drop for Stock<T> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts how many of it exist.
    struct Counted(Arc<AtomicUsize>);

    impl Counted {
        fn new(alive: &Arc<AtomicUsize>) -> Self {
            alive.fetch_add(1, Ordering::SeqCst);
            Self(alive.clone())
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn wait_until(holds: impl Fn() -> bool) {
        while !holds() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn is_filled_up_to_its_size_and_leaves_nothing() {
        let alive = Arc::new(AtomicUsize::new(0));
        let source = alive.clone();
        let stock = Stock::open(3, move || Some(Counted::new(&source)));
        wait_until(|| alive.load(Ordering::SeqCst) == 3);
        let taken = stock.take().unwrap();
        wait_until(|| alive.load(Ordering::SeqCst) == 4);
        drop(stock);
        assert_eq!(alive.load(Ordering::SeqCst), 1);
        drop(taken);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn what_cannot_be_made_is_not_waited_for() {
        let stock: Stock<u8> = Stock::open(2, || None);
        assert!(stock.take().is_none());
        let empty: Stock<u8> = Stock::open(0, || Some(1));
        assert!(empty.take().is_none());
    }
}
