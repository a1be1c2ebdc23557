//! Durations and their percentiles.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// Durations of one step, in milliseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, duration: Duration) {
        self.0.push(duration.as_secs_f64() * 1000.0);
    }

    pub(crate) fn extend(&mut self, milliseconds: impl IntoIterator<Item = f64>) {
        self.0.extend(milliseconds);
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.0
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the smallest sample that `percent` of all are not above (nearest rank).
    pub(crate) fn percentile(&self, percent: usize) -> Result<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (percent * sorted.len()).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().context("nothing was measured")
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
