//! Pages of sandboxes: what is on one follows from the roster, and its rows alone are read.

use std::sync::Arc;

use types::sandbox::Sandbox;
use types::{OrganizationId, SandboxId};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;
use crate::roster::Ledger;
use crate::sandbox::list::{Filter, Listed, Page};
use crate::sandbox::row::{read, read_each};
use crate::sandbox::select::{Chosen, Selection, select};

pub(crate) const LIST_IDS: &str =
    "SELECT id FROM sandbox WHERE organization_id = $1 AND observed <> 'destroyed'";
pub(crate) const FETCH: &str =
    "SELECT * FROM sandbox WHERE id IN (SELECT value FROM json_each($1)) AND observed <> 'destroyed'";
pub(crate) const READ_AGAIN: &str = "SELECT * FROM sandbox WHERE id = $1";
/// How many rows are held at once while all of an organisation are read.
const LOADED_AT_ONCE: usize = 1_000;
/// So many sandboxes are looked through in less time than another thread takes to begin.
const SHORT: usize = 500;

impl Store {
    /// Lists sandboxes of an organisation.
    pub async fn sandbox_list(
        &self,
        organization: OrganizationId,
        filter: &Filter,
        page: &Page,
    ) -> Result<Listed, StoreError> {
        self.read_doubtful().await?;
        let ledger = self.roster.open(organization);
        ledger.loaded.get_or_try_init(|| self.load(organization, &ledger)).await?;
        let Selection { chosen, next, total } = look(ledger, filter, page).await?;
        let rows = self.sandbox_rows(organization, &chosen).await?;
        Ok(Listed { rows, next, total })
    }

    /// Returns the rows of a page in its order: those that were shown lately and not written since as they are kept, the
    /// others from the database. Those that are gone since are left out.
    async fn sandbox_rows(
        &self,
        organization: OrganizationId,
        chosen: &[Chosen],
    ) -> Result<Vec<Sandbox>, StoreError> {
        let kept = &self.roster.kept;
        let mut found = kept.find(chosen.iter().map(|row| (row.id, row.generation)));
        let ids = chosen.iter().map(|row| row.id);
        let missing: Vec<SandboxId> = ids.filter(|id| !found.contains_key(id)).collect();
        if !missing.is_empty() {
            let fetched = self.sandbox_fetch(&missing).await?;
            let fetched: Vec<_> =
                fetched.into_iter().map(|row| row.map(Arc::new)).collect::<Result<_, _>>()?;
            kept.keep(&fetched);
            found.extend(fetched.into_iter().map(|row| (row.id, row)));
        }
        let rows = chosen.iter().filter_map(|Chosen { id, last_activity_at, .. }| {
            let mut row = found.remove(id).map(Arc::unwrap_or_clone)?;
            row.last_activity_at = row.last_activity_at.max(*last_activity_at);
            (row.organization_id == organization).then_some(row)
        });
        Ok(rows.collect())
    }

    /// Reads rows in any order. Those that are gone since are left out.
    async fn sandbox_fetch(&self, ids: &[SandboxId]) -> Result<Vec<Result<Sandbox, StoreError>>, StoreError> {
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let query = sqlx::query(FETCH).bind(serde_json::json!(texts).to_string());
        let rows = query.fetch_all(&self.reader).await.map_err(StoreError::query("list sandboxes"))?;
        Ok(read_each(&rows).await)
    }

    /// Reads every row of an organisation into its ledger. One that makes no sense is left out: whoever asks for it alone is
    /// told why.
    async fn load(&self, organization: OrganizationId, ledger: &Ledger) -> Result<(), StoreError> {
        let query = sqlx::query(LIST_IDS).bind(organization.to_string());
        let rows = query.fetch_all(&self.reader).await.map_err(StoreError::query("list every sandbox"))?;
        let ids: Vec<SandboxId> = rows.iter().map(|row| column::id(row, "id")).collect::<Result<_, _>>()?;
        for some in ids.chunks(LOADED_AT_ONCE) {
            let sandboxes = self.sandbox_fetch(some).await?;
            ledger.note_all(sandboxes.iter().flatten());
        }
        ledger.finish_loading();
        Ok(())
    }

    /// Reads the rows again whose last write had nobody left to tell of its end.
    async fn read_doubtful(&self) -> Result<(), StoreError> {
        let doubtful = self.roster.take_doubtful();
        // All at once: what is not reached, because the caller goes away or a read fails, stays doubtful.
        let readings: Vec<_> = doubtful.into_iter().map(|id| (id, self.roster.write(id, None))).collect();
        for (id, reading) in readings {
            // The one writer connection: what was asked of it before has ended when it answers.
            let row = sqlx::query(READ_AGAIN).bind(id.to_string()).fetch_optional(&self.writer).await;
            match row.map_err(StoreError::query("read a sandbox again"))?.as_ref().map(read) {
                Some(Ok(sandbox)) => self.roster.note(&sandbox),
                // One that makes no sense is in no list, as when all are read.
                Some(Err(_)) | None => self.roster.forget(id),
            }
            reading.end();
        }
        Ok(())
    }
}

/// Looks through a ledger, on a thread that may take its time when it is long.
async fn look(ledger: Arc<Ledger>, filter: &Filter, page: &Page) -> Result<Selection, StoreError> {
    if ledger.len() <= SHORT {
        return Ok(select(&ledger.read(), filter, page));
    }
    let (filter, page) = (filter.clone(), page.clone());
    let looking = tokio::task::spawn_blocking(move || select(&ledger.read(), &filter, &page));
    looking.await.map_err(|source| StoreError::Look { source })
}
