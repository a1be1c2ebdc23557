//! Measures the product against the floor, back to back: absolute times of a machine drift, the ratio does not.
#![forbid(unsafe_code)]

mod sample;
mod report;
mod machine;
mod client;
mod floor;
mod ripgrep;
mod product;
mod latency;
mod throughput;
mod density;
mod daemon;
mod transfer;
mod bulk;
mod search;
mod docker;
mod list;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use crate::product::Product;
use crate::report::Report;
use crate::sample::Samples;

/// Prints median, p95 and p99 of each step and its ratio to the floor, and what else was asked for.
#[derive(Debug, Parser)]
struct Args {
    /// Also write the numbers as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What is measured; everything when nothing is said.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Topic>,
    /// How often each container step is measured.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// How many idle sandboxes `density` makes.
    #[arg(long, default_value_t = 1_000)]
    sandboxes: usize,
    /// How many sandboxes `list` has of the caller, and as many of others.
    #[arg(long, default_value_t = 50_000)]
    listed: u32,
    /// How many seconds `throughput` lasts.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// A Python that has the official SDK, for `transfer`.
    #[arg(long, env = "DAYTONA_SDK_PYTHON")]
    sdk: Option<PathBuf>,
    /// The program inside sandboxes, for `daemon`.
    #[arg(long, env = "DAYTONA_DAEMON")]
    daemon: Option<PathBuf>,
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

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Topic {
    /// Create to started, to the first output, and the first command alone.
    Create,
    /// A command, and a call that runs none.
    Exec,
    /// Delete until it is answered.
    Delete,
    /// Sixteen clients that create and delete.
    Throughput,
    /// Many idle sandboxes.
    Density,
    /// The program inside sandboxes: its size, its start, its memory.
    Daemon,
    /// A gibibyte up and down.
    Transfer,
    /// A thousand files in one call.
    Bulk,
    /// A text and names in a hundred thousand files.
    Search,
    /// A container engine beside it.
    Docker,
    /// Pages of fifty thousand sandboxes. Comes last: the rows stay.
    List,
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Selection(Vec<Topic>);

impl Selection {
    pub(crate) fn has(&self, topic: Topic) -> bool {
        self.0.is_empty() || self.0.contains(&topic)
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some(floor::ANSWER) => return floor::answer(),
        Some(ripgrep::ARGUMENT) => return ripgrep::answer(&arguments.collect::<Vec<_>>()),
        _ => {}
    }
    let args = Args::parse();
    if let Some(layer) = &args.probe {
        return floor::probe(layer, args.rounds);
    }
    let selection = Selection(args.only.clone());
    let mut report = Report::default();
    let product = Product::start(&args.daytona, &args.image)?;
    let outcome = measure(&args, &selection, &product, &mut report);
    if outcome.is_err() {
        note("it broke off; what was measured until then follows");
        product.sweep()?;
    }
    report.print();
    product.stop()?;
    outcome?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report.json())?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn measure(args: &Args, selection: &Selection, product: &Product, report: &mut Report) -> Result<()> {
    let floors = Floors::measure(&product.layer()?)?;
    if [Topic::Create, Topic::Exec, Topic::Delete].into_iter().any(|topic| selection.has(topic)) {
        latency::measure(product, args.rounds, selection, report)?;
    }
    if selection.has(Topic::Daemon) {
        daemon::measure(product, args.daemon.as_deref(), args.rounds, report)?;
    }
    if selection.has(Topic::Throughput) {
        throughput::measure(product, Duration::from_secs(args.seconds), floors.container, report)?;
    }
    if selection.has(Topic::Bulk) {
        bulk::measure(product, report)?;
    }
    if selection.has(Topic::Search) {
        search::measure(product, report)?;
    }
    if selection.has(Topic::Transfer) {
        transfer::measure(product, args.sdk.as_deref().filter(|path| path.exists()), report)?;
    }
    if selection.has(Topic::Density) {
        density::measure(product, args.sandboxes, report)?;
    }
    if selection.has(Topic::Docker) {
        docker::measure(&args.image, floors, report)?;
    }
    if selection.has(Topic::List) {
        list::measure(product, args.listed, args.rounds, report)?;
    }
    Ok(())
}

/// Medians in milliseconds, for rows that are not measured in turns with their floor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floors {
    pub(crate) container: f64,
    pub(crate) spawn: f64,
}

impl Floors {
    fn measure(layer: &Path) -> Result<Self> {
        let (mut container, mut spawn) = (Samples::default(), Samples::default());
        container.extend(floor::containers(layer, 20)?);
        spawn.extend(floor::spawns("/bin/sh", 40)?);
        Ok(Self { container: container.percentile(50)?, spawn: spawn.percentile(50)? })
    }
}

/// Returns a number of bytes in megabytes.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let bytes = bytes as f64;
    bytes / 1e6
}

fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "perf: {text}");
}
