//! Sandboxes whose time may have come, found by indexes, so that those whose time has not come cost nothing.

use types::Timestamp;
use types::sandbox::{Desired, Sandbox};

use crate::db::Store;
use crate::error::StoreError;
use crate::sandbox::row::read;

/// More than are due: whoever asks decides. Each line is found by the index of migration 5 with the same words.
const LIST_DUE: &str = "SELECT * FROM sandbox WHERE observed <> 'destroyed' AND id IN (\
    SELECT id FROM sandbox WHERE destroy_at <= $1 AND destroy_at IS NOT NULL AND desired <> 'destroyed' \
    UNION SELECT id FROM sandbox WHERE last_activity_at + auto_stop * 60000 <= $1 \
        AND auto_stop > 0 AND observed = 'started' AND desired = 'started' \
    UNION SELECT id FROM sandbox WHERE last_activity_at + auto_pause * 60000 <= $1 \
        AND auto_pause > 0 AND observed = 'started' AND desired = 'started' \
    UNION SELECT id FROM sandbox WHERE last_activity_at + auto_delete * 60000 <= $1 \
        AND auto_delete >= 0 AND at_rest = 1 AND observed IN ('stopped', 'ended') \
    UNION SELECT id FROM sandbox WHERE last_activity_at + iif(auto_archive = 0, 43200, auto_archive) * 60000 <= $1 \
        AND at_rest = 1 AND observed IN ('stopped', 'ended'))";
/// Who used the sandbox since it was read has moved its mark, which alone makes no new generation.
const EXPIRE: &str = "UPDATE sandbox SET desired = $4, stop_forced = 0, at_rest = $5, updated_at = $6, \
    generation = generation + 1 WHERE id = $1 AND generation = $2 AND last_activity_at = $3";

impl Store {
    /// Lists the sandboxes that may have to stop, pause, be archived or be deleted at `now`.
    pub async fn sandbox_list_due(&self, now: Timestamp) -> Result<Vec<Sandbox>, StoreError> {
        let rows = sqlx::query(LIST_DUE).bind(now.as_millisecond()).fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list the sandboxes that are due"))?.iter().map(read).collect()
    }

    /// Writes what is desired of a sandbox whose time has come, if nobody wrote or used it since it was read. Returns the
    /// new row, or `None` when somebody did.
    pub async fn sandbox_expire(
        &self,
        sandbox: Sandbox,
        desired: Desired,
        now: Timestamp,
    ) -> Result<Option<Sandbox>, StoreError> {
        let expired = Sandbox { desired, stop_forced: false, updated_at: now, ..sandbox };
        let writing = self.roster.write(expired.id, Some(&self.standings));
        let done = sqlx::query(EXPIRE)
            .bind(expired.id.to_string())
            .bind(expired.generation)
            .bind(expired.last_activity_at.as_millisecond())
            .bind(desired.as_str())
            .bind(expired.at_rest())
            .bind(now.as_millisecond())
            .execute(&self.writer)
            .await
            .map_err(StoreError::query("write what a sandbox's time has come for"))?;
        self.standings.written(expired.id);
        let written = self.next(expired, done.rows_affected());
        writing.end();
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_timer_is_found_by_its_index() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("daytona.db")).await.unwrap();
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {LIST_DUE}"));
        let rows: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(explain).bind(0_i64).fetch_all(&store.reader).await.unwrap();
        let lines: Vec<String> = rows.into_iter().map(|(_, _, _, detail)| detail).collect();
        for index in ["ttl", "stop", "pause", "delete", "archive"] {
            let found = format!("INDEX sandbox_due_{index} (");
            assert!(lines.iter().any(|line| line.contains(&found)), "{index}: {lines:#?}");
        }
        assert!(lines.iter().all(|line| !line.starts_with("SCAN sandbox")), "{lines:#?}");
    }
}
