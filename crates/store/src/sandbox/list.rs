//! Lists of sandboxes: filters, order, and a page by cursor or by number.

use sqlx::{QueryBuilder, Sqlite};
use types::sandbox::{Desired, Observed, Sandbox};
use types::{OrganizationId, SandboxId, Timestamp};

use crate::db::Store;
use crate::error::StoreError;
use crate::sandbox::row::read;

/// The rows that a list is about, before its filters.
const SCOPE: &str = " FROM sandbox WHERE observed <> 'destroyed' AND organization_id = ";

/// Which sandboxes of an organisation; an empty filter lets all through.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Start of the id.
    pub id_prefix: Option<String>,
    /// Start of the name, whatever its case.
    pub name_prefix: Option<String>,
    /// Labels that must all be there with these values.
    pub labels: Vec<(String, String)>,
    /// Pairs of states, any of them; `None` lets every state through.
    pub states: Option<Vec<(Desired, Observed)>>,
    /// Whether those that failed on their way out are listed too.
    pub errored_deleted: bool,
    /// Names of snapshots, any of them.
    pub snapshots: Vec<String>,
    /// Regions, any of them.
    pub regions: Vec<String>,
    /// Least and most virtual processors.
    pub cpu: Range<u32>,
    /// Least and most graphics processors.
    pub gpu: Range<u32>,
    /// Least and most memory in GiB.
    pub memory_gib: Range<u32>,
    /// Least and most disk in GiB.
    pub disk_gib: Range<u32>,
    /// Public ones or private ones only.
    pub public: Option<bool>,
    /// When made.
    pub created_at: Range<Timestamp>,
    /// When last used.
    pub last_activity_at: Range<Timestamp>,
}

/// Two bounds, both included.
#[derive(Debug, Clone, Copy)]
pub struct Range<T> {
    /// The least value let through.
    pub least: Option<T>,
    /// The greatest value let through.
    pub most: Option<T>,
}

impl<T> Default for Range<T> {
    fn default() -> Self {
        Self { least: None, most: None }
    }
}

/// What a list is ordered by; the id decides between equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortField {
    /// The id.
    Id,
    /// The name.
    Name,
    /// Virtual processors.
    Cpu,
    /// Memory.
    Memory,
    /// Disk.
    Disk,
    /// When made.
    CreatedAt,
    /// When last changed.
    UpdatedAt,
    /// When last used.
    LastActivityAt,
    /// The snapshot's name.
    Snapshot,
    /// The region.
    Region,
    /// What was last seen.
    State,
}

/// A place in an ordered list: the last row that the caller has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The row's value of the sort field.
    pub value: SortValue,
    /// The row's id.
    pub id: SandboxId,
}

/// A value of a sort field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortValue {
    /// A number or a moment in milliseconds.
    Integer(i64),
    /// A text.
    Text(String),
}

/// Order and page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// What it is ordered by.
    pub sort: SortField,
    /// Greatest first.
    pub descending: bool,
    /// Only rows after this one.
    pub after: Option<Cursor>,
    /// Rows to skip.
    pub offset: u32,
    /// The most rows.
    pub limit: u32,
}

impl SortField {
    /// Returns the column, which is safe to write into SQL.
    const fn column(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Cpu => "cpu",
            Self::Memory => "memory_gib",
            Self::Disk => "disk_gib",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::LastActivityAt => "last_activity_at",
            Self::Snapshot => "snapshot",
            Self::Region => "region",
            Self::State => "observed",
        }
    }

    /// Returns a sandbox's value of this field.
    pub fn value(self, sandbox: &Sandbox) -> SortValue {
        match self {
            Self::Id => SortValue::Text(sandbox.id.to_string()),
            Self::Name => SortValue::Text(sandbox.name.clone()),
            Self::Cpu => SortValue::Integer(sandbox.resources.cpu.into()),
            Self::Memory => SortValue::Integer(sandbox.resources.memory_gib.into()),
            Self::Disk => SortValue::Integer(sandbox.resources.disk_gib.into()),
            Self::CreatedAt => SortValue::Integer(sandbox.created_at.as_millisecond()),
            Self::UpdatedAt => SortValue::Integer(sandbox.updated_at.as_millisecond()),
            Self::LastActivityAt => SortValue::Integer(sandbox.last_activity_at.as_millisecond()),
            Self::Snapshot => SortValue::Text(sandbox.snapshot.clone()),
            Self::Region => SortValue::Text(sandbox.region.clone()),
            Self::State => SortValue::Text(sandbox.observed.as_str().to_owned()),
        }
    }
}

impl Store {
    /// Lists sandboxes of an organisation.
    pub async fn sandbox_list(
        &self,
        organization: OrganizationId,
        filter: &Filter,
        page: &Page,
    ) -> Result<Vec<Sandbox>, StoreError> {
        let mut query = QueryBuilder::new("SELECT *");
        push_filter(&mut query, organization, filter);
        push_page(&mut query, page);
        let rows =
            query.build().fetch_all(&self.reader).await.map_err(StoreError::query("list sandboxes"))?;
        rows.iter().map(read).collect()
    }

    /// Counts sandboxes of an organisation.
    pub async fn sandbox_count(
        &self,
        organization: OrganizationId,
        filter: &Filter,
    ) -> Result<u64, StoreError> {
        let mut query = QueryBuilder::new("SELECT count(*)");
        push_filter(&mut query, organization, filter);
        let count: i64 = query
            .build_query_scalar()
            .fetch_one(&self.reader)
            .await
            .map_err(StoreError::query("count sandboxes"))?;
        Ok(count.unsigned_abs())
    }
}

fn push_filter(query: &mut QueryBuilder<Sqlite>, organization: OrganizationId, filter: &Filter) {
    query.push(SCOPE).push_bind(organization.to_string());
    if let Some(prefix) = &filter.id_prefix {
        query.push(" AND id LIKE ").push_bind(like_prefix(prefix)).push(" ESCAPE '\\'");
    }
    if let Some(prefix) = &filter.name_prefix {
        query.push(" AND lower(name) LIKE lower(").push_bind(like_prefix(prefix)).push(") ESCAPE '\\'");
    }
    for (key, value) in &filter.labels {
        query.push(" AND EXISTS (SELECT 1 FROM json_each(labels) AS label WHERE label.key = ");
        query.push_bind(key.clone()).push(" AND label.value = ").push_bind(value.clone()).push(")");
    }
    if let Some(states) = &filter.states {
        let words =
            states.iter().map(|(desired, observed)| format!("{}/{}", desired.as_str(), observed.as_str()));
        push_any(query, "desired || '/' || observed", words);
    }
    if !filter.errored_deleted {
        query.push(" AND NOT (desired = 'destroyed' AND observed = 'error')");
    }
    if !filter.snapshots.is_empty() {
        push_any(query, "snapshot", filter.snapshots.iter().cloned());
    }
    if !filter.regions.is_empty() {
        push_any(query, "region", filter.regions.iter().cloned());
    }
    push_range(query, "cpu", filter.cpu, i64::from);
    push_range(query, "gpu", filter.gpu, i64::from);
    push_range(query, "memory_gib", filter.memory_gib, i64::from);
    push_range(query, "disk_gib", filter.disk_gib, i64::from);
    push_range(query, "created_at", filter.created_at, Timestamp::as_millisecond);
    push_range(query, "last_activity_at", filter.last_activity_at, Timestamp::as_millisecond);
    if let Some(public) = filter.public {
        query.push(" AND public = ").push_bind(public);
    }
}

fn push_page(query: &mut QueryBuilder<Sqlite>, page: &Page) {
    let column = page.sort.column();
    let (compare, order) = if page.descending { ("<", "DESC") } else { (">", "ASC") };
    if let Some(cursor) = &page.after {
        query.push(" AND (").push(column).push(", id) ").push(compare).push(" (");
        match &cursor.value {
            SortValue::Integer(value) => query.push_bind(*value),
            SortValue::Text(value) => query.push_bind(value.clone()),
        };
        query.push(", ").push_bind(cursor.id.to_string()).push(")");
    }
    query.push(" ORDER BY ").push(column).push(" ").push(order).push(", id ").push(order);
    query.push(" LIMIT ").push_bind(page.limit).push(" OFFSET ").push_bind(page.offset);
}

fn push_any(query: &mut QueryBuilder<Sqlite>, expression: &'static str, words: impl Iterator<Item = String>) {
    query.push(" AND ").push(expression).push(" IN (");
    let mut list = query.separated(", ");
    for word in words {
        list.push_bind(word);
    }
    query.push(")");
}

fn push_range<T: Copy>(
    query: &mut QueryBuilder<Sqlite>,
    column: &'static str,
    range: Range<T>,
    number: impl Fn(T) -> i64,
) {
    if let Some(least) = range.least {
        query.push(" AND ").push(column).push(" >= ").push_bind(number(least));
    }
    if let Some(most) = range.most {
        query.push(" AND ").push(column).push(" <= ").push_bind(number(most));
    }
}

/// A pattern for texts that start with `prefix`, whatever signs it holds.
fn like_prefix(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for character in prefix.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
