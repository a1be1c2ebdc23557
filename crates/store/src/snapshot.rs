//! Rows of snapshots: of sandboxes, of images that were pulled or built, and everybody's.

use sqlx::sqlite::SqliteRow;
use tokio::sync::broadcast;
use types::build::{Build, BuildState};
use types::snapshot::{SavedSnapshot, SnapshotChange, SnapshotState};
use types::{BuildId, OrganizationId, SnapshotId, Timestamp};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;

/// The statement counts, so that nobody is let in between the question and the answer.
const INSERT: &str = "INSERT INTO snapshot (id, organization_id, name, image, state, error_reason, source_sandbox_id, \
    image_name, build_id, reference, entrypoint, resources, size_bytes, created_at, updated_at, last_used_at, \
    deactivated_at, generation) \
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18 \
    WHERE $19 IS NULL OR (SELECT count(*) FROM snapshot WHERE organization_id = $2 \
     AND state NOT IN ('inactive', 'removing')) < $19";
/// What is put into use again counts again.
const UPDATE: &str = "UPDATE snapshot SET state = $3, error_reason = $4, size_bytes = $5, updated_at = $6, \
    last_used_at = $7, deactivated_at = $8, generation = generation + 1 WHERE id = $1 AND generation = $2 \
    AND ($9 IS NULL OR (SELECT count(*) FROM snapshot AS other WHERE other.organization_id = snapshot.organization_id \
     AND other.id <> snapshot.id AND other.state NOT IN ('inactive', 'removing')) < $9)";
const HAS_GENERATION: &str = "SELECT 1 FROM snapshot WHERE id = $1 AND generation = $2";
const GET: &str = "SELECT * FROM snapshot WHERE id = $1";
/// An id wins over a name that spells the same, and an organisation's own over everybody's.
const FIND: &str = "SELECT * FROM snapshot WHERE (id = $2 OR name = $2) AND state <> 'removing' \
    AND (organization_id = $1 OR organization_id IS NULL) \
    ORDER BY id = $2 DESC, organization_id IS NULL LIMIT 1";
const LIST: &str = "SELECT * FROM snapshot WHERE (organization_id = $1 OR organization_id IS NULL) \
    AND state <> 'removing' ORDER BY created_at, id";
const LIST_IN: &str = "SELECT * FROM snapshot WHERE state = $1";
const LIST_GENERAL: &str = "SELECT * FROM snapshot WHERE organization_id IS NULL";
/// Nothing else, so that it can neither undo nor be undone by another write.
const TOUCH: &str = "UPDATE snapshot SET last_used_at = max(coalesce(last_used_at, 0), $2) WHERE id = $1";
/// Whoever took it is gone, or was never asked.
const FAIL_ORPHANS: &str = "UPDATE snapshot SET state = 'error', updated_at = $2, generation = generation + 1, \
    error_reason = 'the sandbox was gone, or the server ended, before the snapshot was taken' \
    WHERE state = 'snapshotting' AND updated_at < $1 AND NOT EXISTS \
    (SELECT 1 FROM sandbox WHERE sandbox.id = snapshot.source_sandbox_id AND sandbox.capture = snapshot.id \
     AND sandbox.observed <> 'destroyed') RETURNING *";
/// Only what can be brought back: the image of one that was taken of a sandbox is nowhere else.
const DEACTIVATE_UNUSED: &str = "UPDATE snapshot SET state = 'inactive', updated_at = $2, deactivated_at = $2, \
    generation = generation + 1 WHERE state = 'active' AND build_id IS NOT NULL \
    AND max(coalesce(last_used_at, 0), updated_at) < $1 RETURNING *";
const ENTRYPOINT: &str = "SELECT entrypoint FROM snapshot WHERE build_id = $1 AND entrypoint IS NOT NULL ORDER BY created_at LIMIT 1";
const FOLLOW_RUNNING: &str = "UPDATE snapshot SET state = $2, updated_at = $3, error_reason = NULL, \
    generation = generation + 1 WHERE build_id = $1 AND state IN ('pending', 'active') RETURNING *";
const FOLLOW_DONE: &str = "UPDATE snapshot SET state = 'active', updated_at = $2, error_reason = NULL, size_bytes = $3, \
    reference = $4, entrypoint = coalesce(entrypoint, $5), generation = generation + 1 \
    WHERE build_id = $1 AND state IN ('pending', 'pulling', 'building') RETURNING *";
const FOLLOW_FAILED: &str = "UPDATE snapshot SET state = $2, updated_at = $3, error_reason = $4, \
    generation = generation + 1 WHERE build_id = $1 AND state IN ('pending', 'pulling', 'building') RETURNING *";
const DELETE: &str = "DELETE FROM snapshot WHERE id = $1 RETURNING *";

/// Returns the id of a snapshot that everybody has: always the same for a name.
pub fn general_id(name: &str) -> SnapshotId {
    let hash = crate::api_key::hash(&format!("general snapshot {name}"));
    let start = hash.get(..32).and_then(|digits| u128::from_str_radix(digits, 16).ok()).unwrap_or_default();
    // Version 8 and the usual variant: a UUID whose other bits are the maker's own.
    let versioned = (start & !(0xf << 76)) | (0x8 << 76);
    SnapshotId::from_u128((versioned & !(0b11 << 62)) | (0b10 << 62))
}

impl Store {
    /// Adds a snapshot, however many there are.
    pub async fn snapshot_insert(&self, snapshot: &SavedSnapshot) -> Result<(), StoreError> {
        self.snapshot_admit(snapshot, None).await
    }

    /// Adds a snapshot if its organisation has no more than it may.
    pub async fn snapshot_admit(
        &self,
        snapshot: &SavedSnapshot,
        most: Option<u32>,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(INSERT)
            .bind(snapshot.id.to_string())
            .bind(snapshot.organization_id.map(|id| id.to_string()))
            .bind(&snapshot.name)
            .bind(&snapshot.image)
            .bind(snapshot.state.as_str())
            .bind(&snapshot.error_reason)
            .bind(snapshot.source_sandbox_id.map(|id| id.to_string()))
            .bind(&snapshot.image_name)
            .bind(snapshot.build_id.map(|id| id.to_string()))
            .bind(&snapshot.reference)
            .bind(snapshot.entrypoint.as_deref().map(column::texts_text))
            .bind(column::resources_text(snapshot.resources))
            .bind(i64::try_from(snapshot.size_bytes).unwrap_or(i64::MAX))
            .bind(snapshot.created_at.as_millisecond())
            .bind(snapshot.updated_at.as_millisecond())
            .bind(snapshot.last_used_at.map(Timestamp::as_millisecond))
            .bind(snapshot.deactivated_at.map(Timestamp::as_millisecond))
            .bind(snapshot.generation)
            .bind(most)
            .execute(&self.writer)
            .await
            .map_err(StoreError::insert("insert a snapshot", "snapshot", &snapshot.name))?;
        if done.rows_affected() == 0 {
            return Err(StoreError::TooMany { noun: "snapshot", most: most.unwrap_or_default() });
        }
        self.snapshot_changed(SnapshotChange::Written(snapshot.clone()));
        Ok(())
    }

    /// Writes what changes of a snapshot: its state, its reason, its size and its times, if the row is still the one that
    /// `snapshot` was read from. Returns the new row, or `None` when someone else wrote first.
    pub async fn snapshot_update(
        &self,
        snapshot: SavedSnapshot,
    ) -> Result<Option<SavedSnapshot>, StoreError> {
        self.snapshot_update_within(snapshot, None).await
    }

    /// Does the same if its organisation has no more than it may.
    pub async fn snapshot_update_within(
        &self,
        snapshot: SavedSnapshot,
        most: Option<u32>,
    ) -> Result<Option<SavedSnapshot>, StoreError> {
        let done = sqlx::query(UPDATE)
            .bind(snapshot.id.to_string())
            .bind(snapshot.generation)
            .bind(snapshot.state.as_str())
            .bind(&snapshot.error_reason)
            .bind(i64::try_from(snapshot.size_bytes).unwrap_or(i64::MAX))
            .bind(snapshot.updated_at.as_millisecond())
            .bind(snapshot.last_used_at.map(Timestamp::as_millisecond))
            .bind(snapshot.deactivated_at.map(Timestamp::as_millisecond))
            .bind(most)
            .execute(&self.writer)
            .await
            .map_err(StoreError::query("update a snapshot"))?;
        if done.rows_affected() == 1 {
            let written = SavedSnapshot { generation: snapshot.generation + 1, ..snapshot };
            self.snapshot_changed(SnapshotChange::Written(written.clone()));
            return Ok(Some(written));
        }
        let Some(most) = most else { return Ok(None) };
        let query = sqlx::query(HAS_GENERATION).bind(snapshot.id.to_string()).bind(snapshot.generation);
        let row = query.fetch_optional(&self.writer).await;
        match row.map_err(StoreError::query("read a snapshot's generation"))? {
            Some(_) => Err(StoreError::TooMany { noun: "snapshot", most }),
            None => Ok(None),
        }
    }

    /// Finds a snapshot by id, whoever owns it and whatever its state.
    pub async fn snapshot_get(&self, id: SnapshotId) -> Result<Option<SavedSnapshot>, StoreError> {
        let query = sqlx::query(GET).bind(id.to_string()).fetch_optional(&self.reader);
        query.await.map_err(StoreError::query("get a snapshot"))?.as_ref().map(read).transpose()
    }

    /// Finds a snapshot of an organisation, or everybody's, by its id or its name.
    pub async fn snapshot_find(
        &self,
        organization: OrganizationId,
        id_or_name: &str,
    ) -> Result<Option<SavedSnapshot>, StoreError> {
        let query = sqlx::query(FIND).bind(organization.to_string()).bind(id_or_name);
        let row = query.fetch_optional(&self.reader).await.map_err(StoreError::query("find a snapshot"))?;
        row.as_ref().map(read).transpose()
    }

    /// Lists the snapshots of an organisation and everybody's, oldest first.
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

    /// Lists everybody's snapshots.
    pub async fn snapshot_list_general(&self) -> Result<Vec<SavedSnapshot>, StoreError> {
        let rows = sqlx::query(LIST_GENERAL).fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list everybody's snapshots"))?.iter().map(read).collect()
    }

    /// Notes that a sandbox was made from a snapshot at `at`; never moves the mark back.
    pub async fn snapshot_touch(&self, id: SnapshotId, at: Timestamp) -> Result<(), StoreError> {
        let query = sqlx::query(TOUCH).bind(id.to_string()).bind(at.as_millisecond());
        query.execute(&self.writer).await.map_err(StoreError::query("note a snapshot's use"))?;
        Ok(())
    }

    /// Fails the snapshots that were asked for before `before` and that no sandbox is to fill; returns how many.
    pub async fn snapshot_fail_orphans(
        &self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let query = sqlx::query(FAIL_ORPHANS).bind(before.as_millisecond()).bind(now.as_millisecond());
        self.written(query.fetch_all(&self.writer).await, "fail orphaned snapshots").map(|rows| rows.len())
    }

    /// Puts the snapshots out of use that nobody used since `before` and that can be brought back.
    pub async fn snapshot_deactivate_unused(
        &self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<SavedSnapshot>, StoreError> {
        let query = sqlx::query(DEACTIVATE_UNUSED).bind(before.as_millisecond()).bind(now.as_millisecond());
        self.written(query.fetch_all(&self.writer).await, "put unused snapshots out of use")
    }

    /// Returns what the sandboxes of the snapshot that waits for a build are to run first, if that is said.
    pub async fn snapshot_entrypoint(&self, build: BuildId) -> Result<Option<Vec<String>>, StoreError> {
        let row = sqlx::query(ENTRYPOINT).bind(build.to_string()).fetch_optional(&self.writer).await;
        let row = row.map_err(StoreError::query("find the entrypoint of a snapshot"))?;
        row.map_or(Ok(None), |row| column::optional_word(&row, "entrypoint", column::texts))
    }

    /// Lets the snapshots that wait for a build be what has become of it; returns how many changed.
    pub async fn snapshot_follow(&self, build: &Build, now: Timestamp) -> Result<usize, StoreError> {
        let is_built = build.recipe.is_built();
        let word =
            |built: SnapshotState, pulled: SnapshotState| (if is_built { built } else { pulled }).as_str();
        let (id, now) = (build.id.to_string(), now.as_millisecond());
        let rows = match (build.state, &build.made) {
            (BuildState::Running, _) => {
                let state = word(SnapshotState::Building, SnapshotState::Pulling);
                sqlx::query(FOLLOW_RUNNING).bind(id).bind(state).bind(now).fetch_all(&self.writer).await
            }
            (BuildState::Done, Some(made)) => {
                sqlx::query(FOLLOW_DONE)
                    .bind(id)
                    .bind(now)
                    .bind(i64::try_from(made.size_bytes).unwrap_or(i64::MAX))
                    .bind(build.reference())
                    .bind(column::texts_text(&build.entrypoint()))
                    .fetch_all(&self.writer)
                    .await
            }
            (BuildState::Failed, _) => {
                let state = word(SnapshotState::BuildFailed, SnapshotState::Error);
                let query = sqlx::query(FOLLOW_FAILED).bind(id).bind(state).bind(now);
                query.bind(&build.error_reason).fetch_all(&self.writer).await
            }
            (BuildState::Done | BuildState::Pending | BuildState::Idle, _) => return Ok(0),
        };
        self.written(rows, "let snapshots follow a build").map(|rows| rows.len())
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

    /// Tells of the rows that a statement wrote, and returns them.
    fn written(
        &self,
        rows: Result<Vec<SqliteRow>, sqlx::Error>,
        action: &'static str,
    ) -> Result<Vec<SavedSnapshot>, StoreError> {
        let rows = rows.map_err(StoreError::query(action))?;
        let snapshots: Vec<_> = rows.iter().map(read).collect::<Result<_, _>>()?;
        for snapshot in &snapshots {
            self.snapshot_changed(SnapshotChange::Written(snapshot.clone()));
        }
        Ok(snapshots)
    }

    /// Tells of a row just written or forgotten; nobody may be listening.
    fn snapshot_changed(&self, change: SnapshotChange) {
        let _ = self.snapshot_changes.send(change);
    }
}

fn read(row: &SqliteRow) -> Result<SavedSnapshot, StoreError> {
    Ok(SavedSnapshot {
        id: column::id(row, "id")?,
        organization_id: column::id_or_none(row, "organization_id")?,
        name: column::plain(row, "name")?,
        image: column::plain(row, "image")?,
        state: column::word(row, "state", SnapshotState::parse)?,
        error_reason: column::plain(row, "error_reason")?,
        source_sandbox_id: column::id_or_none(row, "source_sandbox_id")?,
        image_name: column::plain(row, "image_name")?,
        build_id: column::id_or_none(row, "build_id")?,
        reference: column::plain(row, "reference")?,
        entrypoint: column::optional_word(row, "entrypoint", column::texts)?,
        resources: column::word(row, "resources", column::resources)?,
        size_bytes: column::integer(row, "size_bytes")?,
        created_at: column::moment(row, "created_at")?,
        updated_at: column::moment(row, "updated_at")?,
        last_used_at: column::moment_or_none(row, "last_used_at")?,
        deactivated_at: column::moment_or_none(row, "deactivated_at")?,
        generation: column::plain(row, "generation")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_general_id_is_a_uuid_of_its_own_kind() {
        let text = general_id("default").to_string();
        assert_eq!(text.as_bytes()[14], b'8', "{text}");
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{text}");
        assert_eq!(general_id("default"), general_id("default"));
        assert_ne!(general_id("default"), general_id("other"));
    }
}
