//! What a step of one sandbox asks of others: its parent, its owner, its followers, and the snapshot of it.

use store::StoreError;
use tracing::{info, warn};
use types::sandbox::{Desired, Observed, Sandbox};
use types::snapshot::{SavedSnapshot, SnapshotState};
use types::{SandboxId, SnapshotId};

use crate::loops::sandbox::Keeper;
use crate::plan::Step;
use crate::port::{Class, RunnerError};
use crate::seen::Seen;

/// Why a snapshot is not taken of a sandbox that is not there any more.
const SOURCE_GONE: &str = "the sandbox failed or was deleted before its snapshot was taken";

impl Keeper {
    /// Brings others to where `step` may be done.
    pub(crate) async fn prepare(&self, sandbox: &Sandbox, step: &Step) -> Result<(), RunnerError> {
        match step {
            Step::Destroy => self.cascade(sandbox.id).await.map_err(|error| away(sandbox, error)),
            Step::Fork { parent } => {
                self.must_be_there(sandbox, *parent, "fork it: the sandbox it is forked from is gone").await
            }
            Step::Create => match sandbox.linked_id {
                Some(owner) => {
                    self.must_be_there(sandbox, owner, "link it: the sandbox it is linked to is gone").await
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn must_be_there(
        &self,
        sandbox: &Sandbox,
        other: SandboxId,
        gone: &str,
    ) -> Result<(), RunnerError> {
        let other = self.store.sandbox_get(other).await.map_err(|error| away(sandbox, error))?;
        let is_there = other.is_some_and(|other| {
            other.desired != Desired::Destroyed && other.observed != Observed::Destroyed
        });
        let refused = || RunnerError { class: Class::Gone, action: gone.to_owned(), source: None };
        is_there.then_some(()).ok_or_else(refused)
    }

    /// Asks that every sandbox goes that shares the network of one that goes.
    async fn cascade(&self, owner: SandboxId) -> Result<(), StoreError> {
        for follower in self.store.sandbox_list_linked(owner).await? {
            let mut current = Some(follower);
            while let Some(sandbox) = current.filter(|sandbox| sandbox.desired != Desired::Destroyed) {
                let id = sandbox.id;
                let going = Sandbox { desired: Desired::Destroyed, updated_at: self.clock.now(), ..sandbox };
                if let Some(written) = self.store.sandbox_update_desired(going).await? {
                    info!(sandbox.id = %id, %owner, "a sandbox goes with the one that it is linked to");
                    // Nobody listens once the engine ends; the next one finds it.
                    let _ = self.others.send(written);
                    break;
                }
                current = self.store.sandbox_get(id).await?;
            }
        }
        Ok(())
    }

    /// Writes what became of a snapshot before the sandbox forgets that it was wanted. Returns the sandbox as it is to be
    /// written.
    pub(crate) async fn settle_snapshot(
        &self,
        mut updated: Sandbox,
        wanted: Option<SnapshotId>,
        seen: &Seen,
    ) -> Result<Sandbox, StoreError> {
        let Some(id) = wanted.or(updated.capture) else {
            return Ok(updated);
        };
        match seen {
            Seen::Captured(captured) => {
                self.snapshot_ends(id, SnapshotState::Active, None, captured.size_bytes).await?;
            }
            Seen::CaptureFailed { reason } => {
                self.snapshot_ends(id, SnapshotState::Error, Some(reason), 0).await?;
            }
            _ if matches!(updated.observed, Observed::Destroyed | Observed::Error) => {
                updated.capture = None;
                self.snapshot_ends(id, SnapshotState::Error, Some(SOURCE_GONE), 0).await?;
            }
            _ => {}
        }
        Ok(updated)
    }

    async fn snapshot_ends(
        &self,
        id: SnapshotId,
        state: SnapshotState,
        reason: Option<&str>,
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        match self.store.snapshot_get(id).await? {
            Some(snapshot) if snapshot.state == SnapshotState::Snapshotting => {
                let (error_reason, updated_at) = (reason.map(str::to_owned), self.clock.now());
                let ended = SavedSnapshot { state, error_reason, size_bytes, updated_at, ..snapshot };
                self.store.snapshot_update(ended).await.map(drop)
            }
            // It was deleted while it was taken: its image is nobody's.
            None if state == SnapshotState::Active => {
                if let Err(error) = self.runner.forget(&SavedSnapshot::image_of(id)).await {
                    warn!(%id, error = &error as &dyn std::error::Error, "cannot remove the image of a snapshot");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The store does not answer: that passes.
fn away(sandbox: &Sandbox, error: StoreError) -> RunnerError {
    let action = format!("read what sandbox {} depends on", sandbox.id);
    RunnerError { class: Class::Retry, action, source: Some(error.into()) }
}
