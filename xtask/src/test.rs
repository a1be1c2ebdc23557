//! `cargo x test`: every test there is, on one machine, ending in one line that says how many passed.
//!
//! What the suites of the SDKs need is fetched while cargo compiles.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::build::{self, Product, Profile};
use crate::conformance;
use crate::e2e::{self, Language};
use crate::lanes::{self, Job, Outcome, Say, Tally};
use crate::machine::{self, Need};
use crate::process;
use crate::programs::{self, Program};
use crate::report::{self, seconds};
use crate::tidy;

const NEEDS: &[Need] = &[
    Need::Compiler,
    Need::Busybox,
    Need::Network,
    Need::Ssh,
    Need::Ext4,
    Need::Registry,
    Need::Builder,
    Need::SharedBlocks,
    Need::Mmdebstrap,
    Need::Python,
    Need::Node,
    Need::Browser,
];

/// How many lines of the server's log a failed suite shows.
const LOG_LINES: usize = 60;

/// One part of the run, with what came out of it.
#[derive(Debug)]
struct Part {
    name: &'static str,
    tally: Tally,
    took: Duration,
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut arguments = arguments.to_vec();
    let filter = (!arguments.is_empty()).then(|| arguments.remove(0));
    process::refuse_rest("test", &arguments)?;
    machine::ensure_root("test")?;
    machine::ensure(NEEDS)?;
    let filter = filter.as_deref();
    let mut parts = vec![part("tidy", || one(tidy::run(&[])))];
    let (product, programs) = std::thread::scope(|scope| {
        // What fails here is told by the suite that needs it: it looks for it again.
        scope.spawn(|| drop(e2e::prepare()));
        let product = build::product(Profile::Development)?;
        let programs = programs::build(&product.daemon)?;
        anyhow::Ok((product, programs))
    })?;
    let suites = Mutex::new(Vec::new());
    let outcomes = lanes::run(jobs(&product, &programs, filter, &suites), LANES);
    parts.push(of_programs(&outcomes));
    parts.append(&mut suites.into_inner().unwrap_or_default());
    parts.push(part("conformance", || one(conformance::run(&["--check".to_owned()]))));
    tell_failures(&outcomes);
    summarise(&parts)
}

/// How many jobs run at once. Several would be faster, since where one waits another works; but some fill disks, use up
/// processes or kill servers, and others count what a machine holds.
const LANES: usize = 1;

/// The suites of the SDKs are one job, one after the other: they share a server and its login provider's address.
fn jobs<'a>(
    product: &'a Product,
    programs: &'a [Program],
    filter: Option<&'a str>,
    suites: &'a Mutex<Vec<Part>>,
) -> Vec<Job<'a>> {
    let end_to_end = move |say: Say<'_>| Ok(end_to_end(product, filter, suites, say));
    let mut jobs = vec![Job { name: END_TO_END.to_owned(), work: Box::new(end_to_end) }];
    jobs.extend(programs.iter().map(|program| Job {
        name: program.name.clone(),
        work: Box::new(move |say: Say<'_>| program.run(&product.daemon, filter, say)),
    }));
    jobs
}

const END_TO_END: &str = "end to end";

fn end_to_end(product: &Product, filter: Option<&str>, suites: &Mutex<Vec<Part>>, say: Say<'_>) -> Tally {
    let mut parts = Vec::new();
    let served = e2e::with_server(product, |target| {
        for (name, language) in [("e2e python", Language::Python), ("e2e typescript", Language::TypeScript)] {
            parts.push(part(name, || e2e::suite(language, target, filter, say)));
        }
        e2e::say_about_go(say);
        Ok(())
    });
    parts.push(part("e2e server", || one(served)));
    let mut sum = Tally::default();
    for part in &parts {
        sum.add(part.tally);
    }
    if sum.failed > 0 {
        let log = e2e::server_log();
        say(&format!("the end of {}:{}", log.display(), process::tail(&log, LOG_LINES)));
    }
    if let Ok(mut suites) = suites.lock() {
        suites.append(&mut parts);
    }
    sum
}

/// Runs one part; an error of the part itself is a failure, told at once, and the next part still runs.
fn part(name: &'static str, work: impl FnOnce() -> Result<Tally>) -> Part {
    let started = Instant::now();
    let tally = work().unwrap_or_else(|error| {
        report::say(&format!("error: {name}: {error:#}"));
        Tally { passed: 0, failed: 1 }
    });
    Part { name, tally, took: started.elapsed() }
}

fn one(result: Result<()>) -> Result<Tally> {
    result.map(|()| Tally { passed: 1, failed: 0 })
}

/// Sums up the test programs; they took from the begin of the first to the end of the last.
fn of_programs(outcomes: &[Outcome]) -> Part {
    let programs = || outcomes.iter().filter(|outcome| outcome.name != END_TO_END);
    let mut tally = Tally::default();
    programs().for_each(|outcome| tally.add(outcome.tally));
    let began = programs().map(|outcome| outcome.began).min();
    let ended = programs().map(|outcome| outcome.ended).max();
    let took = began.zip(ended).map(|(began, ended)| ended - began).unwrap_or_default();
    Part { name: "cargo test", tally, took }
}

/// Says once more why each failed job failed: in so much output nobody finds it.
fn tell_failures(outcomes: &[Outcome]) {
    for outcome in outcomes.iter().filter(|outcome| outcome.tally.failed > 0) {
        report::say(&format!("\n==> {} of {} failed", outcome.tally.failed, outcome.name));
        outcome.why().for_each(report::say);
    }
}

fn summarise(parts: &[Part]) -> Result<()> {
    let mut sum = Tally::default();
    report::say("");
    for part in parts {
        sum.add(part.tally);
        let Tally { passed, failed } = part.tally;
        report::say(&format!(
            "  {:<16} {passed:>5} passed {failed:>4} failed  {}",
            part.name,
            seconds(part.took)
        ));
    }
    report::print(&format!("{} passed, {} failed", sum.passed, sum.failed));
    if sum.failed > 0 {
        bail!("{} tests failed", sum.failed);
    }
    Ok(())
}
