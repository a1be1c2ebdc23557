//! Rows of API keys. The key's text is hashed at this door and kept nowhere.

use sha2::{Digest as _, Sha256};
use sqlx::sqlite::SqliteRow;
use types::api_key::{ApiKey, Permission};
use types::{ApiKeyId, UserId};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;

const INSERT: &str = "INSERT INTO api_key \
    (id, organization_id, user_id, name, hash, permissions, created_at, expires_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const FIND: &str = "SELECT * FROM api_key WHERE hash = $1";
const DELETE: &str = "DELETE FROM api_key WHERE id = $1";

/// Returns what is kept of a key's text: its SHA-256 in lowercase hexadecimal. Keys are long and random, so that no salt
/// is needed and the lookup can be an index.
pub fn hash(key: &str) -> String {
    types::hex::encode(&Sha256::digest(key.as_bytes()))
}

impl Store {
    /// Adds a key.
    pub async fn api_key_insert(&self, key: &ApiKey) -> Result<(), StoreError> {
        let permissions: Vec<_> = key.permissions.iter().map(|permission| permission.as_str()).collect();
        sqlx::query(INSERT)
            .bind(key.id.to_string())
            .bind(key.organization_id.to_string())
            .bind(&key.user_id.0)
            .bind(&key.name)
            .bind(&key.hash)
            .bind(permissions.join(" "))
            .bind(key.created_at.as_millisecond())
            .bind(key.expires_at.map(types::Timestamp::as_millisecond))
            .execute(&self.writer)
            .await
            .map_err(StoreError::insert("insert an API key", "API key", &key.name))?;
        Ok(())
    }

    /// Finds the key with this hash, expired or not.
    pub async fn api_key_find(&self, hash: &str) -> Result<Option<ApiKey>, StoreError> {
        let query = sqlx::query(FIND).bind(hash);
        let row = query.fetch_optional(&self.reader).await.map_err(StoreError::query("find an API key"))?;
        row.as_ref().map(read).transpose()
    }

    /// Removes a key; tells whether there was one.
    pub async fn api_key_delete(&self, id: ApiKeyId) -> Result<bool, StoreError> {
        let query = sqlx::query(DELETE).bind(id.to_string());
        let done = query.execute(&self.writer).await.map_err(StoreError::query("delete an API key"))?;
        Ok(done.rows_affected() > 0)
    }
}

fn read(row: &SqliteRow) -> Result<ApiKey, StoreError> {
    let words: &str = column::plain(row, "permissions")?;
    Ok(ApiKey {
        id: column::id(row, "id")?,
        organization_id: column::id(row, "organization_id")?,
        user_id: UserId(column::plain(row, "user_id")?),
        name: column::plain(row, "name")?,
        hash: column::plain(row, "hash")?,
        // A word that a newer version wrote grants nothing here.
        permissions: words.split(' ').filter_map(Permission::parse).collect(),
        created_at: column::moment(row, "created_at")?,
        expires_at: column::moment_or_none(row, "expires_at")?,
    })
}
