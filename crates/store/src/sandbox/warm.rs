//! Sandboxes that wait in warm pools until somebody asks for one of their kind.

use types::sandbox::Sandbox;
use types::{Timestamp, WarmPoolId};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;
use crate::sandbox::read;

const COUNT_READY: &str = "SELECT count(*) FROM sandbox WHERE warm_pool_id = $1 AND observed = 'started' \
    AND desired = 'started'";
const LIST_MEMBERS: &str = "SELECT * FROM sandbox WHERE warm_pool_id = $1 AND observed <> 'destroyed' \
    AND desired <> 'destroyed' ORDER BY created_at, id";
const LIST_LOST: &str = "SELECT * FROM sandbox WHERE warm_pool_id IS NOT NULL AND observed <> 'destroyed' \
    AND desired <> 'destroyed' AND warm_pool_id NOT IN (SELECT id FROM warm_pool)";
/// The one that waits longest, among those that are what the new one is to be.
const FIND_READY: &str = "SELECT sandbox.* FROM warm_pool \
    JOIN sandbox ON sandbox.warm_pool_id = warm_pool.id \
    WHERE warm_pool.organization_id = $1 AND warm_pool.snapshot = $2 AND warm_pool.region = $3 \
    AND sandbox.image = $4 AND sandbox.cpu = $5 AND sandbox.gpu = $6 AND sandbox.memory_gib = $7 \
    AND sandbox.disk_gib = $8 AND sandbox.observed = 'started' AND sandbox.desired = 'started' \
    AND sandbox.at_rest = 1 ORDER BY sandbox.created_at, sandbox.id LIMIT 1";
const TAKE: &str = "UPDATE sandbox SET warm_pool_id = NULL, name = $3, labels = $4, public = $5, network = $6, \
    auto_stop = $7, auto_archive = $8, auto_delete = $9, auto_pause = $10, destroy_at = $11, queue_timeout = $12, \
    created_at = $13, updated_at = $13, last_activity_at = $13, at_rest = $14, generation = generation + 1 \
    WHERE id = $1 AND generation = $2";

impl Store {
    /// Counts the sandboxes that can be taken from a pool.
    pub async fn warm_pool_count_ready(&self, id: WarmPoolId) -> Result<u32, StoreError> {
        let query = sqlx::query_scalar(COUNT_READY).bind(id.to_string()).fetch_one(&self.reader);
        let count: i64 = query.await.map_err(StoreError::query("count the ready of a warm pool"))?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Lists the sandboxes of a pool that are there and not asked to go, ready or not, oldest first.
    pub async fn warm_pool_members(&self, id: WarmPoolId) -> Result<Vec<Sandbox>, StoreError> {
        let rows = sqlx::query(LIST_MEMBERS).bind(id.to_string()).fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list the sandboxes of a warm pool"))?.iter().map(read).collect()
    }

    /// Lists the sandboxes whose pool is gone.
    pub async fn warm_pool_lost(&self) -> Result<Vec<Sandbox>, StoreError> {
        let rows = sqlx::query(LIST_LOST).fetch_all(&self.reader).await;
        let rows = rows.map_err(StoreError::query("list the sandboxes of warm pools that are gone"))?;
        rows.iter().map(read).collect()
    }

    /// Takes a ready sandbox out of its pool and makes it what `wanted` says, whose id and secrets stay unused. Returns
    /// its row, `None` when no pool has one of that snapshot, image, region and resources.
    pub async fn warm_pool_take(&self, wanted: &Sandbox) -> Result<Option<Sandbox>, StoreError> {
        // Most organisations have no pool, and whoever only reads keeps nobody waiting.
        if find_ready(wanted).fetch_optional(&self.reader).await.map_err(failed())?.is_none() {
            return Ok(None);
        }
        // Nobody else writes while this connection is held, so nobody takes the same.
        let mut connection = self.writer().await?;
        let found = find_ready(wanted).fetch_optional(&mut *connection).await.map_err(failed())?;
        let Some(member) = found.as_ref().map(read).transpose()? else { return Ok(None) };
        let taken = become_wanted(member, wanted);
        let writing = self.roster.write(taken.id, Some(&self.standings));
        let done = sqlx::query(TAKE)
            .bind(taken.id.to_string())
            .bind(taken.generation)
            .bind(&taken.name)
            .bind(column::map_text(&taken.labels))
            .bind(taken.public)
            .bind(column::network_text(&taken.network))
            .bind(taken.intervals.auto_stop)
            .bind(taken.intervals.auto_archive)
            .bind(taken.intervals.auto_delete)
            .bind(taken.intervals.auto_pause)
            .bind(taken.destroy_at.map(Timestamp::as_millisecond))
            .bind(taken.queue_timeout)
            .bind(taken.created_at.as_millisecond())
            .bind(taken.at_rest())
            .execute(&mut *connection)
            .await;
        self.standings.written(taken.id);
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                let refused = StoreError::insert("take from a warm pool", "sandbox", &taken.name)(error);
                // A name that is taken was seen to change nothing.
                if matches!(refused, StoreError::Taken { .. }) {
                    writing.end();
                }
                return Err(refused);
            }
        };
        let written = self.next(taken, done.rows_affected());
        writing.end();
        Ok(written)
    }
}

fn find_ready(wanted: &Sandbox) -> sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    sqlx::query(FIND_READY)
        .bind(wanted.organization_id.to_string())
        .bind(&wanted.snapshot)
        .bind(&wanted.region)
        .bind(&wanted.image)
        .bind(wanted.resources.cpu)
        .bind(wanted.resources.gpu)
        .bind(wanted.resources.memory_gib)
        .bind(wanted.resources.disk_gib)
}

fn failed() -> impl FnOnce(sqlx::Error) -> StoreError {
    StoreError::query("find a ready sandbox in a warm pool")
}

/// Gives a sandbox of a pool what a request asked for. Its name is its own id unless the request named it.
fn become_wanted(member: Sandbox, wanted: &Sandbox) -> Sandbox {
    let is_named = wanted.name != wanted.id.to_string();
    Sandbox {
        name: if is_named { wanted.name.clone() } else { member.id.to_string() },
        labels: wanted.labels.clone(),
        public: wanted.public,
        network: wanted.network.clone(),
        intervals: wanted.intervals,
        destroy_at: wanted.destroy_at,
        queue_timeout: wanted.queue_timeout,
        created_at: wanted.created_at,
        updated_at: wanted.created_at,
        last_activity_at: wanted.created_at,
        warm_pool_id: None,
        ..member
    }
}
