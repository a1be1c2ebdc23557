//! What a run found: steps with percentiles and their ratio to a floor, and single figures; as a table and as JSON.

use std::io::Write as _;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::sample::Samples;

/// Everything that one run found, in the order in which it is shown.
#[derive(Debug, Default)]
pub(crate) struct Report {
    steps: Vec<Step>,
    figures: Vec<Figure>,
    remarks: Vec<String>,
}

/// The most that a step may take, as ratios to the floor's median.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Target {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// A step that was measured often, in milliseconds.
#[derive(Debug)]
struct Step {
    name: String,
    n: usize,
    p50: f64,
    p95: f64,
    p99: f64,
    floor: f64,
    target: Target,
}

/// A number that a whole run yields once.
#[derive(Debug)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    target: Option<Bound>,
}

/// The least or the most that a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    Least(f64),
    Most(f64),
}

impl Report {
    /// Adds a step; `floor` is the median that its ratios refer to.
    pub(crate) fn step(&mut self, name: &str, samples: &Samples, floor: f64, target: Target) -> Result<()> {
        self.steps.push(Step {
            name: name.to_owned(),
            n: samples.count(),
            p50: samples.percentile(50)?,
            p95: samples.percentile(95)?,
            p99: samples.percentile(99)?,
            floor,
            target,
        });
        Ok(())
    }

    /// Adds a figure.
    pub(crate) fn figure(&mut self, name: &str, value: f64, unit: &'static str, target: Option<Bound>) {
        self.figures.push(Figure { name: name.to_owned(), value, unit, target });
    }

    /// Adds a sentence: what was not measured and why, or what went wrong.
    pub(crate) fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// Prints the tables.
    pub(crate) fn print(&self) {
        let mut out = std::io::stdout().lock();
        if !self.steps.is_empty() {
            let _ = writeln!(
                out,
                "{:<34}{:>6}{:>9}{:>9}{:>9}{:>11}{:>11}  target",
                "step (ms)", "n", "p50", "p95", "p99", "p50/floor", "p99/floor"
            );
        }
        for step in &self.steps {
            let Step { name, n, p50, p95, p99, floor, target } = step;
            let (ratio, worst) = (p50 / floor, p99 / floor);
            let verdict = target.verdict(ratio, worst);
            let _ = writeln!(
                out,
                "{name:<34}{n:>6}{p50:>9.2}{p95:>9.2}{p99:>9.2}{ratio:>11.2}{worst:>11.2}  {verdict}"
            );
        }
        if !self.figures.is_empty() {
            let _ = writeln!(out, "\n{:<40}{:>12}  {:<14}target", "figure", "value", "unit");
        }
        for Figure { name, value, unit, target } in &self.figures {
            let verdict = target.map(|bound| bound.verdict(*value)).unwrap_or_default();
            let _ = writeln!(out, "{name:<40}{value:>12.2}  {unit:<14}{verdict}");
        }
        for remark in &self.remarks {
            let _ = writeln!(out, "\n{remark}");
        }
    }

    /// Returns one document: steps and figures by name.
    pub(crate) fn json(&self) -> Value {
        let mut document = Map::new();
        for step in &self.steps {
            document.insert(step.name.clone(), step.json());
        }
        for Figure { name, value, unit, .. } in &self.figures {
            document.insert(name.clone(), json!({ "unit": unit, "value": round(*value) }));
        }
        if !self.remarks.is_empty() {
            document.insert("remarks".to_owned(), json!(self.remarks));
        }
        Value::Object(document)
    }
}

impl Step {
    fn json(&self) -> Value {
        json!({
            "unit": "ms",
            "n": self.n,
            "p50": round(self.p50),
            "p95": round(self.p95),
            "p99": round(self.p99),
            "ratio_to_floor_p50": round(self.p50 / self.floor),
            "ratio_to_floor_p99": round(self.p99 / self.floor),
        })
    }
}

impl Target {
    fn verdict(self, ratio: f64, worst: f64) -> String {
        let checks = [("p50", self.p50, ratio), ("p99", self.p99, worst)];
        let told = checks.iter().filter_map(|(name, most, value)| {
            most.map(|most| format!("{name} <= {most}: {}", word(*value <= most)))
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

impl Bound {
    fn verdict(self, value: f64) -> String {
        match self {
            Self::Least(least) => format!(">= {least:.2}: {}", word(value >= least)),
            Self::Most(most) => format!("<= {most:.2}: {}", word(value <= most)),
        }
    }
}

const fn word(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_follows_from_the_numbers() {
        let target = Target { p50: Some(3.0), p99: Some(8.0) };
        assert_eq!(target.verdict(3.0, 8.1), "p50 <= 3: met, p99 <= 8: MISSED");
        assert_eq!(Target::default().verdict(9.0, 9.0), "");
        assert_eq!(Bound::Least(150.0).verdict(149.9), ">= 150.00: MISSED");
        assert_eq!(Bound::Most(4.0).verdict(4.0), "<= 4.00: met");
    }

    #[test]
    fn the_document_names_every_step_and_figure() {
        let mut report = Report::default();
        let mut samples = Samples::default();
        samples.extend([1.0, 2.0, 3.0]);
        report.step("exec", &samples, 2.0, Target::default()).unwrap();
        report.figure("creates", 151.23456, "per second", None);
        let document = report.json();
        assert_eq!(document.pointer("/exec/ratio_to_floor_p50"), Some(&json!(1.0)));
        assert_eq!(document.pointer("/creates/value"), Some(&json!(151.235)));
    }
}
