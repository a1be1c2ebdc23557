//! What a sandbox used, and what its programs told of themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a sandbox used over a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricsResponse {
    /// One for each metric.
    pub series: Vec<MetricSeries>,
}

/// One metric over a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricSeries {
    /// Its name, such as `daytona.sandbox.cpu.utilization`.
    pub metric_name: String,
    /// Its values, oldest first.
    pub data_points: Vec<MetricDataPoint>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricDataPoint {
    /// When it was measured.
    pub timestamp: String,
    /// The value: percent, processors or bytes.
    pub value: f64,
}

/// One page of what programs logged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaginatedLogs {
    /// The entries of this page.
    pub items: Vec<LogEntry>,
    /// How many there are.
    pub total: u32,
    /// The number of this page, from 1.
    pub page: u32,
    /// How many pages there are.
    pub total_pages: u32,
}

/// One line that a program logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    /// When.
    pub timestamp: String,
    /// What.
    pub body: String,
    /// How bad, as a word.
    pub severity_text: String,
    /// The same as a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity_number: Option<i32>,
    /// Who.
    pub service_name: String,
    /// Marks of who.
    pub resource_attributes: BTreeMap<String, String>,
    /// Marks of the line.
    pub log_attributes: BTreeMap<String, String>,
    /// The trace that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The span that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
}

/// One page of what programs did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaginatedTraces {
    /// The traces of this page.
    pub items: Vec<TraceSummary>,
    /// How many there are.
    pub total: u32,
    /// The number of this page, from 1.
    pub page: u32,
    /// How many pages there are.
    pub total_pages: u32,
}

/// Something that a program did, from end to end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TraceSummary {
    /// Its id.
    pub trace_id: String,
    /// The name of its first span.
    pub root_span_name: String,
    /// When it began.
    pub start_time: String,
    /// When it ended.
    pub end_time: String,
    /// How long it took.
    pub duration_ms: f64,
    /// How many spans it has.
    pub span_count: u32,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<String>,
}

/// A part of something that a program did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TraceSpan {
    /// The trace that it belongs to.
    pub trace_id: String,
    /// Its id.
    pub span_id: String,
    /// The span that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// Its name.
    pub span_name: String,
    /// When it began.
    pub timestamp: String,
    /// How long it took.
    pub duration_ns: f64,
    /// Its marks.
    pub span_attributes: BTreeMap<String, String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<String>,
    /// What was said about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
}
