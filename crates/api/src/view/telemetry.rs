//! Samples to the metrics that clients ask for by name.

use daytona_wire::api::telemetry::{MetricDataPoint, MetricSeries, MetricsResponse};
use types::metric::Metrics;

use crate::moment;
use crate::telemetry::Sample;

/// Reads one metric of a sample.
type Read = fn(&Metrics) -> f64;

/// Every metric by the contract's name.
const METRICS: [(&str, Read); 7] = [
    ("daytona.sandbox.cpu.utilization", |metrics| metrics.cpu_used_percent),
    ("daytona.sandbox.cpu.limit", |metrics| metrics.cpu_limit),
    ("daytona.sandbox.memory.usage", |metrics| number(metrics.memory_used_bytes)),
    ("daytona.sandbox.memory.limit", |metrics| number(metrics.memory_limit_bytes)),
    ("daytona.sandbox.memory.cache", |metrics| number(metrics.memory_cache_bytes)),
    ("daytona.sandbox.filesystem.usage", |metrics| number(metrics.disk_used_bytes)),
    ("daytona.sandbox.filesystem.total", |metrics| number(metrics.disk_total_bytes)),
];

/// Shows the metrics of `names`, all when none is named. A name that is not known has no series.
pub(crate) fn metrics(samples: &[Sample], names: &[&str]) -> MetricsResponse {
    let asked = METRICS.iter().filter(|(name, _)| names.is_empty() || names.contains(name));
    let series = asked.map(|(name, value)| MetricSeries {
        metric_name: (*name).to_owned(),
        data_points: samples
            .iter()
            .map(|sample| MetricDataPoint {
                timestamp: moment::write(sample.at),
                value: value(&sample.metrics),
            })
            .collect(),
    });
    MetricsResponse { series: series.collect() }
}

/// Writes a size as the number that JSON has.
#[expect(clippy::cast_precision_loss, reason = "sizes of memory and disks are far below 2^53")]
const fn number(bytes: u64) -> f64 {
    bytes as f64
}
