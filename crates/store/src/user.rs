//! Rows of users.

use sqlx::sqlite::SqliteRow;
use types::UserId;
use types::organization::Organization;
use types::user::User;

use crate::column;
use crate::db::Store;
use crate::error::StoreError;
use crate::organization;

const INSERT: &str = "INSERT INTO user_account (id, name, email, email_verified, created_at) \
    VALUES ($1, $2, $3, $4, $5)";
const INSERT_OR_RENEW: &str = "INSERT INTO user_account (id, name, email, email_verified, created_at) \
    VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (id) DO UPDATE SET name = $2, email = $3, email_verified = $4";
const GET: &str = "SELECT * FROM user_account WHERE id = $1";

impl Store {
    /// Adds a user.
    pub async fn user_insert(&self, user: &User) -> Result<(), StoreError> {
        let done = bound(INSERT, user).execute(&self.writer).await;
        done.map_err(StoreError::insert("insert a user", "user", &user.id.0))?;
        Ok(())
    }

    /// Takes in a user as a login provider describes them: adds or renews the row, and adds what every user has, which is
    /// a personal organisation and a place in it. What is there already is kept, so that many may do this at once.
    pub async fn user_welcome(&self, user: &User, personal: &Organization) -> Result<(), StoreError> {
        let failed = || StoreError::query("welcome a user");
        let mut transaction = self.writer.begin().await.map_err(failed())?;
        bound(INSERT_OR_RENEW, user).execute(&mut *transaction).await.map_err(failed())?;
        organization::add_personal(&mut transaction, personal).await.map_err(failed())?;
        transaction.commit().await.map_err(failed())
    }

    /// Finds a user by id.
    pub async fn user_get(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let query = sqlx::query(GET).bind(&id.0);
        let row = query.fetch_optional(&self.reader).await.map_err(StoreError::query("get a user"))?;
        row.as_ref().map(read).transpose()
    }
}

fn bound<'query>(
    statement: &'static str,
    user: &'query User,
) -> sqlx::query::Query<'query, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    sqlx::query(statement)
        .bind(&user.id.0)
        .bind(&user.name)
        .bind(&user.email)
        .bind(user.email_verified)
        .bind(user.created_at.as_millisecond())
}

fn read(row: &SqliteRow) -> Result<User, StoreError> {
    Ok(User {
        id: UserId(column::plain(row, "id")?),
        name: column::plain(row, "name")?,
        email: column::plain(row, "email")?,
        email_verified: column::plain(row, "email_verified")?,
        created_at: column::moment(row, "created_at")?,
    })
}
