//! What is made of a sandbox: forks and snapshots.

use daytona_wire::api::sandbox::{CreateSandboxSnapshot, ForkSandbox};
use store::StoreError;
use types::SnapshotId;
use types::sandbox::Sandbox;
use types::snapshot::{SavedSnapshot, SnapshotState};

use crate::callers::Caller;
use crate::error::ApiError;
use crate::lifecycle::copy as rules;
use crate::limits;
use crate::sandbox::{create, row};
use crate::state::ApiState;

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
    if state.runner.snapshot(&asked.name).await?.is_some() {
        return Err(ApiError::SnapshotNameTaken { name: asked.name });
    }
    let snapshot = saved(state, &source, asked.name);
    state.store.snapshot_insert(&snapshot).await.map_err(|error| match error {
        StoreError::Taken { key, .. } => ApiError::SnapshotNameTaken { name: key },
        error => error.into(),
    })?;
    let wish = |sandbox| rules::capture(sandbox, snapshot.id);
    match row::change(state, caller, &source.id.to_string(), wish).await {
        Ok(written) => {
            state.engine.wake_with(written.clone());
            Ok(written)
        }
        Err(error) => {
            state.store.snapshot_delete(snapshot.id).await?;
            Err(error)
        }
    }
}

fn saved(state: &ApiState, source: &Sandbox, name: String) -> SavedSnapshot {
    let (id, now) = (SnapshotId::random(state.random.as_ref()), state.clock.now());
    SavedSnapshot {
        id,
        organization_id: source.organization_id,
        name,
        image: SavedSnapshot::image_of(id),
        state: SnapshotState::Snapshotting,
        error_reason: None,
        source_sandbox_id: source.id,
        resources: source.resources,
        size_bytes: 0,
        created_at: now,
        updated_at: now,
        last_used_at: None,
    }
}
