//! The keys that are known, and when they are asked for again.
//!
//! One question is under way at most, in a task of its own, so that whoever waits for it may leave; and between the
//! beginnings of two lies [`SPACING`], whatever is asked of us. When the provider does not answer, what it said last goes
//! on to hold: it is no reason to lock everybody out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use service::Tasks;
use service::field::Chain;
use tokio::sync::watch;
use tracing::{info, warn};
use types::{Clock, Timestamp};

use crate::key::KeySet;
use crate::source::Source;

/// The least time between two questions.
pub const SPACING: std::time::Duration = std::time::Duration::from_secs(10);
/// How old keys may be before they are asked for again, although all that is needed is among them: one that the provider
/// no longer stands by must go.
pub const RENEWAL: std::time::Duration = std::time::Duration::from_mins(15);

/// The keys of one provider.
#[derive(Debug)]
pub(crate) struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: Option<Arc<KeySet>>,
    known_at: Option<Timestamp>,
    asked_at: Option<Timestamp>,
    /// Closed once the question that is under way is answered.
    under_way: Option<watch::Receiver<()>>,
    failed: bool,
}

impl Keys {
    /// Knows none yet; the first question is asked when the first token comes.
    pub(crate) fn new(source: Source, clock: Arc<dyn Clock>, tasks: Tasks) -> Self {
        Self(Arc::new(Inner { source, clock, tasks, state: Mutex::default() }))
    }

    /// Returns the keys that are known, old ones renewed. Whoever needs old ones waits for that, unless the provider did not
    /// answer when it was asked last.
    pub(crate) async fn known(&self) -> Option<Arc<KeySet>> {
        let (known, is_old, failed) = {
            let state = self.0.state();
            let is_old = state.known_at.is_none_or(|at| self.0.passed(at, RENEWAL));
            (state.known.clone(), is_old, state.failed)
        };
        let Some(known) = known else { return self.fresher_than(None).await };
        if is_old && failed {
            drop(self.0.clone().ask());
        } else if is_old {
            return self.fresher_than(Some(&known)).await.or(Some(known));
        }
        Some(known)
    }

    /// Returns other keys than these, if the provider has some and may be asked now.
    pub(crate) async fn fresher_than(&self, seen: Option<&Arc<KeySet>>) -> Option<Arc<KeySet>> {
        let newer = |state: &State| {
            let is_other = |known: &&Arc<KeySet>| seen.is_none_or(|seen| !Arc::ptr_eq(known, seen));
            state.known.as_ref().filter(is_other).cloned()
        };
        if let Some(known) = newer(&self.0.state()) {
            return Some(known);
        }
        let mut answer = self.0.clone().ask()?;
        // Fails when the question is over, which is what is waited for.
        let _ = answer.changed().await;
        newer(&self.0.state())
    }
}

impl Inner {
    /// Asks the provider, unless that is under way already; `None` when it was asked too short a time ago.
    fn ask(self: Arc<Self>) -> Option<watch::Receiver<()>> {
        let now = self.clock.now();
        let mut state = self.state();
        if let Some(answer) = state.under_way.as_ref().filter(|answer| answer.has_changed().is_ok()) {
            return Some(answer.clone());
        }
        if state.asked_at.is_some_and(|at| !self.passed(at, SPACING)) {
            return None;
        }
        let (done, answer) = watch::channel(());
        state.asked_at = Some(now);
        state.under_way = Some(answer.clone());
        drop(state);
        let tasks = self.tasks.clone();
        tasks.spawn_until_shutdown("login provider's keys", async move {
            self.fetch().await;
            drop(done);
        });
        Some(answer)
    }

    async fn fetch(&self) {
        let fetched = self.source.fetch().await;
        let mut state = self.state();
        match fetched {
            Ok(keys) => {
                if keys.is_empty() {
                    warn!("the login provider publishes no key that can be used: no token is taken");
                } else if state.failed {
                    info!("the login provider answers again");
                }
                state.failed = false;
                state.known_at = Some(self.clock.now());
                state.known = Some(Arc::new(keys));
            }
            Err(error) => {
                if !state.failed {
                    let rest = if state.known.is_some() {
                        "its last keys go on to hold"
                    } else {
                        "no token is taken"
                    };
                    warn!("cannot get the keys of the login provider, {rest}: {}", Chain(&error));
                }
                state.failed = true;
            }
        }
    }

    /// Tells whether so much time lies between a moment and now, in whichever direction the clock was set since.
    fn passed(&self, since: Timestamp, at_least: std::time::Duration) -> bool {
        self.clock.now().duration_since(since).unsigned_abs() >= at_least
    }

    /// Nothing runs under this lock, so a poisoned one still holds sound keys.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
