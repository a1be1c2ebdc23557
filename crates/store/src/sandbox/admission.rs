//! Whether there is room for what a sandbox is to use. The statement that writes the row asks, so that nobody is let in
//! between the question and the answer.

use sqlx::Row as _;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use types::quota::{Dimension, Quota, Usage};
use types::{OrganizationId, SandboxId};

use crate::error::StoreError;

pub(crate) const USED: &str = "SELECT coalesce(sum(cpu), 0) AS cpu, coalesce(sum(memory_gib), 0) AS memory_gib, \
    coalesce(sum(disk_gib), 0) AS disk_gib, count(*) AS sandboxes \
    FROM sandbox_use WHERE organization_id = $1 AND id <> $2";

/// Binds what the condition in the statement asks for: whether anything is bounded at all, then each bound less what the
/// sandbox itself is to use.
pub(crate) fn bind<'query>(
    query: Query<'query, Sqlite, SqliteArguments>,
    usage: Usage,
    quota: &Quota,
) -> Query<'query, Sqlite, SqliteArguments> {
    let mut query = query.bind(!quota.is_unlimited());
    for dimension in Dimension::ALL {
        query = query.bind(room(dimension, usage, quota));
    }
    query
}

/// The most that all others may use, `None` when that is not bounded.
fn room(dimension: Dimension, usage: Usage, quota: &Quota) -> Option<i64> {
    quota.most(dimension).map(|most| i64::from(most) - i64::from(usage.of(dimension)))
}

/// Tells why the condition did not hold, asked on the connection that writes, before anything else is written.
pub(crate) async fn refusal(
    connection: &mut SqliteConnection,
    organization: OrganizationId,
    id: SandboxId,
    usage: Usage,
    quota: &Quota,
) -> StoreError {
    let query = sqlx::query(USED).bind(organization.to_string()).bind(id.to_string());
    let row = match query.fetch_one(connection).await {
        Ok(row) => row,
        Err(source) => return StoreError::query("sum up what sandboxes use")(source),
    };
    let is_full = |dimension: &Dimension| {
        let used: i64 = row.try_get(name(*dimension)).unwrap_or(i64::MAX);
        room(*dimension, usage, quota).is_some_and(|room| used > room)
    };
    let dimension = Dimension::ALL.into_iter().find(is_full).unwrap_or(Dimension::Sandboxes);
    StoreError::Quota { dimension, most: quota.most(dimension).unwrap_or_default() }
}

const fn name(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Cpu => "cpu",
        Dimension::Memory => "memory_gib",
        Dimension::Disk => "disk_gib",
        Dimension::Sandboxes => "sandboxes",
    }
}
