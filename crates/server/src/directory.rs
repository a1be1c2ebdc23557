//! What the proxy asks, answered from the control plane's rows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use api::callers::Callers;
use api::error::ApiError;
use async_trait::async_trait;
use proxy::{Directory, Grant, Refusal};
use runner::host::Host;
use service::Tasks;
use store::Store;
use tracing::warn;
use types::api_key::Permission;
use types::sandbox::Observed;
use types::{Clock, SandboxId, Timestamp};

/// How long a use of a sandbox stands for the uses after it: writing each down would cost a write for each command.
const ACTIVITY_SPACING: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

/// How long a use waits until it is written down.
const NOTE_DELAY: std::time::Duration = std::time::Duration::from_secs(1);

/// Knows who may call which sandbox, and where it is.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) store: Store,
    pub(crate) callers: Arc<Callers>,
    pub(crate) host: Arc<Host>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    pub(crate) touched: Mutex<HashMap<SandboxId, Timestamp>>,
}

#[async_trait]
impl Directory for Rows {
    async fn authorize(&self, bearer: &str, sandbox: &str) -> Result<Grant, Refusal> {
        let caller = self.callers.authenticate(bearer).await.map_err(|error| match error {
            ApiError::InvalidCredentials => Refusal::Unauthorized,
            _ => Refusal::Unavailable,
        })?;
        // The path is untrusted text; whatever is no id of ours cannot be found.
        let id: SandboxId = sandbox.parse().map_err(|_| Refusal::NotFound)?;
        let standing = self.store.sandbox_standing(id).await.map_err(|_| Refusal::Unavailable)?;
        let standing = standing.filter(|standing| standing.organization_id == caller.organization_id);
        let standing = standing.ok_or(Refusal::NotFound)?;
        if !caller.permissions.contains(&Permission::WriteSandboxes) {
            return Err(Refusal::Forbidden);
        }
        let state = types::sandbox::state::reported(standing.desired, standing.observed);
        if standing.observed != Observed::Started || state != "started" {
            return Err(Refusal::NotRunning { state: state.to_owned() });
        }
        Ok(Grant { sandbox_id: id })
    }

    fn socket(&self, sandbox_id: SandboxId) -> PathBuf {
        self.host.socket(&sandbox_id.to_string())
    }

    fn touched(&self, sandbox_id: SandboxId) {
        let now = self.clock.now();
        {
            let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
            if touched.get(&sandbox_id).is_some_and(|last| now.duration_since(*last) < ACTIVITY_SPACING) {
                return;
            }
            // Old entries stand for nothing any more.
            touched.retain(|_, last| now.duration_since(*last) < ACTIVITY_SPACING);
            touched.insert(sandbox_id, now);
        }
        let store = self.store.clone();
        let shutdown = self.tasks.shutdown().clone();
        self.tasks.spawn("activity note", async move {
            // Not at once: nobody waits for it, and the command that caused it would share its processor.
            let _ = shutdown.run_until_cancelled(tokio::time::sleep(NOTE_DELAY)).await;
            if let Err(error) = store.sandbox_touch(sandbox_id, now).await {
                warn!(sandbox.id = %sandbox_id, "cannot note activity: {}", service::field::Chain(&error));
            }
        });
    }
}
