//! Rows of volumes. A deleted one stays as a memory.

use sqlx::sqlite::SqliteRow;
use types::volume::{Volume, VolumeState};
use types::{OrganizationId, Timestamp, VolumeId};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;

/// Counted and written in one statement, so that nobody is let in between.
const INSERT: &str = "INSERT INTO volume (id, organization_id, name, state, created_at, updated_at) \
    SELECT $1, $2, $3, $4, $5, $5 WHERE $6 > (SELECT count(*) FROM volume WHERE organization_id = $2 \
    AND state NOT IN ('deleting', 'deleted'))";
const GET: &str = "SELECT * FROM volume WHERE id = $1";
const FIND: &str = "SELECT * FROM volume WHERE organization_id = $1 AND name = $2 \
    AND state NOT IN ('deleting', 'deleted')";
const LIST: &str = "SELECT * FROM volume WHERE organization_id = $1 AND ($2 OR state <> 'deleted') \
    ORDER BY last_used_at DESC NULLS LAST, created_at DESC, id";
const LIST_MOVING: &str = "SELECT * FROM volume WHERE state IN ('creating', 'deleting') ORDER BY id";
const SETTLE: &str = "UPDATE volume SET state = $3, error_reason = $4, updated_at = $5, name = $6 \
    WHERE id = $1 AND state = $2";
/// Whoever has it keeps it from going: that is asked in the statement that lets it go.
const DELETE: &str = "UPDATE volume SET state = 'deleting', updated_at = $2 \
    WHERE id = $1 AND state IN ('ready', 'error') AND NOT EXISTS \
    (SELECT 1 FROM sandbox, json_each(sandbox.volumes) AS mount WHERE sandbox.organization_id = volume.organization_id \
     AND sandbox.volumes <> '[]' AND sandbox.observed <> 'destroyed' AND sandbox.desired <> 'destroyed' \
     AND mount.value ->> 'volume' = volume.id) RETURNING *";
const TOUCH: &str = "UPDATE volume SET last_used_at = max(coalesce(last_used_at, 0), $2) WHERE id = $1";

impl Store {
    /// Adds a volume if its organisation then has no more than `most`; tells whether it did.
    pub async fn volume_insert(&self, volume: &Volume, most: u32) -> Result<bool, StoreError> {
        let done = sqlx::query(INSERT)
            .bind(volume.id.to_string())
            .bind(volume.organization_id.to_string())
            .bind(&volume.name)
            .bind(volume.state.as_str())
            .bind(volume.created_at.as_millisecond())
            .bind(most)
            .execute(&self.writer)
            .await
            .map_err(StoreError::insert("insert a volume", "volume", &volume.name))?;
        Ok(done.rows_affected() == 1)
    }

    /// Finds a volume by its id, whoever owns it and whatever its state.
    pub async fn volume_get(&self, id: VolumeId) -> Result<Option<Volume>, StoreError> {
        let query = sqlx::query(GET).bind(id.to_string()).fetch_optional(&self.reader);
        query.await.map_err(StoreError::query("get a volume"))?.as_ref().map(read).transpose()
    }

    /// Finds a volume of an organisation by its name; deleted ones have none.
    pub async fn volume_find(
        &self,
        organization: OrganizationId,
        name: &str,
    ) -> Result<Option<Volume>, StoreError> {
        let query = sqlx::query(FIND).bind(organization.to_string()).bind(name).fetch_optional(&self.reader);
        query.await.map_err(StoreError::query("find a volume"))?.as_ref().map(read).transpose()
    }

    /// Lists the volumes of an organisation, last used first; deleted ones too when asked for.
    pub async fn volume_list(
        &self,
        organization: OrganizationId,
        include_deleted: bool,
    ) -> Result<Vec<Volume>, StoreError> {
        let query = sqlx::query(LIST).bind(organization.to_string()).bind(include_deleted);
        let rows = query.fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list volumes"))?.iter().map(read).collect()
    }

    /// Lists the volumes of all organisations whose place on the host is yet to be made or removed.
    pub async fn volume_list_moving(&self) -> Result<Vec<Volume>, StoreError> {
        let rows = sqlx::query(LIST_MOVING).fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list volumes on their way"))?.iter().map(read).collect()
    }

    /// Writes what became of a volume that was in the state `before`; tells whether it still was.
    pub async fn volume_settle(&self, volume: &Volume, before: VolumeState) -> Result<bool, StoreError> {
        let done = sqlx::query(SETTLE)
            .bind(volume.id.to_string())
            .bind(before.as_str())
            .bind(volume.state.as_str())
            .bind(&volume.error_reason)
            .bind(volume.updated_at.as_millisecond())
            .bind(&volume.name)
            .execute(&self.writer)
            .await
            .map_err(StoreError::query("note what became of a volume"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Asks for a volume to go, if no sandbox has it and nothing else is being done with it. Returns the row as it is then.
    pub async fn volume_delete(&self, id: VolumeId, now: Timestamp) -> Result<Option<Volume>, StoreError> {
        let query = sqlx::query(DELETE).bind(id.to_string()).bind(now.as_millisecond());
        let row = query.fetch_optional(&self.writer).await;
        row.map_err(StoreError::query("delete a volume"))?.as_ref().map(read).transpose()
    }

    /// Notes that a sandbox was made with a volume at `at`; never moves the mark back.
    pub async fn volume_touch(&self, id: VolumeId, at: Timestamp) -> Result<(), StoreError> {
        let query = sqlx::query(TOUCH).bind(id.to_string()).bind(at.as_millisecond());
        query.execute(&self.writer).await.map_err(StoreError::query("note a volume's use"))?;
        Ok(())
    }
}

fn read(row: &SqliteRow) -> Result<Volume, StoreError> {
    Ok(Volume {
        id: column::id(row, "id")?,
        organization_id: column::id(row, "organization_id")?,
        name: column::plain(row, "name")?,
        state: column::word(row, "state", VolumeState::parse)?,
        error_reason: column::plain(row, "error_reason")?,
        created_at: column::moment(row, "created_at")?,
        updated_at: column::moment(row, "updated_at")?,
        last_used_at: column::moment_or_none(row, "last_used_at")?,
    })
}
