//! A list's query to filters, order and page.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::sandbox::list::{Cursor, Filter, Page, Range, SortField, SortValue};
use types::sandbox::{Desired, Observed, Sandbox, state};

use crate::error::ApiError;
use crate::request::Query;

const DEFAULT_LIMIT: u32 = 100;
const LONGEST_LIMIT: u32 = 200;
/// Deep pages cost a scan; nobody pages this far.
const LAST_PAGE: u32 = 1_000_000;

/// The contract's words for states; those that no pair of ours is called match nothing.
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

/// What a cursor says; opaque to clients.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CursorText {
    sort: String,
    sort_value: Value,
    id: String,
}

/// Reads the page of `GET /sandbox`; it asks for one row more than the caller, to know whether a next page exists.
pub(crate) fn cursor_page(query: &Query) -> Result<Page, ApiError> {
    let (word, sort) = sort(query, &CURSOR_SORTS, "lastActivityAt")?;
    let after = query.text("cursor").map(|text| read_cursor(text, word, sort)).transpose()?;
    Ok(Page { sort, descending: descending(query)?, after, offset: 0, limit: limit(query)? + 1 })
}

/// Reads the page of `GET /sandbox/paginated`, and its number.
pub(crate) fn numbered_page(query: &Query) -> Result<(Page, u32), ApiError> {
    let number = query.at_least("page", 1)?.unwrap_or(1);
    if number > LAST_PAGE {
        return Err(ApiError::invalid(format!("page must not be greater than {LAST_PAGE}")));
    }
    let (_, sort) = sort(query, &PAGE_SORTS, "createdAt")?;
    let limit = limit(query)?;
    let offset = (number - 1) * limit;
    Ok((Page { sort, descending: descending(query)?, after: None, offset, limit }, number))
}

/// Returns where the list goes on after `last`.
fn write_cursor(page: &Page, last: &Sandbox) -> String {
    let sort =
        CURSOR_SORTS.iter().find(|(_, field)| *field == page.sort).map_or("", |(word, _)| word).to_owned();
    let sort_value = match page.sort.value(last) {
        SortValue::Integer(number) => Value::from(number),
        SortValue::Text(text) => Value::from(text),
    };
    let text = CursorText { sort, sort_value, id: last.id.to_string() };
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

fn sort<'query>(
    query: &'query Query,
    words: &[(&'static str, SortField)],
    otherwise: &'static str,
) -> Result<(&'query str, SortField), ApiError> {
    let asked = query.text("sort").unwrap_or(otherwise);
    words.iter().find(|(word, _)| *word == asked).map(|(_, field)| (asked, *field)).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        ApiError::invalid(format!("sort must be one of the following values: {}", words.join(", ")))
    })
}

fn descending(query: &Query) -> Result<bool, ApiError> {
    match query.text("order") {
        None | Some("desc") => Ok(true),
        Some("asc") => Ok(false),
        Some(_) => Err(ApiError::invalid("order must be one of the following values: asc, desc")),
    }
}

fn limit(query: &Query) -> Result<u32, ApiError> {
    let limit = query.at_least("limit", 1)?.unwrap_or(DEFAULT_LIMIT);
    if limit <= LONGEST_LIMIT {
        Ok(limit)
    } else {
        Err(ApiError::invalid(format!("limit must not be greater than {LONGEST_LIMIT}")))
    }
}

/// Reads the filters of both lists. Those about what no sandbox of ours has, such as a time of automatic deletion, let
/// nothing through when given.
pub(crate) fn filter(query: &Query) -> Result<Filter, ApiError> {
    let nothing = query.truth("isRecoverable")? == Some(true)
        || query.moment("autoDestroyAtAfter")?.is_some()
        || query.moment("autoDestroyAtBefore")?.is_some()
        || !class_matches(query)?;
    let mut regions = query.texts("regionIds");
    regions.extend(query.texts("regions"));
    query.truth("includeWarm")?;
    Ok(Filter {
        id_prefix: prefix(query, "id")?,
        name_prefix: prefix(query, "name")?,
        labels: labels(query)?,
        states: if nothing { Some(Vec::new()) } else { states(query)? },
        errored_deleted: query.truth("includeErroredDeleted")?.unwrap_or(false),
        snapshots: query.texts("snapshots").into_iter().map(str::to_owned).collect(),
        regions: regions.into_iter().map(str::to_owned).collect(),
        cpu: numbers(query, "minCpu", "maxCpu")?,
        gpu: Range { least: query.at_least("minGpu", 0)?, most: query.at_least("maxGpu", 0)? },
        memory_gib: numbers(query, "minMemoryGiB", "maxMemoryGiB")?,
        disk_gib: numbers(query, "minDiskGiB", "maxDiskGiB")?,
        public: query.truth("isPublic")?,
        created_at: Range { least: query.moment("createdAtAfter")?, most: query.moment("createdAtBefore")? },
        last_activity_at: Range {
            least: query.moment("lastEventAfter")?,
            most: query.moment("lastEventBefore")?,
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

fn states(query: &Query) -> Result<Option<Vec<(Desired, Observed)>>, ApiError> {
    let words = query.texts("states");
    if let Some(word) = words.iter().find(|word| **word == "destroyed" || !STATES.contains(word)) {
        return Err(ApiError::invalid(format!("states: `{word}` is not a state that can be listed")));
    }
    let every =
        Desired::ALL.into_iter().flat_map(|desired| Observed::ALL.map(|observed| (desired, observed)));
    let pairs = every.filter(|(desired, observed)| words.contains(&state::reported(*desired, *observed)));
    Ok((!words.is_empty()).then(|| pairs.collect()))
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

/// Cuts the row that only shows that a next page exists, and returns where that page begins.
pub(crate) fn cut(rows: &mut Vec<Sandbox>, page: &Page) -> Option<String> {
    let asked = usize::try_from(page.limit).unwrap_or(usize::MAX).saturating_sub(1);
    let more = rows.len() > asked;
    rows.truncate(asked);
    rows.last().filter(|_| more).map(|last| write_cursor(page, last))
}
