//! What the proxy asks, answered from the control plane's rows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use proxy::{Directory, Grant, Proof, Refusal};
use runner::host::Host;
use service::Tasks;
use tracing::warn;
use types::{Clock, SandboxId, Timestamp};

use crate::gate::Gate;
use crate::wake::Waker;

/// How long a use of a sandbox stands for the uses after it: writing each down would cost a write for each command.
const ACTIVITY_SPACING: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);
/// After how long without a use the next is written down at once: a timer may be about to end the sandbox's idle time.
const IDLE: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);
/// How long any other use waits until it is written down.
const NOTE_DELAY: Duration = Duration::from_secs(1);

/// Knows who may call which sandbox, and where it is.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) gate: Gate,
    pub(crate) waker: Waker,
    pub(crate) host: Arc<Host>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    pub(crate) touched: Mutex<HashMap<SandboxId, Timestamp>>,
}

#[async_trait]
impl Directory for Rows {
    async fn authorize(&self, proof: Proof<'_>, sandbox: &str) -> Result<Grant, Refusal> {
        self.gate.admit(proof, sandbox).await
    }

    async fn wake(&self, sandbox_id: SandboxId) -> Result<(), Refusal> {
        self.waker.wake(sandbox_id).await
    }

    fn socket(&self, sandbox_id: SandboxId) -> PathBuf {
        self.host.socket(&sandbox_id.to_string())
    }

    fn touched(&self, sandbox_id: SandboxId) {
        let now = self.clock.now();
        let before = {
            let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
            // What is older says nothing: the row may be about to be found idle.
            let before = touched.get(&sandbox_id).copied().filter(|last| now.duration_since(*last) < IDLE);
            if before.is_some_and(|last| now.duration_since(last) < ACTIVITY_SPACING) {
                return;
            }
            // Old entries stand for nothing any more.
            touched.retain(|_, last| now.duration_since(*last) < IDLE);
            touched.insert(sandbox_id, now);
            before
        };
        let store = self.waker.store.clone();
        let shutdown = self.tasks.shutdown().clone();
        self.tasks.spawn("activity note", async move {
            let standing = match before {
                None => store.sandbox_standing(sandbox_id).await.ok().flatten(),
                Some(_) => None,
            };
            let is_urgent =
                standing.is_some_and(|standing| now.duration_since(standing.last_activity_at) >= IDLE);
            if !is_urgent {
                // Nobody waits for it, and the command that caused it would share its processor.
                let _ = shutdown.run_until_cancelled(tokio::time::sleep(NOTE_DELAY)).await;
            }
            if let Err(error) = store.sandbox_touch(sandbox_id, now).await {
                warn!(sandbox.id = %sandbox_id, "cannot note activity: {}", service::field::Chain(&error));
            }
        });
    }
}
