//! Every sandbox of every organisation, for whoever keeps something for each.

use types::SandboxId;
use types::sandbox::Sandbox;

use crate::db::Store;
use crate::error::StoreError;
use crate::sandbox::row::read;

const PAGE: &str = "SELECT * FROM sandbox WHERE id > $1 ORDER BY id LIMIT $2";

impl Store {
    /// Returns at most `limit` sandboxes whose ids follow `after`, in the order of ids; destroyed ones too while they are
    /// remembered.
    pub async fn sandbox_page_of_all(
        &self,
        after: Option<SandboxId>,
        limit: u32,
    ) -> Result<Vec<Sandbox>, StoreError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = sqlx::query(PAGE).bind(after).bind(limit).fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list all sandboxes"))?.iter().map(read).collect()
    }
}
