//! What is made of a sandbox: forks and snapshots.

use daytona_wire::api::sandbox::{CreateSandboxSnapshot, ForkSandbox};
use types::SnapshotId;
use types::sandbox::Sandbox;
use types::snapshot::{SavedSnapshot, SnapshotState};

use crate::callers::Caller;
use crate::error::ApiError;
use crate::lifecycle::copy as rules;
use crate::sandbox::{create, row};
use crate::state::ApiState;
use crate::{limits, snapshot};

/// Makes a sandbox whose files are those of another, and waits a while until it takes commands.
pub(crate) async fn fork(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
    asked: ForkSandbox,
) -> Result<Sandbox, ApiError> {
    let parent = rules::copyable(row::find(state, caller, reference).await?)?;
    let blank = create::blank(state, parent.organization_id, asked.name)?;
    create::make(state, caller, child(parent, blank)).await
}

/// What a fork has of its parent. Its place, its secrets and its time are its own.
fn child(parent: Sandbox, blank: Sandbox) -> Sandbox {
    Sandbox {
        snapshot: parent.snapshot,
        image: parent.image,
        region: parent.region,
        user: parent.user,
        env: parent.env,
        labels: parent.labels,
        public: parent.public,
        network: parent.network,
        resources: parent.resources,
        intervals: parent.intervals,
        parent_id: Some(parent.id),
        ..blank
    }
}

/// Asks for a snapshot and answers at once. Its row comes first, so that whoever takes it finds it; a row that nobody is
/// asked to fill, because this request ended in between, is found and failed by the engine.
pub(crate) async fn capture(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
    asked: CreateSandboxSnapshot,
) -> Result<Sandbox, ApiError> {
    if asked.include_memory == Some(true) {
        return Err(ApiError::invalid("Memory snapshots are not supported for container sandboxes"));
    }
    limits::new_snapshot(&asked.name)?;
    let source = rules::copyable(row::find(state, caller, reference).await?)?;
    // A name has one meaning for a tenant: none of everybody's is covered by one's own.
    snapshot::must_be_free(state, &asked.name).await?;
    let taken = saved(state, &source, asked.name);
    let admitted = state.store.snapshot_admit(&taken, state.settings.snapshot_quota).await;
    admitted.map_err(snapshot::refusal)?;
    let wish = |sandbox| rules::capture(sandbox, taken.id);
    match row::change(state, caller, &source.id.to_string(), wish).await {
        Ok(written) => {
            state.engine.wake_with(written.clone());
            Ok(written)
        }
        Err(error) => {
            state.store.snapshot_delete(taken.id).await?;
            Err(error)
        }
    }
}

fn saved(state: &ApiState, source: &Sandbox, name: String) -> SavedSnapshot {
    let (id, now) = (SnapshotId::random(state.random.as_ref()), state.clock.now());
    SavedSnapshot {
        state: SnapshotState::Snapshotting,
        source_sandbox_id: Some(source.id),
        resources: source.resources,
        ..SavedSnapshot::new(id, Some(source.organization_id), name, now)
    }
}
