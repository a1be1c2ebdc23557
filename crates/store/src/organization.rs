//! Rows of organisations and of their members.

use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, Transaction};
use types::organization::{Organization, Role};
use types::{OrganizationId, UserId};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;

const INSERT: &str =
    "INSERT INTO organization (id, name, personal, created_by, created_at) VALUES ($1, $2, $3, $4, $5)";
const INSERT_PERSONAL: &str = "INSERT INTO organization (id, name, personal, created_by, created_at) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
const INSERT_OWNER: &str = "INSERT INTO organization_member (organization_id, user_id, role, created_at) \
    SELECT id, created_by, $2, created_at FROM organization WHERE id = $1";
const INSERT_PERSONAL_OWNER: &str = "INSERT INTO organization_member (organization_id, user_id, role, created_at) \
    SELECT id, created_by, $2, created_at FROM organization WHERE created_by = $1 AND personal = 1 \
    ON CONFLICT DO NOTHING";
const GET: &str = "SELECT * FROM organization WHERE id = $1";
const ROLE: &str = "SELECT role FROM organization_member WHERE organization_id = $1 AND user_id = $2";
const LIST_OF: &str = "SELECT organization.* FROM organization \
    JOIN organization_member ON organization_member.organization_id = organization.id \
    WHERE organization_member.user_id = $1 ORDER BY organization.personal DESC, organization.created_at, organization.id";
const PERSONAL: &str = "SELECT * FROM organization WHERE created_by = $1 AND personal = 1";

impl Store {
    /// Adds an organisation, owned by who made it.
    pub async fn organization_insert(&self, organization: &Organization) -> Result<(), StoreError> {
        let failed = || StoreError::insert("insert an organisation", "organisation", &organization.name);
        let mut transaction = self.writer.begin().await.map_err(failed())?;
        bound(INSERT, organization).execute(&mut *transaction).await.map_err(failed())?;
        let owner = sqlx::query(INSERT_OWNER).bind(organization.id.to_string()).bind(Role::Owner.as_str());
        owner.execute(&mut *transaction).await.map_err(failed())?;
        transaction.commit().await.map_err(failed())
    }

    /// Finds what a user is in an organisation; `None` when no member.
    pub async fn organization_role(
        &self,
        id: OrganizationId,
        user: &UserId,
    ) -> Result<Option<Role>, StoreError> {
        let query = sqlx::query(ROLE).bind(id.to_string()).bind(&user.0);
        let row = query.fetch_optional(&self.reader).await.map_err(StoreError::query("find a member"))?;
        // A word that a newer version wrote is no role here, so it opens nothing.
        let word = row.as_ref().map(|row| column::plain::<&str>(row, "role")).transpose()?;
        Ok(word.and_then(Role::parse))
    }

    /// Lists the organisations of which a user is a member, the personal one first.
    pub async fn organization_list_of(&self, user: &UserId) -> Result<Vec<Organization>, StoreError> {
        let rows = sqlx::query(LIST_OF).bind(&user.0).fetch_all(&self.reader).await;
        let rows = rows.map_err(StoreError::query("list a user's organisations"))?;
        rows.iter().map(read).collect()
    }

    /// Finds an organisation by id.
    pub async fn organization_get(&self, id: OrganizationId) -> Result<Option<Organization>, StoreError> {
        let query = sqlx::query(GET).bind(id.to_string());
        let row =
            query.fetch_optional(&self.reader).await.map_err(StoreError::query("get an organisation"))?;
        row.as_ref().map(read).transpose()
    }

    /// Finds the personal organisation of a user.
    pub async fn organization_get_personal(&self, user: &UserId) -> Result<Option<Organization>, StoreError> {
        let query = sqlx::query(PERSONAL).bind(&user.0);
        let row = query
            .fetch_optional(&self.reader)
            .await
            .map_err(StoreError::query("get a personal organisation"))?;
        row.as_ref().map(read).transpose()
    }
}

/// Adds the personal organisation of a user who has none, and their place in the one that they have.
pub(crate) async fn add_personal(
    transaction: &mut Transaction<'_, Sqlite>,
    personal: &Organization,
) -> Result<(), sqlx::Error> {
    bound(INSERT_PERSONAL, personal).execute(&mut **transaction).await?;
    let owner = sqlx::query(INSERT_PERSONAL_OWNER).bind(&personal.created_by.0).bind(Role::Owner.as_str());
    owner.execute(&mut **transaction).await?;
    Ok(())
}

fn bound<'query>(
    statement: &'static str,
    organization: &'query Organization,
) -> sqlx::query::Query<'query, Sqlite, sqlx::sqlite::SqliteArguments> {
    sqlx::query(statement)
        .bind(organization.id.to_string())
        .bind(&organization.name)
        .bind(organization.personal)
        .bind(&organization.created_by.0)
        .bind(organization.created_at.as_millisecond())
}

fn read(row: &SqliteRow) -> Result<Organization, StoreError> {
    Ok(Organization {
        id: column::id(row, "id")?,
        name: column::plain(row, "name")?,
        personal: column::plain(row, "personal")?,
        created_by: UserId(column::plain(row, "created_by")?),
        created_at: column::moment(row, "created_at")?,
    })
}
