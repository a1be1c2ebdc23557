//! `cargo x test`: every test there is, on one machine, ending in one line that says how many passed.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::build::{self, Profile};
use crate::conformance;
use crate::e2e::{self, Language, Tally};
use crate::machine::{self, Need};
use crate::process;
use crate::report::{self, Step, seconds};
use crate::tidy;

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
    let needs = [Need::Compiler, Need::Busybox, Need::Network, Need::Ssh, Need::Ext4, Need::SharedBlocks];
    machine::ensure(&needs)?;
    let filter = filter.as_deref();
    let mut parts = vec![part("tidy", || one(tidy::run(&[])))];
    let product = build::product(Profile::Development)?;
    parts.push(part("cargo test", || cargo_test(&product.daemon, filter)));
    let mut suites = Vec::new();
    let served = e2e::with_server(&product, |target| {
        for (name, language) in [("e2e python", Language::Python), ("e2e typescript", Language::TypeScript)] {
            suites.push(part(name, || e2e::suite(language, target, filter)));
        }
        Ok(())
    });
    parts.append(&mut suites);
    parts.push(part("e2e server", || one(served)));
    parts.push(part("conformance", || one(conformance::run(&["--check".to_owned()]))));
    summarise(&parts)
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

/// Unit and integration tests, those that need root included: one invocation, so that one build serves all.
fn cargo_test(daemon: &std::path::Path, filter: Option<&str>) -> Result<Tally> {
    let step = Step::begin("cargo test");
    let mut command = process::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).env("DAYTONA_DAEMON", daemon);
    if let Some(filter) = filter {
        command.args(["--", filter]);
    }
    let mut tally = Tally::default();
    let status = process::each_line(&mut command, |line| {
        report::say(line);
        read_result(line, &mut tally);
    })?;
    step.done();
    if !status.success() && tally.failed == 0 {
        bail!("cargo test failed before any test did");
    }
    Ok(tally)
}

/// Reads `test result: ok. 12 passed; 0 failed; …`.
fn read_result(line: &str, tally: &mut Tally) {
    let Some(rest) = line.strip_prefix("test result: ") else { return };
    for piece in rest.split([';', '.']) {
        let mut words = piece.split_whitespace();
        let (number, word) = (words.next().and_then(|word| word.parse::<u64>().ok()), words.next());
        match (number, word) {
            (Some(number), Some("passed")) => tally.passed += number,
            (Some(number), Some("failed")) => tally.failed += number,
            _ => {}
        }
    }
}

fn summarise(parts: &[Part]) -> Result<()> {
    let mut sum = Tally::default();
    report::say("");
    for part in parts {
        sum.passed += part.tally.passed;
        sum.failed += part.tally.failed;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_lines_of_cargo_are_summed() {
        let mut tally = Tally::default();
        read_result(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; finished in 0.1s",
            &mut tally,
        );
        read_result("test result: FAILED. 3 passed; 2 failed; 0 ignored", &mut tally);
        read_result("test passed ... ok", &mut tally);
        assert_eq!(tally, Tally { passed: 15, failed: 2 });
    }
}
