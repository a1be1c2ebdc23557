//! Rows of users.

use sqlx::sqlite::SqliteRow;
use types::UserId;
use types::user::User;

use crate::column;
use crate::db::Store;
use crate::error::StoreError;

const INSERT: &str = "INSERT INTO user_account (id, name, email, created_at) VALUES ($1, $2, $3, $4)";
const GET: &str = "SELECT * FROM user_account WHERE id = $1";

impl Store {
    /// Adds a user.
    pub async fn user_insert(&self, user: &User) -> Result<(), StoreError> {
        sqlx::query(INSERT)
            .bind(&user.id.0)
            .bind(&user.name)
            .bind(&user.email)
            .bind(user.created_at.as_millisecond())
            .execute(&self.writer)
            .await
            .map_err(StoreError::insert("insert a user", "user", &user.id.0))?;
        Ok(())
    }

    /// Finds a user by id.
    pub async fn user_get(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let query = sqlx::query(GET).bind(&id.0);
        let row = query.fetch_optional(&self.reader).await.map_err(StoreError::query("get a user"))?;
        row.as_ref().map(read).transpose()
    }
}

fn read(row: &SqliteRow) -> Result<User, StoreError> {
    Ok(User {
        id: UserId(column::plain(row, "id")?),
        name: column::plain(row, "name")?,
        email: column::plain(row, "email")?,
        created_at: column::moment(row, "created_at")?,
    })
}
