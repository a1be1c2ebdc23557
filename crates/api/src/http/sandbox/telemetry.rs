//! What a sandbox uses over time. No collector of logs and traces is configured, so there are none.

use axum::Json as Answer;
use axum::extract::State;
use daytona_wire::api::telemetry as wire;
use daytona_wire::error::ErrorBody;
use types::Timestamp;
use types::sandbox::Observed;

use crate::callers::Caller;
use crate::error::ApiError;
use crate::request::{Query, Segments};
use crate::state::ApiState;
use crate::{sandbox, view};

/// The most entries of one page.
const LONGEST_LIMIT: u32 = 1_000;

/// Returns what the sandbox used, one sample a minute for the last hour, and now.
#[utoipa::path(get, operation_id = "getSandboxMetrics", path = "/sandbox/{sandboxId}/telemetry/metrics", tag = "sandbox", params(
    ("sandboxId" = String, Path, description = "Id or name"),
    ("from" = String, Query, description = "Start of the time"),
    ("to" = String, Query, description = "End of the time"),
    ("metricNames" = Option<Vec<String>>, Query, description = "These metrics; all when none is named")
), responses((status = 200, body = wire::MetricsResponse), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn metrics(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<Answer<wire::MetricsResponse>, ApiError> {
    let found = sandbox::find(&state, &caller, segments.sandbox()).await?;
    let time = time(&query)?;
    let which = (found.id, found.observed == Observed::Started);
    let samples = state.telemetry.between(which, time, (&*state.runner, &*state.clock)).await;
    let names: Vec<&str> =
        query.texts("metricNames").into_iter().flat_map(|names| names.split(',')).map(str::trim).collect();
    Ok(Answer(view::telemetry::metrics(&samples, &names)))
}

/// Returns a page of what programs in the sandbox logged: an empty one.
#[utoipa::path(get, operation_id = "getSandboxLogs", path = "/sandbox/{sandboxId}/telemetry/logs", tag = "sandbox", params(
    ("sandboxId" = String, Path, description = "Id or name"),
    ("from" = String, Query, description = "Start of the time"),
    ("to" = String, Query, description = "End of the time"),
    ("page" = Option<u32>, Query), ("limit" = Option<u32>, Query),
    ("severities" = Option<Vec<String>>, Query), ("search" = Option<String>, Query)
), responses((status = 200, body = wire::PaginatedLogs), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn logs(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<Answer<wire::PaginatedLogs>, ApiError> {
    let page = empty_page(&state, &caller, &segments, &query).await?;
    Ok(Answer(wire::PaginatedLogs { page, ..wire::PaginatedLogs::default() }))
}

/// Returns a page of what programs in the sandbox did: an empty one.
#[utoipa::path(get, operation_id = "getSandboxTraces", path = "/sandbox/{sandboxId}/telemetry/traces", tag = "sandbox", params(
    ("sandboxId" = String, Path, description = "Id or name"),
    ("from" = String, Query, description = "Start of the time"),
    ("to" = String, Query, description = "End of the time"),
    ("page" = Option<u32>, Query), ("limit" = Option<u32>, Query)
), responses((status = 200, body = wire::PaginatedTraces), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn traces(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<Answer<wire::PaginatedTraces>, ApiError> {
    let page = empty_page(&state, &caller, &segments, &query).await?;
    Ok(Answer(wire::PaginatedTraces { page, ..wire::PaginatedTraces::default() }))
}

/// Returns the parts of something that a program in the sandbox did: none.
#[utoipa::path(get, operation_id = "getSandboxTraceSpans", path = "/sandbox/{sandboxId}/telemetry/traces/{traceId}", tag = "sandbox", params(
    ("sandboxId" = String, Path, description = "Id or name"),
    ("traceId" = String, Path, description = "The trace")
), responses((status = 200, body = Vec<wire::TraceSpan>), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn spans(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<Vec<wire::TraceSpan>>, ApiError> {
    sandbox::find(&state, &caller, segments.sandbox()).await?;
    Ok(Answer(Vec::new()))
}

/// Checks a request for a page as if there were something, and returns the page's number.
async fn empty_page(
    state: &ApiState,
    caller: &Caller,
    segments: &Segments,
    query: &Query,
) -> Result<u32, ApiError> {
    sandbox::find(state, caller, segments.sandbox()).await?;
    time(query)?;
    let limit = query.at_least("limit", 1)?;
    if limit.is_some_and(|limit| limit > LONGEST_LIMIT) {
        return Err(ApiError::invalid(format!("limit must not be greater than {LONGEST_LIMIT}")));
    }
    Ok(query.at_least("page", 1)?.unwrap_or(1))
}

fn time(query: &Query) -> Result<(Timestamp, Timestamp), ApiError> {
    let moment = |name: &str| {
        let missing = || ApiError::invalid(format!("{name} must be a valid ISO 8601 date string"));
        query.moment(name)?.ok_or_else(missing)
    };
    Ok((moment("from")?, moment("to")?))
}
