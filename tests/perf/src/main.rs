//! Measures the product against the floor, back to back: absolute times of a machine drift, the ratio does not.
#![forbid(unsafe_code)]

mod client;
mod floor;
mod product;
mod sample;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::sample::{Row, Samples};

/// Prints median, p95 and p99 of each step and its ratio to the floor.
#[derive(Debug, Parser)]
struct Args {
    /// Also write the numbers as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// How often each container step is measured.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// The program under test.
    #[arg(long, env = "DAYTONA")]
    daytona: PathBuf,
    /// The image to test with.
    #[arg(long, env = "DAYTONA_IMAGE")]
    image: PathBuf,
    /// Runs the floor probe on an unpacked layer (internal: the probe needs a process with one thread).
    #[arg(long, hide = true)]
    probe: Option<PathBuf>,
}

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some(floor::ANSWER) {
        return floor::answer();
    }
    let args = Args::parse();
    if let Some(layer) = &args.probe {
        return floor::probe(layer, args.rounds);
    }
    let mut product = product::Product::start(&args.daytona, &args.image)?;
    let layer = product.layer()?;
    let mut measured = Measured::default();
    // In turns, so that a slow minute of the machine slows both.
    let turns = 4;
    for turn in 0..turns {
        note(&format!("turn {} of {turns}", turn + 1));
        let rounds = args.rounds.div_ceil(turns);
        measured.floor_container.extend(floor::containers(&layer, rounds)?);
        measured.floor_spawn.extend(floor::spawns(rounds * 4)?);
        product.rounds(rounds, &mut measured)?;
    }
    product.stop()?;
    let rows = measured.rows()?;
    print(&rows);
    if let Some(path) = &args.json {
        let document: serde_json::Map<_, _> =
            rows.iter().map(|row| (row.name.to_owned(), row.json())).collect();
        let text = serde_json::to_string_pretty(&document)?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Everything that one run measures.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    floor_container: Samples,
    floor_spawn: Samples,
    create_started: Samples,
    create_first_output: Samples,
    exec: Samples,
    delete: Samples,
}

impl Measured {
    fn rows(&self) -> Result<Vec<Row>> {
        let container = self.floor_container.percentile(50)?;
        let spawn = self.floor_spawn.percentile(50)?;
        [
            ("create_started", &self.create_started, container),
            ("create_first_output", &self.create_first_output, container),
            ("exec", &self.exec, spawn),
            ("delete", &self.delete, container),
            ("floor_container", &self.floor_container, container),
            ("floor_spawn", &self.floor_spawn, spawn),
        ]
        .into_iter()
        .map(|(name, samples, floor)| samples.row(name, floor))
        .collect()
    }
}

fn print(rows: &[Row]) {
    let mut out = std::io::stdout();
    let _ = writeln!(
        out,
        "{:<22}{:>6}{:>10}{:>10}{:>10}{:>12}",
        "step (ms)", "n", "p50", "p95", "p99", "p50 / floor"
    );
    for row in rows {
        let Row { name, n, p50, p95, p99, ratio } = row;
        let _ = writeln!(out, "{name:<22}{n:>6}{p50:>10.2}{p95:>10.2}{p99:>10.2}{ratio:>12.2}");
    }
}

fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "perf: {text}");
}
