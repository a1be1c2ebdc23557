//! A list's query to filters, order and page.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::sandbox::list::{Cursor, Filter, Page, Range, SortField, SortValue};

use crate::error::ApiError;
use crate::request::Query;
use crate::snapshot::page;

const DEFAULT_LIMIT: u32 = 100;
const LONGEST_LIMIT: u32 = 200;
/// Deep pages cost a scan; nobody pages this far.
const LAST_PAGE: u32 = 1_000_000;

/// The contract's words for states; those that none of ours is ever in match nothing.
const STATES: [&str; 22] = [
    "creating",
    "restoring",
    "destroyed",
    "destroying",
    "started",
    "stopped",
    "starting",
    "stopping",
    "error",
    "build_failed",
    "pending_build",
    "building_snapshot",
    "unknown",
    "pulling_snapshot",
    "archived",
    "archiving",
    "resizing",
    "snapshotting",
    "forking",
    "pausing",
    "paused",
    "resuming",
];

/// The words of a cursor list's order.
const CURSOR_SORTS: [(&str, SortField); 6] = [
    ("name", SortField::Name),
    ("cpu", SortField::Cpu),
    ("memoryGib", SortField::Memory),
    ("diskGib", SortField::Disk),
    ("lastActivityAt", SortField::LastActivityAt),
    ("createdAt", SortField::CreatedAt),
];

/// The words of a numbered list's order.
const PAGE_SORTS: [(&str, SortField); 8] = [
    ("id", SortField::Id),
    ("name", SortField::Name),
    ("state", SortField::State),
    ("snapshot", SortField::Snapshot),
    ("region", SortField::Region),
    ("updatedAt", SortField::UpdatedAt),
    ("createdAt", SortField::CreatedAt),
    ("lastActivityAt", SortField::LastActivityAt),
];

/// The words of a list of snapshots' order.
const SNAPSHOT_SORTS: [(&str, page::Order); 4] = [
    ("name", page::Order::Name),
    ("state", page::Order::State),
    ("lastUsedAt", page::Order::LastUsedAt),
    ("createdAt", page::Order::CreatedAt),
];

/// What a cursor says; opaque to clients.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CursorText {
    sort: String,
    sort_value: Value,
    id: String,
}

/// Reads the page of `GET /sandbox`.
pub(crate) fn cursor_page(query: &Query) -> Result<Page, ApiError> {
    let (word, sort) = sort(query, &CURSOR_SORTS, "lastActivityAt")?;
    let after = query.text("cursor").map(|text| read_cursor(text, word, sort)).transpose()?;
    Ok(Page { sort, descending: descending(query)?, after, offset: 0, limit: limit(query)? })
}

/// Reads the page of `GET /sandbox/paginated`, and its number.
pub(crate) fn numbered_page(query: &Query) -> Result<(Page, u32), ApiError> {
    let number = page_number(query)?;
    let (_, sort) = sort(query, &PAGE_SORTS, "createdAt")?;
    let limit = limit(query)?;
    let offset = (number - 1) * limit;
    Ok((Page { sort, descending: descending(query)?, after: None, offset, limit }, number))
}

/// Reads the page of a list of snapshots.
pub(crate) fn snapshots(query: &Query) -> Result<page::Page, ApiError> {
    let (_, order) = sort(query, &SNAPSHOT_SORTS, "lastUsedAt")?;
    let filter = page::Filter {
        name: prefix(query, "name")?,
        source_sandbox_id: query.text("sourceSandboxId").map(str::to_owned),
    };
    let (number, limit) = (page_number(query)?, limit(query)?);
    Ok(page::Page { filter, order, descending: descending(query)?, number, limit })
}

/// Reads which page is asked for, from 1.
fn page_number(query: &Query) -> Result<u32, ApiError> {
    let number = query.at_least("page", 1)?.unwrap_or(1);
    if number > LAST_PAGE {
        return Err(ApiError::invalid(format!("page must not be greater than {LAST_PAGE}")));
    }
    Ok(number)
}

/// Writes where the next page begins.
pub(crate) fn write_cursor(page: &Page, next: Cursor) -> String {
    let sort =
        CURSOR_SORTS.iter().find(|(_, field)| *field == page.sort).map_or("", |(word, _)| word).to_owned();
    let sort_value = match next.value {
        SortValue::Integer(number) => Value::from(number),
        SortValue::Text(text) => Value::from(text),
    };
    let text = CursorText { sort, sort_value, id: next.id.to_string() };
    URL_SAFE_NO_PAD.encode(serde_json::json!(text).to_string())
}

fn read_cursor(text: &str, word: &str, sort: SortField) -> Result<Cursor, ApiError> {
    let invalid = || ApiError::invalid("Invalid cursor");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
    let cursor: CursorText = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    let is_text = matches!(sort, SortField::Name);
    let value = match cursor.sort_value {
        Value::String(text) if is_text => SortValue::Text(text),
        Value::Number(number) if !is_text => SortValue::Integer(number.as_i64().ok_or_else(invalid)?),
        _ => return Err(invalid()),
    };
    let id = cursor.id.parse().map_err(|_| invalid())?;
    if cursor.sort == word { Ok(Cursor { value, id }) } else { Err(invalid()) }
}

/// Reads what a list is ordered by: one of `words`.
fn sort<'query, T: Copy>(
    query: &'query Query,
    words: &[(&'static str, T)],
    otherwise: &'static str,
) -> Result<(&'query str, T), ApiError> {
    let asked = query.text("sort").unwrap_or(otherwise);
    words.iter().find(|(word, _)| *word == asked).map(|(_, field)| (asked, *field)).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        ApiError::invalid(format!("sort must be one of the following values: {}", words.join(", ")))
    })
}

/// Reads the direction of a list; the greatest first when nothing is said.
fn descending(query: &Query) -> Result<bool, ApiError> {
    match query.text("order") {
        None | Some("desc") => Ok(true),
        Some("asc") => Ok(false),
        Some(_) => Err(ApiError::invalid("order must be one of the following values: asc, desc")),
    }
}

/// Reads how long a page is.
fn limit(query: &Query) -> Result<u32, ApiError> {
    let limit = query.at_least("limit", 1)?.unwrap_or(DEFAULT_LIMIT);
    if limit <= LONGEST_LIMIT {
        Ok(limit)
    } else {
        Err(ApiError::invalid(format!("limit must not be greater than {LONGEST_LIMIT}")))
    }
}

/// Reads the filters of both lists. Those about what no sandbox of ours has, such as another class, let nothing through.
pub(crate) fn filter(query: &Query) -> Result<Filter, ApiError> {
    let nothing = !class_matches(query)?;
    let mut regions = query.texts("regionIds");
    regions.extend(query.texts("regions"));
    Ok(Filter {
        id_prefix: prefix(query, "id")?,
        name_prefix: prefix(query, "name")?,
        labels: labels(query)?,
        states: if nothing { Some(Vec::new()) } else { states(query)? },
        errored_deleted: query.truth("includeErroredDeleted")?.unwrap_or(false),
        warm: query.truth("includeWarm")?.unwrap_or(false),
        snapshots: query.texts("snapshots").into_iter().map(str::to_owned).collect(),
        regions: regions.into_iter().map(str::to_owned).collect(),
        cpu: numbers(query, "minCpu", "maxCpu")?,
        gpu: Range { least: query.at_least("minGpu", 0)?, most: query.at_least("maxGpu", 0)? },
        memory_gib: numbers(query, "minMemoryGiB", "maxMemoryGiB")?,
        disk_gib: numbers(query, "minDiskGiB", "maxDiskGiB")?,
        public: query.truth("isPublic")?,
        recoverable: query.truth("isRecoverable")?,
        created_at: Range { least: query.moment("createdAtAfter")?, most: query.moment("createdAtBefore")? },
        last_activity_at: Range {
            least: query.moment("lastEventAfter")?,
            most: query.moment("lastEventBefore")?,
        },
        destroy_at: Range {
            least: query.moment("autoDestroyAtAfter")?,
            most: query.moment("autoDestroyAtBefore")?,
        },
    })
}

fn prefix(query: &Query, field: &str) -> Result<Option<String>, ApiError> {
    let Some(text) = query.text(field) else {
        return Ok(None);
    };
    crate::limits::prefix(field, text)?;
    Ok(Some(text.to_owned()))
}

fn numbers(query: &Query, least: &str, most: &str) -> Result<Range<u32>, ApiError> {
    Ok(Range { least: query.at_least(least, 1)?, most: query.at_least(most, 1)? })
}

fn labels(query: &Query) -> Result<Vec<(String, String)>, ApiError> {
    let Some(text) = query.text("labels") else {
        return Ok(Vec::new());
    };
    let labels: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|_| ApiError::invalid("Invalid labels JSON format"))?;
    crate::limits::labels(&labels)?;
    // Each label is one condition, and the database bounds the depth of a condition.
    if labels.len() > 64 {
        return Err(ApiError::invalid("labels must be at most 64 entries in a filter"));
    }
    Ok(labels.into_iter().collect())
}

fn states(query: &Query) -> Result<Option<Vec<String>>, ApiError> {
    let words = query.texts("states");
    if let Some(word) = words.iter().find(|word| **word == "destroyed" || !STATES.contains(word)) {
        return Err(ApiError::invalid(format!("states: `{word}` is not a state that can be listed")));
    }
    Ok((!words.is_empty()).then(|| words.into_iter().map(str::to_owned).collect()))
}

fn class_matches(query: &Query) -> Result<bool, ApiError> {
    let classes = query.texts("sandboxClasses");
    if classes.iter().any(|class| !["container", "linux-vm", "windows", "android"].contains(class)) {
        return Err(ApiError::invalid(
            "sandboxClasses must be any of the following values: container, linux-vm, windows",
        ));
    }
    Ok(classes.is_empty() || classes.contains(&"container"))
}
