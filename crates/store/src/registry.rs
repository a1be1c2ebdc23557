//! Rows of registries. Their passwords are sealed, and leave only as logins.

use sqlx::sqlite::SqliteRow;
use types::registry::{self, Login, Password, Registry};
use types::{OrganizationId, Random, RegistryId};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;

/// The statement counts, so that nobody is let in between the question and the answer.
const INSERT: &str = "INSERT INTO registry (id, organization_id, name, url, username, password, project, created_at, \
    updated_at) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 \
    WHERE (SELECT count(*) FROM registry WHERE organization_id = $2) < $10";
const UPDATE: &str = "UPDATE registry SET name = $3, url = $4, username = $5, password = coalesce($6, password), \
    project = $7, updated_at = $8 WHERE id = $1 AND organization_id = $2";
const GET: &str = "SELECT * FROM registry WHERE id = $1 AND organization_id = $2";
const LIST: &str = "SELECT * FROM registry WHERE organization_id = $1 ORDER BY created_at, id";
const DELETE: &str = "DELETE FROM registry WHERE id = $1 AND organization_id = $2";

impl Store {
    /// Adds a registry with its password.
    pub async fn registry_insert(
        &self,
        registry: &Registry,
        password: &Password,
        random: &dyn Random,
    ) -> Result<(), StoreError> {
        let sealed = self.vault.seal(password.expose(), &sealed_for(registry), random)?;
        let done = sqlx::query(INSERT)
            .bind(registry.id.to_string())
            .bind(registry.organization_id.to_string())
            .bind(&registry.name)
            .bind(&registry.url)
            .bind(&registry.username)
            .bind(sealed)
            .bind(&registry.project)
            .bind(registry.created_at.as_millisecond())
            .bind(registry.updated_at.as_millisecond())
            .bind(registry::MOST)
            .execute(&self.writer)
            .await
            .map_err(StoreError::query("insert a registry"))?;
        match done.rows_affected() {
            0 => Err(StoreError::TooMany { noun: "registry", most: registry::MOST }),
            _ => Ok(()),
        }
    }

    /// Writes a registry; without a password the old one stays. Tells whether there was one to write.
    pub async fn registry_update(
        &self,
        registry: &Registry,
        password: Option<&Password>,
        random: &dyn Random,
    ) -> Result<bool, StoreError> {
        let seal = |password: &Password| self.vault.seal(password.expose(), &sealed_for(registry), random);
        let sealed = password.map(seal).transpose()?;
        let done = sqlx::query(UPDATE)
            .bind(registry.id.to_string())
            .bind(registry.organization_id.to_string())
            .bind(&registry.name)
            .bind(&registry.url)
            .bind(&registry.username)
            .bind(sealed)
            .bind(&registry.project)
            .bind(registry.updated_at.as_millisecond())
            .execute(&self.writer)
            .await
            .map_err(StoreError::query("update a registry"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Finds a registry of an organisation.
    pub async fn registry_get(
        &self,
        organization: OrganizationId,
        id: RegistryId,
    ) -> Result<Option<Registry>, StoreError> {
        let query = sqlx::query(GET).bind(id.to_string()).bind(organization.to_string());
        let row = query.fetch_optional(&self.reader).await.map_err(StoreError::query("get a registry"))?;
        row.as_ref().map(read).transpose()
    }

    /// Lists the registries of an organisation, oldest first.
    pub async fn registry_list(&self, organization: OrganizationId) -> Result<Vec<Registry>, StoreError> {
        let rows = sqlx::query(LIST).bind(organization.to_string()).fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list registries"))?.iter().map(read).collect()
    }

    /// Removes a registry; tells whether there was one.
    pub async fn registry_delete(
        &self,
        organization: OrganizationId,
        id: RegistryId,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(DELETE).bind(id.to_string()).bind(organization.to_string());
        let done = query.execute(&self.writer).await.map_err(StoreError::query("delete a registry"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Returns what an organisation shows to its registries; of two for one host the newer first.
    pub async fn registry_logins(&self, organization: OrganizationId) -> Result<Vec<Login>, StoreError> {
        let rows = sqlx::query(LIST).bind(organization.to_string()).fetch_all(&self.reader).await;
        let rows = rows.map_err(StoreError::query("list the logins of registries"))?;
        let login = |row: &SqliteRow| {
            let registry = read(row)?;
            let sealed: Vec<u8> = column::plain(row, "password")?;
            let password = Password::new(self.vault.open(&sealed, &sealed_for(&registry))?);
            Ok(Login { host: registry::host(&registry.url), username: registry.username, password })
        };
        rows.iter().rev().map(login).collect()
    }
}

/// What a password is sealed for: it opens in no other row.
fn sealed_for(registry: &Registry) -> String {
    format!("registry {} of {}", registry.id, registry.organization_id)
}

fn read(row: &SqliteRow) -> Result<Registry, StoreError> {
    Ok(Registry {
        id: column::id(row, "id")?,
        organization_id: column::id(row, "organization_id")?,
        name: column::plain(row, "name")?,
        url: column::plain(row, "url")?,
        username: column::plain(row, "username")?,
        project: column::plain(row, "project")?,
        created_at: column::moment(row, "created_at")?,
        updated_at: column::moment(row, "updated_at")?,
    })
}
