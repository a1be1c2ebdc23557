//! A row to a sandbox.

use sqlx::sqlite::SqliteRow;
use types::build::BuildState;
use types::resource::Resources;
use types::sandbox::{Desired, Intervals, Network, Observed, Preparation, Sandbox};

use crate::column;
use crate::error::StoreError;

/// How many rows are read before others have their turn.
const READ_AT_ONCE: usize = 100;

/// Reads rows, however many, without keeping a thread from its other tasks.
pub(crate) async fn read_each(rows: &[SqliteRow]) -> Vec<Result<Sandbox, StoreError>> {
    let mut sandboxes = Vec::with_capacity(rows.len());
    for (number, some) in rows.chunks(READ_AT_ONCE).enumerate() {
        if number > 0 {
            tokio::task::yield_now().await;
        }
        sandboxes.extend(some.iter().map(read));
    }
    sandboxes
}

/// Reads a row that was selected with all its columns.
pub(crate) fn read(row: &SqliteRow) -> Result<Sandbox, StoreError> {
    let network_applied: Option<&str> = column::plain(row, "network_applied")?;
    let resources_applied: Option<&str> = column::plain(row, "resources_applied")?;
    Ok(Sandbox {
        id: column::id(row, "id")?,
        organization_id: column::id(row, "organization_id")?,
        name: column::plain(row, "name")?,
        snapshot: column::plain(row, "snapshot")?,
        image: column::plain(row, "image")?,
        region: column::plain(row, "region")?,
        user: column::plain(row, "os_user")?,
        env: column::map(row, "env")?,
        labels: column::map(row, "labels")?,
        public: column::plain(row, "public")?,
        network: column::word(row, "network", column::network)?,
        network_applied: network_applied.map(network_column).transpose()?,
        resources: Resources {
            cpu: column::integer(row, "cpu")?,
            gpu: column::integer(row, "gpu")?,
            memory_gib: column::integer(row, "memory_gib")?,
            disk_gib: column::integer(row, "disk_gib")?,
        },
        resources_applied: resources_applied.map(resources_column).transpose()?,
        intervals: Intervals {
            auto_stop: column::integer(row, "auto_stop")?,
            auto_pause: column::integer(row, "auto_pause")?,
            auto_archive: column::integer(row, "auto_archive")?,
            auto_delete: column::integer(row, "auto_delete")?,
        },
        desired: column::word(row, "desired", Desired::parse)?,
        stop_forced: column::plain(row, "stop_forced")?,
        observed: column::word(row, "observed", Observed::parse)?,
        error_reason: column::plain(row, "error_reason")?,
        failure: column::optional_word(row, "failure", column::failure)?,
        recoverable: column::plain(row, "recoverable")?,
        recovering: column::plain(row, "recovering")?,
        parent_id: column::id_or_none(row, "parent_id")?,
        linked_id: column::id_or_none(row, "linked_id")?,
        capture: column::id_or_none(row, "capture")?,
        preparation: preparation(row)?,
        volumes: column::word(row, "volumes", column::volumes)?,
        backup: column::optional_word(row, "backup", column::backup)?.unwrap_or_default(),
        destroy_at: column::moment_or_none(row, "destroy_at")?,
        queue_timeout: column::integer_or_none(row, "queue_timeout")?,
        queue_timed_out_at: column::moment_or_none(row, "queue_timed_out_at")?,
        warm_pool_id: column::id_or_none(row, "warm_pool_id")?,
        signing_key: column::plain(row, "signing_key")?,
        auth_token: column::plain(row, "auth_token")?,
        daemon_version: column::plain(row, "daemon_version")?,
        created_at: column::moment(row, "created_at")?,
        updated_at: column::moment(row, "updated_at")?,
        last_activity_at: column::moment(row, "last_activity_at")?,
        generation: column::plain(row, "generation")?,
    })
}

fn preparation(row: &SqliteRow) -> Result<Option<Preparation>, StoreError> {
    let Some(build_id) = column::id_or_none(row, "build_id")? else { return Ok(None) };
    Ok(Some(Preparation { build_id, state: column::word(row, "build_state", BuildState::parse)? }))
}

fn network_column(text: &str) -> Result<Network, StoreError> {
    column::network(text).ok_or_else(|| column::corrupt("network_applied", text))
}

fn resources_column(text: &str) -> Result<Resources, StoreError> {
    column::resources(text).ok_or_else(|| column::corrupt("resources_applied", text))
}
