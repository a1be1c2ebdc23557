//! Rows of signed preview links: who has one may call one port for a while.

use types::{SandboxId, Timestamp};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;

/// A signed preview link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPreview {
    /// Its secret.
    pub token: String,
    /// The sandbox it leads to.
    pub sandbox_id: SandboxId,
    /// The port it leads to.
    pub port: u16,
    /// When it ends.
    pub expires_at: Timestamp,
}

const INSERT: &str =
    "INSERT INTO signed_preview (token, sandbox_id, port, expires_at) VALUES ($1, $2, $3, $4)";
const GET: &str = "SELECT * FROM signed_preview WHERE token = $1 AND expires_at > $2";
const DELETE: &str = "DELETE FROM signed_preview WHERE token = $1 AND sandbox_id = $2 AND port = $3";
const PURGE: &str = "DELETE FROM signed_preview WHERE expires_at <= $1 \
    OR sandbox_id IN (SELECT id FROM sandbox WHERE observed = 'destroyed')";

impl Store {
    /// Adds a link.
    pub async fn signed_preview_insert(&self, link: &SignedPreview) -> Result<(), StoreError> {
        sqlx::query(INSERT)
            .bind(&link.token)
            .bind(link.sandbox_id.to_string())
            .bind(link.port)
            .bind(link.expires_at.as_millisecond())
            .execute(&self.writer)
            .await
            .map_err(StoreError::query("insert a signed preview link"))?;
        Ok(())
    }

    /// Finds a link that holds at `now`.
    pub async fn signed_preview_get(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<SignedPreview>, StoreError> {
        let query = sqlx::query(GET).bind(token).bind(now.as_millisecond()).fetch_optional(&self.reader);
        let row = query.await.map_err(StoreError::query("get a signed preview link"))?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            Ok(SignedPreview {
                token: column::plain(row, "token")?,
                sandbox_id: column::id(row, "sandbox_id")?,
                port: column::integer(row, "port")?,
                expires_at: column::moment(row, "expires_at")?,
            })
        };
        row.as_ref().map(read).transpose()
    }

    /// Ends a link; one that is not there is ended.
    pub async fn signed_preview_delete(
        &self,
        token: &str,
        sandbox: SandboxId,
        port: u16,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(DELETE).bind(token).bind(sandbox.to_string()).bind(port);
        query.execute(&self.writer).await.map_err(StoreError::query("end a signed preview link"))?;
        Ok(())
    }

    /// Forgets the links that ended, and those of sandboxes that are gone; returns how many.
    pub async fn signed_preview_purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let done = sqlx::query(PURGE).bind(now.as_millisecond()).execute(&self.writer).await;
        Ok(done.map_err(StoreError::query("purge signed preview links"))?.rows_affected())
    }
}
