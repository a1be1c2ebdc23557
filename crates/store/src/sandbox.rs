//! Rows of sandboxes. A destroyed one stays for a while as a memory, and no read finds it.

mod row;
mod admission;
pub mod due;
pub mod every;
pub mod kin;
pub mod list;
mod select;
pub mod page;
pub mod warm;

use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use tokio::sync::broadcast;
use types::quota::{Quota, Usage};
use types::sandbox::Sandbox;
use types::{OrganizationId, SandboxId, Timestamp};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;
use crate::sandbox::row::{read, read_each};
use crate::standing::Standing;

const INSERT: &str = "INSERT INTO sandbox \
    (id, organization_id, name, snapshot, image, region, os_user, env, labels, public, network, network_applied, \
     cpu, gpu, memory_gib, disk_gib, auto_stop, auto_archive, auto_delete, desired, stop_forced, observed, at_rest, \
     error_reason, auth_token, daemon_version, created_at, updated_at, last_activity_at, generation, \
     resources_applied, auto_pause, failure, recoverable, recovering, parent_id, linked_id, capture, backup, destroy_at, \
     queue_timeout, queue_timed_out_at, signing_key, warm_pool_id, build_id, build_state, volumes) \
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, \
     $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, \
     $47 WHERE NOT $48 OR (SELECT ($49 IS NULL OR coalesce(sum(used.cpu), 0) <= $49) \
     AND ($50 IS NULL OR coalesce(sum(used.memory_gib), 0) <= $50) \
     AND ($51 IS NULL OR coalesce(sum(used.disk_gib), 0) <= $51) AND ($52 IS NULL OR count(*) <= $52) \
     FROM sandbox_use AS used WHERE used.organization_id = $2 AND used.id <> $1)";
/// One that waited too long for room stays readable by its id while it is remembered, as in the contract.
const GET: &str =
    "SELECT * FROM sandbox WHERE id = $1 AND (observed <> 'destroyed' OR queue_timed_out_at IS NOT NULL)";
/// An id wins over a name that spells the same; a name is no longer found once its sandbox is asked to go.
const FIND: &str = "SELECT * FROM sandbox WHERE organization_id = $1 \
    AND (observed <> 'destroyed' OR queue_timed_out_at IS NOT NULL) AND (id = $2 OR (name = $2 AND desired <> 'destroyed')) ORDER BY id = $2 DESC LIMIT 1";
const UPDATE_DESIRED: &str = "UPDATE sandbox SET labels = $3, public = $4, network = $5, auto_stop = $6, \
    auto_archive = $7, auto_delete = $8, desired = $9, stop_forced = $10, auth_token = $11, updated_at = $12, \
    last_activity_at = max(last_activity_at, $13), at_rest = $14, cpu = $15, memory_gib = $16, disk_gib = $17, \
    auto_pause = $18, recovering = $19, capture = $20, backup = $21, destroy_at = $22, signing_key = $23, \
    volumes = $24, generation = generation + 1 \
    WHERE id = $1 AND generation = $2 AND (NOT $25 OR (SELECT ($26 IS NULL OR coalesce(sum(used.cpu), 0) <= $26) \
     AND ($27 IS NULL OR coalesce(sum(used.memory_gib), 0) <= $27) \
     AND ($28 IS NULL OR coalesce(sum(used.disk_gib), 0) <= $28) AND ($29 IS NULL OR count(*) <= $29) \
     FROM sandbox_use AS used WHERE used.organization_id = sandbox.organization_id AND used.id <> $1))";
const UPDATE_OBSERVED: &str = "UPDATE sandbox SET observed = $3, error_reason = $4, network_applied = $5, \
    daemon_version = $6, updated_at = $7, at_rest = $8, desired = $9, cpu = $10, memory_gib = $11, disk_gib = $12, \
    resources_applied = $13, failure = $14, recoverable = $15, recovering = $16, capture = $17, backup = $18, \
    queue_timed_out_at = $19, last_activity_at = max(last_activity_at, $20), build_state = $21, \
    generation = generation + 1 \
    WHERE id = $1 AND generation = $2";
const TOUCH: &str = "UPDATE sandbox SET last_activity_at = max(last_activity_at, $2) WHERE id = $1 \
    RETURNING organization_id, last_activity_at";
const HAS_GENERATION: &str = "SELECT 1 FROM sandbox WHERE id = $1 AND generation = $2";
const LIST_MOVING: &str = "SELECT id FROM sandbox WHERE at_rest = 0";
const LIST_ON_HOST: &str =
    "SELECT * FROM sandbox WHERE observed IN ('started', 'paused', 'unknown', 'error', 'stopped', 'ended')";
const LIST_CLAIMED: &str =
    "SELECT * FROM sandbox WHERE observed IN ('started', 'paused', 'unknown', 'error')";
const WAS_DESTROYED: &str = "SELECT 1 FROM sandbox WHERE id = $1 AND observed = 'destroyed'";
const PURGE: &str = "DELETE FROM sandbox WHERE observed = 'destroyed' AND updated_at < $1";

impl Store {
    /// Adds a sandbox, however much there is already.
    pub async fn sandbox_insert(&self, sandbox: &Sandbox) -> Result<(), StoreError> {
        self.sandbox_admit(sandbox, &Quota::default()).await
    }

    /// Adds a sandbox if what its organisation uses stays within the quota.
    pub async fn sandbox_admit(&self, sandbox: &Sandbox, quota: &Quota) -> Result<(), StoreError> {
        let usage = Usage::by(sandbox);
        let writing = self.roster.write(sandbox.id, Some(&self.standings));
        let mut connection = self.writer().await?;
        let query = sqlx::query(INSERT)
            .bind(sandbox.id.to_string())
            .bind(sandbox.organization_id.to_string())
            .bind(&sandbox.name)
            .bind(&sandbox.snapshot)
            .bind(&sandbox.image)
            .bind(&sandbox.region)
            .bind(&sandbox.user)
            .bind(column::map_text(&sandbox.env))
            .bind(column::map_text(&sandbox.labels))
            .bind(sandbox.public)
            .bind(column::network_text(&sandbox.network))
            .bind(sandbox.network_applied.as_ref().map(column::network_text))
            .bind(sandbox.resources.cpu)
            .bind(sandbox.resources.gpu)
            .bind(sandbox.resources.memory_gib)
            .bind(sandbox.resources.disk_gib)
            .bind(sandbox.intervals.auto_stop)
            .bind(sandbox.intervals.auto_archive)
            .bind(sandbox.intervals.auto_delete)
            .bind(sandbox.desired.as_str())
            .bind(sandbox.stop_forced)
            .bind(sandbox.observed.as_str())
            .bind(sandbox.at_rest())
            .bind(&sandbox.error_reason)
            .bind(&sandbox.auth_token)
            .bind(&sandbox.daemon_version)
            .bind(sandbox.created_at.as_millisecond())
            .bind(sandbox.updated_at.as_millisecond())
            .bind(sandbox.last_activity_at.as_millisecond())
            .bind(sandbox.generation)
            .bind(sandbox.resources_applied.map(column::resources_text))
            .bind(sandbox.intervals.auto_pause)
            .bind(sandbox.failure.as_ref().map(column::failure_text))
            .bind(sandbox.recoverable)
            .bind(sandbox.recovering)
            .bind(sandbox.parent_id.map(|id| id.to_string()))
            .bind(sandbox.linked_id.map(|id| id.to_string()))
            .bind(sandbox.capture.map(|id| id.to_string()))
            .bind(column::backup_text(&sandbox.backup))
            .bind(sandbox.destroy_at.map(Timestamp::as_millisecond))
            .bind(sandbox.queue_timeout)
            .bind(sandbox.queue_timed_out_at.map(Timestamp::as_millisecond))
            .bind(&sandbox.signing_key)
            .bind(sandbox.warm_pool_id.map(|id| id.to_string()))
            .bind(sandbox.preparation.map(|preparation| preparation.build_id.to_string()))
            .bind(sandbox.preparation.map(|preparation| preparation.state.as_str()))
            .bind(column::volumes_text(&sandbox.volumes));
        let done = admission::bind(query, usage, quota).execute(&mut *connection).await;
        let done = done.map_err(StoreError::insert("insert a sandbox", "sandbox", &sandbox.name));
        if done.as_ref().is_ok_and(|done| done.rows_affected() == 1) {
            self.changed(sandbox);
        }
        writing.end();
        if done?.rows_affected() == 1 {
            return Ok(());
        }
        let Sandbox { organization_id, id, .. } = *sandbox;
        Err(admission::refusal(&mut connection, organization_id, id, usage, quota).await)
    }

    /// Finds a sandbox by id, whoever owns it.
    pub async fn sandbox_get(&self, id: SandboxId) -> Result<Option<Sandbox>, StoreError> {
        let (_, writes) = self.standings.recall(id);
        let query = sqlx::query(GET).bind(id.to_string());
        let row = query.fetch_optional(&self.reader).await.map_err(StoreError::query("get a sandbox"))?;
        let sandbox = row.as_ref().map(read).transpose()?;
        // Whoever created it reads it last; the first command is asked for next.
        if let Some(sandbox) = &sandbox {
            self.standings.remember(id, Standing::of(sandbox), writes);
        }
        Ok(sandbox)
    }

    /// Tells whether a sandbox was there and is remembered as gone.
    pub async fn sandbox_was_destroyed(&self, id: SandboxId) -> Result<bool, StoreError> {
        let query = sqlx::query(WAS_DESTROYED).bind(id.to_string()).fetch_optional(&self.reader);
        Ok(query.await.map_err(StoreError::query("find a destroyed sandbox"))?.is_some())
    }

    /// Returns the standing of a sandbox, `None` when there is none of that id; as fresh as a read of the row.
    pub async fn sandbox_standing(&self, id: SandboxId) -> Result<Option<Standing>, StoreError> {
        let (known, _) = self.standings.recall(id);
        if known.is_some() {
            return Ok(known);
        }
        let sandbox = self.sandbox_get(id).await?;
        Ok(sandbox.as_ref().map(Standing::of))
    }

    /// Finds a sandbox of an organisation by its id or its name.
    pub async fn sandbox_find(
        &self,
        organization: OrganizationId,
        id_or_name: &str,
    ) -> Result<Option<Sandbox>, StoreError> {
        let query = sqlx::query(FIND).bind(organization.to_string()).bind(id_or_name);
        let row = query.fetch_optional(&self.reader).await.map_err(StoreError::query("find a sandbox"))?;
        row.as_ref().map(read).transpose()
    }

    /// Writes what requests may change, if the row is still the one that `sandbox` was read from. Returns the new row, or
    /// `None` when someone else wrote first.
    pub async fn sandbox_update_desired(&self, sandbox: Sandbox) -> Result<Option<Sandbox>, StoreError> {
        self.sandbox_update_desired_within(sandbox, &Quota::default()).await
    }

    /// Does the same if what the organisation uses stays within the quota.
    pub async fn sandbox_update_desired_within(
        &self,
        sandbox: Sandbox,
        quota: &Quota,
    ) -> Result<Option<Sandbox>, StoreError> {
        let usage = Usage::by(&sandbox);
        let writing = self.roster.write(sandbox.id, Some(&self.standings));
        let mut connection = self.writer().await?;
        let query = sqlx::query(UPDATE_DESIRED)
            .bind(sandbox.id.to_string())
            .bind(sandbox.generation)
            .bind(column::map_text(&sandbox.labels))
            .bind(sandbox.public)
            .bind(column::network_text(&sandbox.network))
            .bind(sandbox.intervals.auto_stop)
            .bind(sandbox.intervals.auto_archive)
            .bind(sandbox.intervals.auto_delete)
            .bind(sandbox.desired.as_str())
            .bind(sandbox.stop_forced)
            .bind(&sandbox.auth_token)
            .bind(sandbox.updated_at.as_millisecond())
            .bind(sandbox.last_activity_at.as_millisecond())
            .bind(sandbox.at_rest())
            .bind(sandbox.resources.cpu)
            .bind(sandbox.resources.memory_gib)
            .bind(sandbox.resources.disk_gib)
            .bind(sandbox.intervals.auto_pause)
            .bind(sandbox.recovering)
            .bind(sandbox.capture.map(|id| id.to_string()))
            .bind(column::backup_text(&sandbox.backup))
            .bind(sandbox.destroy_at.map(Timestamp::as_millisecond))
            .bind(&sandbox.signing_key)
            .bind(column::volumes_text(&sandbox.volumes));
        let done = admission::bind(query, usage, quota).execute(&mut *connection).await;
        self.standings.written(sandbox.id);
        let done = done.map_err(StoreError::query("update what is desired of a sandbox"))?;
        if done.rows_affected() == 0 && !quota.is_unlimited() {
            let query = sqlx::query(HAS_GENERATION).bind(sandbox.id.to_string()).bind(sandbox.generation);
            let row = query.fetch_optional(&mut *connection).await;
            writing.end();
            if row.map_err(StoreError::query("read a sandbox's generation"))?.is_some() {
                let Sandbox { organization_id, id, .. } = sandbox;
                return Err(admission::refusal(&mut connection, organization_id, id, usage, quota).await);
            }
            return Ok(None);
        }
        let written = self.next(sandbox, done.rows_affected());
        writing.end();
        Ok(written)
    }

    /// Writes what the engine saw, if the row is still the one that `sandbox` was read from. Returns the new row, or
    /// `None` when someone else wrote first.
    pub async fn sandbox_update_observed(&self, sandbox: Sandbox) -> Result<Option<Sandbox>, StoreError> {
        let writing = self.roster.write(sandbox.id, Some(&self.standings));
        // Held until the roster knows: rows are noted in the order in which they were written.
        let mut connection = self.writer().await?;
        let done = sqlx::query(UPDATE_OBSERVED)
            .bind(sandbox.id.to_string())
            .bind(sandbox.generation)
            .bind(sandbox.observed.as_str())
            .bind(&sandbox.error_reason)
            .bind(sandbox.network_applied.as_ref().map(column::network_text))
            .bind(&sandbox.daemon_version)
            .bind(sandbox.updated_at.as_millisecond())
            .bind(sandbox.at_rest())
            .bind(sandbox.desired.as_str())
            .bind(sandbox.resources.cpu)
            .bind(sandbox.resources.memory_gib)
            .bind(sandbox.resources.disk_gib)
            .bind(sandbox.resources_applied.map(column::resources_text))
            .bind(sandbox.failure.as_ref().map(column::failure_text))
            .bind(sandbox.recoverable)
            .bind(sandbox.recovering)
            .bind(sandbox.capture.map(|id| id.to_string()))
            .bind(column::backup_text(&sandbox.backup))
            .bind(sandbox.queue_timed_out_at.map(Timestamp::as_millisecond))
            .bind(sandbox.last_activity_at.as_millisecond())
            .bind(sandbox.preparation.map(|preparation| preparation.state.as_str()))
            .execute(&mut *connection)
            .await;
        self.standings.written(sandbox.id);
        let done = done.map_err(StoreError::query("update what was observed of a sandbox"))?;
        let written = self.next(sandbox, done.rows_affected());
        writing.end();
        Ok(written)
    }

    /// Notes that a sandbox was used at `at`; never moves the mark back.
    pub async fn sandbox_touch(&self, id: SandboxId, at: Timestamp) -> Result<(), StoreError> {
        let writing = self.roster.write(id, None);
        let query = sqlx::query(TOUCH).bind(id.to_string()).bind(at.as_millisecond());
        let row = query.fetch_optional(&self.writer).await;
        if let Some(row) = row.map_err(StoreError::query("note a sandbox's activity"))? {
            let at = column::moment(&row, "last_activity_at")?;
            self.roster.touch(column::id(&row, "organization_id")?, id, at);
        }
        writing.end();
        Ok(())
    }

    /// Lists the sandboxes that are not yet what was asked for.
    pub async fn sandbox_list_moving(&self) -> Result<Vec<SandboxId>, StoreError> {
        let rows = sqlx::query(LIST_MOVING).fetch_all(&self.reader).await;
        let rows = rows.map_err(StoreError::query("list the sandboxes not at rest"))?;
        rows.iter().map(|row| column::id(row, "id")).collect()
    }

    /// Lists the sandboxes that have something on their host, or may have.
    pub async fn sandbox_list_on_host(&self) -> Result<Vec<Sandbox>, StoreError> {
        let rows = sqlx::query(LIST_ON_HOST).fetch_all(&self.reader).await;
        let rows = rows.map_err(StoreError::query("list the sandboxes of this host"))?;
        read_each(&rows).await.into_iter().collect()
    }

    /// Lists the sandboxes that claim to run, or of which nothing is known, or nothing good.
    pub async fn sandbox_list_claimed(&self) -> Result<Vec<Sandbox>, StoreError> {
        let rows = sqlx::query(LIST_CLAIMED).fetch_all(&self.reader).await;
        let rows = rows.map_err(StoreError::query("list the sandboxes that claim to run"))?;
        read_each(&rows).await.into_iter().collect()
    }

    /// Forgets the sandboxes that were gone before `before`; returns how many.
    pub async fn sandbox_purge(&self, before: Timestamp) -> Result<u64, StoreError> {
        let query = sqlx::query(PURGE).bind(before.as_millisecond());
        let done =
            query.execute(&self.writer).await.map_err(StoreError::query("purge destroyed sandboxes"))?;
        Ok(done.rows_affected())
    }

    /// Returns every row that is written from now on, as it was written. Who falls behind is told how many were missed.
    pub fn changes(&self) -> broadcast::Receiver<Sandbox> {
        self.changes.subscribe()
    }

    /// Takes the connection that writes.
    async fn writer(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.writer.acquire().await.map_err(StoreError::query("take the connection that writes"))
    }

    /// Tells of a row just written; nobody may be listening.
    fn changed(&self, sandbox: &Sandbox) {
        self.roster.note(sandbox);
        if self.changes.receiver_count() > 0 {
            let _ = self.changes.send(sandbox.clone());
        }
    }

    /// The row as a compare-and-set left it.
    fn next(&self, sandbox: Sandbox, rows_affected: u64) -> Option<Sandbox> {
        let written =
            (rows_affected == 1).then(|| Sandbox { generation: sandbox.generation + 1, ..sandbox })?;
        self.changed(&written);
        Some(written)
    }
}

#[cfg(test)]
mod tests;
