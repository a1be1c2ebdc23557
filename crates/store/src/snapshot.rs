//! Rows of the snapshots that organisations made of their sandboxes.

use sqlx::sqlite::SqliteRow;
use tokio::sync::broadcast;
use types::snapshot::{SavedSnapshot, SnapshotChange, SnapshotState};
use types::{OrganizationId, SnapshotId, Timestamp};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;

const INSERT: &str = "INSERT INTO snapshot (id, organization_id, name, image, state, error_reason, source_sandbox_id, \
    resources, size_bytes, created_at, updated_at, last_used_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const UPDATE: &str = "UPDATE snapshot SET state = $2, error_reason = $3, size_bytes = $4, updated_at = $5, \
    last_used_at = $6 WHERE id = $1";
const GET: &str = "SELECT * FROM snapshot WHERE id = $1";
/// An id wins over a name that spells the same.
const FIND: &str = "SELECT * FROM snapshot WHERE organization_id = $1 AND state <> 'removing' \
    AND (id = $2 OR name = $2) ORDER BY id = $2 DESC LIMIT 1";
const LIST: &str =
    "SELECT * FROM snapshot WHERE organization_id = $1 AND state <> 'removing' ORDER BY created_at, id";
const LIST_IN: &str = "SELECT * FROM snapshot WHERE state = $1";
/// Nothing else, so that it can neither undo nor be undone by another write.
const TOUCH: &str = "UPDATE snapshot SET last_used_at = max(coalesce(last_used_at, 0), $2) WHERE id = $1";
/// Whoever took it is gone, or was never asked.
const FAIL_ORPHANS: &str = "UPDATE snapshot SET state = 'error', updated_at = $2, \
    error_reason = 'the sandbox was gone, or the server ended, before the snapshot was taken' \
    WHERE state = 'snapshotting' AND updated_at < $1 AND NOT EXISTS \
    (SELECT 1 FROM sandbox WHERE sandbox.id = snapshot.source_sandbox_id AND sandbox.capture = snapshot.id \
     AND sandbox.observed <> 'destroyed') RETURNING *";
const DELETE: &str = "DELETE FROM snapshot WHERE id = $1 RETURNING *";

impl Store {
    /// Adds a snapshot.
    pub async fn snapshot_insert(&self, snapshot: &SavedSnapshot) -> Result<(), StoreError> {
        sqlx::query(INSERT)
            .bind(snapshot.id.to_string())
            .bind(snapshot.organization_id.to_string())
            .bind(&snapshot.name)
            .bind(&snapshot.image)
            .bind(snapshot.state.as_str())
            .bind(&snapshot.error_reason)
            .bind(snapshot.source_sandbox_id.to_string())
            .bind(column::resources_text(snapshot.resources))
            .bind(i64::try_from(snapshot.size_bytes).unwrap_or(i64::MAX))
            .bind(snapshot.created_at.as_millisecond())
            .bind(snapshot.updated_at.as_millisecond())
            .bind(snapshot.last_used_at.map(Timestamp::as_millisecond))
            .execute(&self.writer)
            .await
            .map_err(StoreError::insert("insert a snapshot", "snapshot", &snapshot.name))?;
        self.snapshot_changed(SnapshotChange::Written(snapshot.clone()));
        Ok(())
    }

    /// Writes what changes of a snapshot: its state, its reason, its size and its times.
    pub async fn snapshot_update(&self, snapshot: &SavedSnapshot) -> Result<(), StoreError> {
        let done = sqlx::query(UPDATE)
            .bind(snapshot.id.to_string())
            .bind(snapshot.state.as_str())
            .bind(&snapshot.error_reason)
            .bind(i64::try_from(snapshot.size_bytes).unwrap_or(i64::MAX))
            .bind(snapshot.updated_at.as_millisecond())
            .bind(snapshot.last_used_at.map(Timestamp::as_millisecond))
            .execute(&self.writer)
            .await
            .map_err(StoreError::query("update a snapshot"))?;
        if done.rows_affected() == 1 {
            self.snapshot_changed(SnapshotChange::Written(snapshot.clone()));
        }
        Ok(())
    }

    /// Finds a snapshot by id, whoever owns it and whatever its state.
    pub async fn snapshot_get(&self, id: SnapshotId) -> Result<Option<SavedSnapshot>, StoreError> {
        let query = sqlx::query(GET).bind(id.to_string()).fetch_optional(&self.reader);
        query.await.map_err(StoreError::query("get a snapshot"))?.as_ref().map(read).transpose()
    }

    /// Finds a snapshot of an organisation by its id or its name.
    pub async fn snapshot_find(
        &self,
        organization: OrganizationId,
        id_or_name: &str,
    ) -> Result<Option<SavedSnapshot>, StoreError> {
        let query = sqlx::query(FIND).bind(organization.to_string()).bind(id_or_name);
        let row = query.fetch_optional(&self.reader).await.map_err(StoreError::query("find a snapshot"))?;
        row.as_ref().map(read).transpose()
    }

    /// Lists the snapshots of an organisation, oldest first.
    pub async fn snapshot_list(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<SavedSnapshot>, StoreError> {
        let rows = sqlx::query(LIST).bind(organization.to_string()).fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list snapshots"))?.iter().map(read).collect()
    }

    /// Lists the snapshots of all organisations that are in one state.
    pub async fn snapshot_list_in(&self, state: SnapshotState) -> Result<Vec<SavedSnapshot>, StoreError> {
        let rows = sqlx::query(LIST_IN).bind(state.as_str()).fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list snapshots by state"))?.iter().map(read).collect()
    }

    /// Notes that a sandbox was made from a snapshot at `at`; never moves the mark back.
    pub async fn snapshot_touch(&self, id: SnapshotId, at: Timestamp) -> Result<(), StoreError> {
        let query = sqlx::query(TOUCH).bind(id.to_string()).bind(at.as_millisecond());
        query.execute(&self.writer).await.map_err(StoreError::query("note a snapshot's use"))?;
        Ok(())
    }

    /// Fails the snapshots that were asked for before `before` and that no sandbox is to fill; returns how many.
    pub async fn snapshot_fail_orphans(&self, before: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        let query = sqlx::query(FAIL_ORPHANS).bind(before.as_millisecond()).bind(now.as_millisecond());
        let rows =
            query.fetch_all(&self.writer).await.map_err(StoreError::query("fail orphaned snapshots"))?;
        for row in &rows {
            self.snapshot_changed(SnapshotChange::Written(read(row)?));
        }
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }

    /// Forgets a snapshot.
    pub async fn snapshot_delete(&self, id: SnapshotId) -> Result<(), StoreError> {
        let query = sqlx::query(DELETE).bind(id.to_string()).fetch_optional(&self.writer);
        let row = query.await.map_err(StoreError::query("delete a snapshot"))?;
        if let Some(row) = row {
            self.snapshot_changed(SnapshotChange::Deleted(read(&row)?));
        }
        Ok(())
    }

    /// Returns what is done to the rows of snapshots from now on. Who falls behind is told how many were missed.
    pub fn snapshot_changes(&self) -> broadcast::Receiver<SnapshotChange> {
        self.snapshot_changes.subscribe()
    }

    /// Tells of a row just written or forgotten; nobody may be listening.
    fn snapshot_changed(&self, change: SnapshotChange) {
        let _ = self.snapshot_changes.send(change);
    }
}

fn read(row: &SqliteRow) -> Result<SavedSnapshot, StoreError> {
    let size_bytes: i64 = column::plain(row, "size_bytes")?;
    Ok(SavedSnapshot {
        id: column::id(row, "id")?,
        organization_id: column::id(row, "organization_id")?,
        name: column::plain(row, "name")?,
        image: column::plain(row, "image")?,
        state: column::word(row, "state", SnapshotState::parse)?,
        error_reason: column::plain(row, "error_reason")?,
        source_sandbox_id: column::id(row, "source_sandbox_id")?,
        resources: column::word(row, "resources", column::resources)?,
        size_bytes: size_bytes.unsigned_abs(),
        created_at: column::moment(row, "created_at")?,
        updated_at: column::moment(row, "updated_at")?,
        last_used_at: column::moment_or_none(row, "last_used_at")?,
    })
}
