//! What sandboxes are to each other: forks, their parents, and those that share a network.

use types::sandbox::Sandbox;
use types::{OrganizationId, SandboxId};

use crate::db::Store;
use crate::error::StoreError;
use crate::sandbox::row::read;

/// The contract's bounds.
const MOST_FORKS: u32 = 100;
const MOST_ANCESTORS: u32 = 50;

const LIST_FORKS: &str = "SELECT * FROM sandbox WHERE organization_id = $1 AND parent_id = $2 \
    AND ($3 OR (observed <> 'destroyed' AND desired <> 'destroyed')) ORDER BY created_at, id LIMIT $4";
const COUNT_FORKS: &str = "SELECT count(*) FROM (SELECT 1 FROM sandbox WHERE organization_id = $1 AND parent_id = $2 \
    AND observed <> 'destroyed' AND desired <> 'destroyed' LIMIT $3)";
const GET_OF: &str = "SELECT * FROM sandbox WHERE organization_id = $1 AND id = $2";
const LIST_LINKED: &str = "SELECT * FROM sandbox WHERE linked_id = $1 AND observed <> 'destroyed'";

impl Store {
    /// Lists the sandboxes that were forked from one, oldest first, at most 100.
    pub async fn sandbox_list_forks(
        &self,
        organization: OrganizationId,
        parent: SandboxId,
        include_destroyed: bool,
    ) -> Result<Vec<Sandbox>, StoreError> {
        let query = sqlx::query(LIST_FORKS)
            .bind(organization.to_string())
            .bind(parent.to_string())
            .bind(include_destroyed)
            .bind(MOST_FORKS);
        let rows = query.fetch_all(&self.reader).await.map_err(StoreError::query("list forks"))?;
        rows.iter().map(read).collect()
    }

    /// Counts the forks of a sandbox that are not gone nor asked to go, up to 100.
    pub async fn sandbox_count_forks(
        &self,
        organization: OrganizationId,
        parent: SandboxId,
    ) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(COUNT_FORKS)
            .bind(organization.to_string())
            .bind(parent.to_string())
            .bind(MOST_FORKS)
            .fetch_one(&self.reader)
            .await
            .map_err(StoreError::query("count forks"))?;
        Ok(count.unsigned_abs())
    }

    /// Lists what a sandbox was forked from, the first of all first, at most 50. Those that are gone count while they are
    /// remembered.
    pub async fn sandbox_list_ancestors(&self, sandbox: &Sandbox) -> Result<Vec<Sandbox>, StoreError> {
        let mut ancestors = Vec::new();
        let mut next = sandbox.parent_id;
        while let Some(id) = next.take()
            && ancestors.len() < MOST_ANCESTORS as usize
        {
            let query = sqlx::query(GET_OF).bind(sandbox.organization_id.to_string()).bind(id.to_string());
            let row = query.fetch_optional(&self.reader).await;
            if let Some(row) = row.map_err(StoreError::query("list ancestors"))? {
                let ancestor = read(&row)?;
                next = ancestor.parent_id;
                ancestors.push(ancestor);
            }
        }
        ancestors.reverse();
        Ok(ancestors)
    }

    /// Lists the sandboxes that share the network of `owner`, the owner left out.
    pub async fn sandbox_list_linked(&self, owner: SandboxId) -> Result<Vec<Sandbox>, StoreError> {
        let rows = sqlx::query(LIST_LINKED).bind(owner.to_string()).fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list linked sandboxes"))?.iter().map(read).collect()
    }
}
