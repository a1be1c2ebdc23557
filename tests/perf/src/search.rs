//! The rows `search`: a text and names in a hundred thousand files, beside `ripgrep`'s libraries and the usual programs,
//! all of them inside one sandbox.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::client::Client;
use crate::product::{self, Product};
use crate::report::{Report, Target};
use crate::sample::Samples;
use crate::{note, ripgrep};

const DIRECTORIES: usize = 1_000;
const FILES_PER_DIRECTORY: usize = 100;
const LINES_PER_FILE: usize = 40;
const ROUNDS: usize = 15;
const TREE: &str = "/home/daytona/tree";
/// In one file of each directory.
const NEEDLE: &str = "the-needle";
/// The end of one name in each directory.
const ENDING: &str = "77.txt";
const PROBE: &str = "/home/daytona/ripgrep-probe";
const BOUNDARY: &str = "perf-search-boundary";
/// As fast as the libraries are, and what the way through HTTP and the order of the results cost.
const TARGET: Target = Target { p50: Some(1.5), p99: None };

/// Everything that the rounds measure.
#[derive(Debug, Default)]
struct Measured {
    lines_floor: Samples,
    lines: Samples,
    lines_grep: Samples,
    names_floor: Samples,
    names: Samples,
    names_find: Samples,
}

/// Makes the files and measures all ways in turns. The files are in memory by then, on every side.
pub(crate) fn measure(product: &Product, report: &mut Report) -> Result<()> {
    note(&format!("search: {ROUNDS} rounds in {} files", DIRECTORIES * FILES_PER_DIRECTORY));
    let mut client = product.connect()?;
    let id = product::create(&mut client, &json!({ "cpu": 2, "memory": 2, "disk": 4 }))?;
    let outcome = rounds(&mut client, &id);
    product::delete(&mut client, &id)?;
    let measured = outcome?;
    let (lines, names) = (measured.lines_floor.percentile(50)?, measured.names_floor.percentile(50)?);
    let other = Target::default();
    report.step("floor_ripgrep_lines", &measured.lines_floor, lines, other)?;
    report.step("find_100k_files", &measured.lines, lines, TARGET)?;
    report.step("grep_100k_files", &measured.lines_grep, lines, other)?;
    report.step("floor_ripgrep_names", &measured.names_floor, names, other)?;
    report.step("search_100k_files", &measured.names, names, TARGET)?;
    report.step("find_name_100k_files", &measured.names_find, names, other)
}

fn rounds(client: &mut Client, id: &str) -> Result<Measured> {
    plant(client, id)?;
    // One for warmth, of all of them.
    round(client, id, &mut Measured::default())?;
    let mut measured = Measured::default();
    for _ in 0..ROUNDS {
        round(client, id, &mut measured)?;
    }
    Ok(measured)
}

/// Writes the files, inside, and brings this program there.
fn plant(client: &mut Client, id: &str) -> Result<()> {
    product::execute(client, id, &format!("sh -c 'mkdir {TREE}; cd {TREE}; mkdir $(seq {DIRECTORIES})'"))?;
    let script = format!(
        "BEGIN {{ for (d = 1; d <= {DIRECTORIES}; d++) for (f = 0; f < {FILES_PER_DIRECTORY}; f++) {{ \
         file = sprintf(\"{TREE}/%d/%02d.txt\", d, f); \
         for (l = 0; l < {LINES_PER_FILE}; l++) print \"line \" l \" of a text like any other, at length\" > file; \
         if (f == 42) print \"here is {NEEDLE} of this directory\" > file; close(file) }} }}"
    );
    product::execute(client, id, &format!("awk '{script}'"))?;
    let mut form = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"probe\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    form.extend(std::fs::read("/proc/self/exe")?);
    form.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
    client.send_form(&format!("/toolbox/{id}/files/upload?path={PROBE}"), BOUNDARY, &form)?;
    product::execute(client, id, &format!("chmod +x {PROBE}")).map(drop)
}

fn round(client: &mut Client, id: &str, measured: &mut Measured) -> Result<()> {
    measured.lines_floor.extend([floor(client, id, ripgrep::LINES, NEEDLE)?]);
    let path = format!("/toolbox/{id}/files/find?path={TREE}&pattern={NEEDLE}");
    asked(client, &path, "", &mut measured.lines)?;
    run(client, id, &format!("grep -rnF {NEEDLE} {TREE}"), &mut measured.lines_grep)?;
    measured.names_floor.extend([floor(client, id, ripgrep::NAMES, ENDING)?]);
    let path = format!("/toolbox/{id}/files/search?path={TREE}&pattern=*{ENDING}");
    asked(client, &path, "/files", &mut measured.names)?;
    run(client, id, &format!("find {TREE} -name *{ENDING}"), &mut measured.names_find)
}

/// Returns the milliseconds that the libraries took, by their own clock: neither a start nor a way counts.
fn floor(client: &mut Client, id: &str, what: &str, text: &str) -> Result<f64> {
    let argument = ripgrep::ARGUMENT;
    let printed = product::execute(client, id, &format!("{PROBE} {argument} {what} {TREE} {text}"))?;
    let (count, milliseconds) = printed.trim().split_once(' ').context("the probe printed something else")?;
    ensure!(count.parse() == Ok(DIRECTORIES), "the libraries found {count}");
    Ok(milliseconds.parse()?)
}

/// Asks the daemon; `list` is where in the answer the results are.
fn asked(client: &mut Client, path: &str, list: &str, samples: &mut Samples) -> Result<()> {
    let started = Instant::now();
    let answer = client.fetch(path)?;
    samples.push(started.elapsed());
    let answer: Value = serde_json::from_slice(&answer)?;
    let count = answer.pointer(list).and_then(Value::as_array).map_or(0, Vec::len);
    ensure!(count == DIRECTORIES, "{path}: {count} were found");
    Ok(())
}

/// Runs a program as a command; its start and the way there and back count.
fn run(client: &mut Client, id: &str, command: &str, samples: &mut Samples) -> Result<()> {
    let started = Instant::now();
    let printed = product::execute(client, id, command)?;
    samples.push(started.elapsed());
    ensure!(printed.lines().count() == DIRECTORIES, "{command}: {} lines", printed.lines().count());
    Ok(())
}
