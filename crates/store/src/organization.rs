//! Rows of organisations.

use sqlx::sqlite::SqliteRow;
use types::organization::Organization;
use types::{OrganizationId, UserId};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;

const INSERT: &str =
    "INSERT INTO organization (id, name, personal, created_by, created_at) VALUES ($1, $2, $3, $4, $5)";
const GET: &str = "SELECT * FROM organization WHERE id = $1";
const PERSONAL: &str = "SELECT * FROM organization WHERE created_by = $1 AND personal = 1";

impl Store {
    /// Adds an organisation.
    pub async fn organization_insert(&self, organization: &Organization) -> Result<(), StoreError> {
        sqlx::query(INSERT)
            .bind(organization.id.to_string())
            .bind(&organization.name)
            .bind(organization.personal)
            .bind(&organization.created_by.0)
            .bind(organization.created_at.as_millisecond())
            .execute(&self.writer)
            .await
            .map_err(StoreError::insert("insert an organisation", "organisation", &organization.name))?;
        Ok(())
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

fn read(row: &SqliteRow) -> Result<Organization, StoreError> {
    Ok(Organization {
        id: column::id(row, "id")?,
        name: column::plain(row, "name")?,
        personal: column::plain(row, "personal")?,
        created_by: UserId(column::plain(row, "created_by")?),
        created_at: column::moment(row, "created_at")?,
    })
}
