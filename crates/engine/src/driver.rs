//! Signal, tick and waiting: runs a reconciler once per key at a time, and knows no noun.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Brings things to rest.
#[async_trait]
pub(crate) trait Reconcile: Send + Sync + 'static {
    /// Names one thing.
    type Key: Copy + Eq + Hash + Send + Sync + 'static;
    /// What is known of it.
    type Row: Clone + Send + Sync + 'static;

    /// Brings one thing to rest and returns its last row. `hint` is the row as the waker knew it; `woken` tells that
    /// something changed, so that a pause may end.
    async fn reconcile(&self, key: Self::Key, hint: Option<Self::Row>, woken: &Notify) -> Option<Self::Row>;

    /// Lists what is not at rest.
    async fn moving(&self) -> Vec<Self::Key>;
}

/// Runs a reconciler. Cheap to clone.
pub(crate) struct Driver<R: Reconcile> {
    inner: Arc<Inner<R>>,
}

struct Inner<R: Reconcile> {
    reconciler: R,
    slots: Mutex<HashMap<R::Key, Slot<R::Row>>>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// One key being worked on.
struct Slot<Row> {
    /// Set by a wake during the work: there may be more to do.
    again: bool,
    woken: Arc<Notify>,
    done: watch::Sender<Option<Row>>,
}

impl<R: Reconcile> Clone for Driver<R> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<R: Reconcile> fmt::Debug for Driver<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Driver")
            .field("working_on", &self.inner.slots().len())
            .finish_non_exhaustive()
    }
}

impl<R: Reconcile> Driver<R> {
    /// Wraps a reconciler; nothing runs until the first wake.
    pub(crate) fn new(reconciler: R, stopping: CancellationToken) -> Self {
        let inner = Inner { reconciler, slots: Mutex::default(), tasks: TaskTracker::new(), stopping };
        Self { inner: Arc::new(inner) }
    }

    /// Returns the reconciler.
    pub(crate) fn reconciler(&self) -> &R {
        &self.inner.reconciler
    }

    /// Hints that `key` may have something to do. Returns at once.
    pub(crate) fn wake(&self, key: R::Key, hint: Option<R::Row>) {
        if self.inner.stopping.is_cancelled() {
            return;
        }
        let mut slots = self.inner.slots();
        if let Some(slot) = slots.get_mut(&key) {
            slot.again = true;
            slot.woken.notify_one();
            return;
        }
        let woken = Arc::new(Notify::new());
        slots.insert(key, Slot { again: false, woken: Arc::clone(&woken), done: watch::channel(None).0 });
        drop(slots);
        let inner = Arc::clone(&self.inner);
        self.inner.tasks.spawn(async move { inner.work(key, hint, &woken).await });
    }

    /// Waits until nothing is being done about `key`, at most for `patience`. Returns its row at rest, or `None` when
    /// the wait ended otherwise or nothing was being done: then the store knows.
    pub(crate) async fn wait(&self, key: R::Key, patience: Duration) -> Option<R::Row> {
        let mut done = self.inner.slots().get(&key)?.done.subscribe();
        tokio::time::timeout(patience, done.changed()).await.ok()?.ok()?;
        done.borrow().clone()
    }

    /// Runs `work` every `period` until the shutdown, the first time after one period.
    pub(crate) fn every<F>(&self, period: Duration, work: impl Fn(Self) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let driver = self.clone();
        self.inner.tasks.spawn(async move {
            let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = driver.inner.stopping.cancelled() => return,
                    _ = ticks.tick() => work(driver.clone()).await,
                }
            }
        });
    }

    /// Runs a loop that ends by itself at the shutdown.
    pub(crate) fn spawn<F>(&self, work: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.inner.tasks.spawn(work(self.clone()));
    }

    /// Wakes what comes, with what is known of it, until the shutdown.
    pub(crate) fn follow(
        &self,
        mut rows: UnboundedReceiver<R::Row>,
        key: impl Fn(&R::Row) -> R::Key + Send + 'static,
    ) {
        let driver = self.clone();
        self.inner.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = driver.inner.stopping.cancelled() => return,
                    row = rows.recv() => match row {
                        Some(row) => driver.wake(key(&row), Some(row)),
                        None => return,
                    },
                }
            }
        });
    }

    /// Wakes everything that is not at rest.
    pub(crate) async fn scan(self) {
        for key in self.inner.reconciler.moving().await {
            self.wake(key, None);
        }
    }

    /// Takes no more work and waits for the steps under way, at most for `grace`. Returns whether all ended.
    pub(crate) async fn shutdown(&self, grace: Duration) -> bool {
        self.inner.stopping.cancel();
        self.inner.tasks.close();
        tokio::time::timeout(grace, self.inner.tasks.wait()).await.is_ok()
    }
}

impl<R: Reconcile> Inner<R> {
    async fn work(&self, key: R::Key, mut hint: Option<R::Row>, woken: &Notify) {
        loop {
            let row = self.reconciler.reconcile(key, hint.take(), woken).await;
            let mut slots = self.slots();
            let more = slots.get_mut(&key).is_some_and(|slot| std::mem::take(&mut slot.again));
            if more && !self.stopping.is_cancelled() {
                continue;
            }
            if let Some(slot) = slots.remove(&key) {
                slot.done.send_replace(row);
            }
            return;
        }
    }

    /// Locks the slots. A panic elsewhere cannot leave them half changed: every change is one assignment.
    fn slots(&self) -> MutexGuard<'_, HashMap<R::Key, Slot<R::Row>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
