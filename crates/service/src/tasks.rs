//! Background work by name, so that none is forgotten at the end; the only place that spawns.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of one process. Clones speak of the same tasks.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    last_number: u64,
    tasks: BTreeMap<u64, (&'static str, Option<AbortHandle>)>,
}

impl Tasks {
    /// Makes an empty set whose shutdown has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the token that is cancelled when shutdown begins.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    /// Runs a future to its end. It should watch [`Tasks::shutdown`]; what still runs after the grace time is dropped.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let entry = Entry { tasks: self.clone(), number: self.register(name) };
        let number = entry.number;
        let handle = self.0.tracker.spawn(async move {
            let _entry = entry;
            future.await;
        });
        // The task may already be over, and its entry with it.
        if let Some((_, abort)) = self.running_tasks().tasks.get_mut(&number) {
            *abort = Some(handle.abort_handle());
        }
    }

    /// Runs a future that may be dropped at any await point as soon as shutdown begins.
    pub fn spawn_until_shutdown(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        let shutdown = self.0.shutdown.clone();
        self.spawn(name, async move {
            let _: Option<()> = shutdown.run_until_cancelled_owned(future).await;
        });
    }

    /// Returns the names of what runs, oldest first.
    pub fn running(&self) -> Vec<&'static str> {
        self.running_tasks().tasks.values().map(|(name, _)| *name).collect()
    }

    /// Begins shutdown, waits at most `grace`, drops what is left and returns its names.
    pub async fn finish(&self, grace: Duration) -> Vec<&'static str> {
        self.0.shutdown.cancel();
        self.0.tracker.close();
        if tokio::time::timeout(grace, self.0.tracker.wait()).await.is_ok() {
            return Vec::new();
        }
        let left = self.running();
        for (_, abort) in self.running_tasks().tasks.values() {
            if let Some(abort) = abort {
                abort.abort();
            }
        }
        left
    }

    fn register(&self, name: &'static str) -> u64 {
        let mut running = self.running_tasks();
        running.last_number += 1;
        let number = running.last_number;
        running.tasks.insert(number, (name, None));
        number
    }

    /// No task runs under this lock, so a poisoned one still holds a sound map.
    fn running_tasks(&self) -> MutexGuard<'_, Running> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a task off the list when it ends, is dropped or panics.
#[derive(Debug)]
struct Entry {
    tasks: Tasks,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.tasks.running_tasks().tasks.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_for_those_that_watch() {
        let tasks = Tasks::new();
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("watcher", async move { shutdown.cancelled().await });
        tasks.spawn_until_shutdown("sleeper", std::future::pending());
        assert_eq!(tasks.running(), ["watcher", "sleeper"]);
        assert!(tasks.finish(Duration::from_secs(5)).await.is_empty());
        assert!(tasks.running().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn names_and_drops_the_stubborn() {
        let tasks = Tasks::new();
        tasks.spawn("stubborn", std::future::pending());
        tasks.spawn("brief", async {});
        assert_eq!(tasks.finish(Duration::from_secs(5)).await, ["stubborn"]);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(tasks.running().is_empty());
    }

    #[tokio::test]
    async fn a_panic_takes_only_its_own_task() {
        let tasks = Tasks::new();
        tasks.spawn("broken", async { panic!("on purpose") });
        tasks.spawn("whole", async {});
        assert!(tasks.finish(Duration::from_secs(5)).await.is_empty());
        assert!(tasks.running().is_empty());
    }
}
