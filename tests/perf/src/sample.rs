//! Durations and their percentiles.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Durations of one step.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

/// One line of the report, in milliseconds.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) n: usize,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) ratio: f64,
}

impl Samples {
    pub(crate) fn push(&mut self, duration: Duration) {
        self.0.push(duration.as_secs_f64() * 1000.0);
    }

    pub(crate) fn extend(&mut self, milliseconds: Vec<f64>) {
        self.0.extend(milliseconds);
    }

    /// Returns the smallest sample that `percent` of all are not above (nearest rank).
    pub(crate) fn percentile(&self, percent: usize) -> Result<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (percent * sorted.len()).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().context("nothing was measured")
    }

    pub(crate) fn row(&self, name: &'static str, floor: f64) -> Result<Row> {
        let p50 = self.percentile(50)?;
        let (p95, p99) = (self.percentile(95)?, self.percentile(99)?);
        Ok(Row { name, n: self.0.len(), p50, p95, p99, ratio: p50 / floor })
    }
}

impl Row {
    pub(crate) fn json(&self) -> Value {
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        json!({
            "unit": "ms",
            "n": self.n,
            "p50": round(self.p50),
            "p95": round(self.p95),
            "p99": round(self.p99),
            "ratio_to_floor_p50": round(self.ratio),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_of_nearest_rank() {
        let samples = Samples((1..=100).rev().map(f64::from).collect());
        let percentile = |percent| samples.percentile(percent).unwrap().to_bits();
        assert_eq!(percentile(50), 50_f64.to_bits());
        assert_eq!(percentile(99), 99_f64.to_bits());
        assert_eq!(Samples(vec![7.0]).percentile(50).unwrap().to_bits(), 7_f64.to_bits());
        assert!(Samples::default().percentile(50).is_err());
    }
}
