//! Phase 3: a paused sandbox goes on before it is called. One wake is enough for all calls that wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service::Tasks;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use types::SandboxId;

use crate::directory::{Directory, Grant, Refusal};
use crate::error::ProxyError;

/// How long a wake may take, and so how long a call waits. Resuming takes milliseconds; what stands before it may not.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long after a call was let in a pause is taken for one that the call came after. Some time, because a busy host may be
/// slow to begin a call; no long one, because whoever pauses a command that runs for long means it.
const CAUGHT_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked, meanwhile, whether a pause caught a call that has no answer yet.
const LOOK_PERIOD: Duration = Duration::from_millis(250);
/// Calls that may wait for one sandbox. Each holds a connection and nothing else: its body is not read yet.
const WAITING_PER_SANDBOX: usize = 256;
/// Calls that may wait altogether.
const WAITING: usize = 4096;

/// The wakes under way. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Wakes {
    tasks: Tasks,
    under_way: Arc<Mutex<HashMap<SandboxId, watch::Sender<Option<Outcome>>>>>,
}

type Outcome = Result<(), Refusal>;

impl Wakes {
    /// Makes an empty set whose wakes are driven by `tasks`.
    pub(crate) fn new(tasks: Tasks) -> Self {
        Self { tasks, under_way: Arc::default() }
    }

    /// Returns when the sandbox runs: at once where it is not paused.
    pub(crate) async fn wake(&self, directory: &Arc<dyn Directory>, grant: Grant) -> Result<(), ProxyError> {
        if !grant.is_asleep {
            return Ok(());
        }
        let mut outcome = self.join(directory, grant.sandbox_id)?;
        // A wake that is dropped has no outcome: this server ends.
        let known = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        known.unwrap_or(Err(Refusal::Unavailable)).map_err(ProxyError::from)
    }

    /// Waits for the answer of a sandbox that ran when the call was let in. A pause soon after may have caught the call
    /// before it was begun; the sandbox is woken as for a call that comes after the pause. Whoever is caught later is held
    /// with all else in it.
    pub(crate) async fn beside<F: Future>(
        &self,
        directory: &Arc<dyn Directory>,
        sandbox_id: SandboxId,
        answer: F,
    ) -> F::Output {
        let mut answer = std::pin::pin!(answer);
        let until = Instant::now() + CAUGHT_WITHIN;
        while Instant::now() < until {
            if let Ok(answer) = timeout(LOOK_PERIOD, answer.as_mut()).await {
                return answer;
            }
            // Where it does not run at all, the answer says so.
            tokio::select! {
                answer = answer.as_mut() => return answer,
                _ = self.wake(directory, Grant { sandbox_id, is_asleep: true }) => {}
            }
        }
        answer.await
    }

    /// Joins those who wait for a sandbox; the first has it woken.
    fn join(
        &self,
        directory: &Arc<dyn Directory>,
        sandbox_id: SandboxId,
    ) -> Result<watch::Receiver<Option<Outcome>>, ProxyError> {
        let mut under_way = self.lock();
        let altogether: usize = under_way.values().map(watch::Sender::receiver_count).sum();
        let waiting = under_way.get(&sandbox_id).map_or(0, watch::Sender::receiver_count);
        if waiting >= WAITING_PER_SANDBOX || altogether >= WAITING {
            return Err(ProxyError::TooManyWaiting { waiting: waiting.max(altogether) });
        }
        if let Some(outcome) = under_way.get(&sandbox_id) {
            return Ok(outcome.subscribe());
        }
        let (sender, receiver) = watch::channel(None);
        under_way.insert(sandbox_id, sender);
        drop(under_way);
        // Not part of the first call: its client may go away, and the others wait on.
        let listed = Listed { wakes: self.clone(), sandbox_id };
        let directory = Arc::clone(directory);
        self.tasks.spawn_until_shutdown("sandbox wake", async move {
            let outcome = timeout(PATIENCE, directory.wake(sandbox_id)).await;
            listed.end(outcome.unwrap_or_else(|_| Err(Refusal::NotRunning { state: "resuming".to_owned() })));
        });
        Ok(receiver)
    }

    /// Nothing under this lock can panic half-way, so a poisoned one still holds a sound map.
    fn lock(&self) -> MutexGuard<'_, HashMap<SandboxId, watch::Sender<Option<Outcome>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wake on the list. Dropped before its end, it leaves the list without an outcome.
struct Listed {
    wakes: Wakes,
    sandbox_id: SandboxId,
}

impl Listed {
    /// Tells those who wait. They are told before the list is free for another wake.
    fn end(self, outcome: Outcome) {
        if let Some(sender) = self.wakes.lock().get(&self.sandbox_id) {
            sender.send_replace(Some(outcome));
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.wakes.lock().remove(&self.sandbox_id);
    }
}
