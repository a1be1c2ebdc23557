//! Rows of warm pools.

use sqlx::sqlite::SqliteRow;
use types::warm_pool::WarmPool;
use types::{OrganizationId, Timestamp, WarmPoolId};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;

const INSERT: &str = "INSERT INTO warm_pool (id, organization_id, snapshot, region, size, resources, error_reason, \
    created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const GET: &str = "SELECT * FROM warm_pool WHERE id = $1";
const LIST: &str = "SELECT * FROM warm_pool WHERE organization_id = $1 ORDER BY created_at, id";
const LIST_ALL: &str = "SELECT * FROM warm_pool ORDER BY id";
const RESIZE: &str = "UPDATE warm_pool SET size = $2, updated_at = $3 WHERE id = $1 RETURNING *";
/// Only what the pool's keeper finds out, so that it never undoes what a request asks for.
const NOTE: &str = "UPDATE warm_pool SET error_reason = $2, resources = $3, updated_at = $4 WHERE id = $1";
const DELETE: &str = "DELETE FROM warm_pool WHERE id = $1";
impl Store {
    /// Adds a pool; an organisation has one for each snapshot and region.
    pub async fn warm_pool_insert(&self, pool: &WarmPool) -> Result<(), StoreError> {
        sqlx::query(INSERT)
            .bind(pool.id.to_string())
            .bind(pool.organization_id.to_string())
            .bind(&pool.snapshot)
            .bind(&pool.region)
            .bind(pool.size)
            .bind(column::resources_text(pool.resources))
            .bind(&pool.error_reason)
            .bind(pool.created_at.as_millisecond())
            .bind(pool.updated_at.as_millisecond())
            .execute(&self.writer)
            .await
            .map_err(StoreError::insert("insert a warm pool", "warm pool", &pool.snapshot))?;
        Ok(())
    }

    /// Finds a pool, whoever owns it.
    pub async fn warm_pool_get(&self, id: WarmPoolId) -> Result<Option<WarmPool>, StoreError> {
        let query = sqlx::query(GET).bind(id.to_string()).fetch_optional(&self.reader);
        query.await.map_err(StoreError::query("get a warm pool"))?.as_ref().map(read).transpose()
    }

    /// Lists the pools of an organisation, oldest first.
    pub async fn warm_pool_list(&self, organization: OrganizationId) -> Result<Vec<WarmPool>, StoreError> {
        let rows = sqlx::query(LIST).bind(organization.to_string()).fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list warm pools"))?.iter().map(read).collect()
    }

    /// Lists the pools of all organisations.
    pub async fn warm_pool_list_all(&self) -> Result<Vec<WarmPool>, StoreError> {
        let rows = sqlx::query(LIST_ALL).fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list all warm pools"))?.iter().map(read).collect()
    }

    /// Changes how many sandboxes a pool keeps ready. Returns the new row, `None` when there is none.
    pub async fn warm_pool_resize(
        &self,
        id: WarmPoolId,
        size: u32,
        now: Timestamp,
    ) -> Result<Option<WarmPool>, StoreError> {
        let query = sqlx::query(RESIZE).bind(id.to_string()).bind(size).bind(now.as_millisecond());
        let row = query.fetch_optional(&self.writer).await;
        row.map_err(StoreError::query("resize a warm pool"))?.as_ref().map(read).transpose()
    }

    /// Notes what keeping a pool showed: why it is not full, and what its sandboxes may use.
    pub async fn warm_pool_note(&self, pool: &WarmPool) -> Result<(), StoreError> {
        sqlx::query(NOTE)
            .bind(pool.id.to_string())
            .bind(&pool.error_reason)
            .bind(column::resources_text(pool.resources))
            .bind(pool.updated_at.as_millisecond())
            .execute(&self.writer)
            .await
            .map_err(StoreError::query("note the state of a warm pool"))?;
        Ok(())
    }

    /// Forgets a pool. What waits in it is lost from then on, and can no longer be taken.
    pub async fn warm_pool_delete(&self, id: WarmPoolId) -> Result<(), StoreError> {
        let query = sqlx::query(DELETE).bind(id.to_string()).execute(&self.writer);
        query.await.map_err(StoreError::query("delete a warm pool"))?;
        Ok(())
    }
}

fn read(row: &SqliteRow) -> Result<WarmPool, StoreError> {
    Ok(WarmPool {
        id: column::id(row, "id")?,
        organization_id: column::id(row, "organization_id")?,
        snapshot: column::plain(row, "snapshot")?,
        region: column::plain(row, "region")?,
        size: column::integer(row, "size")?,
        resources: column::word(row, "resources", column::resources)?,
        error_reason: column::plain(row, "error_reason")?,
        created_at: column::moment(row, "created_at")?,
        updated_at: column::moment(row, "updated_at")?,
    })
}
