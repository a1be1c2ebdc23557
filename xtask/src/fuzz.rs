//! `cargo x fuzz`: looks for inputs that break the daemon's parsers, led by what each input reaches.
//!
//! The compiler's own instrumentation and libFuzzer do the work, on the stable compiler, without sanitizers.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::machine::{self, Need};
use crate::process;
use crate::report::{self, Step};

/// What counts which branches an input takes and what it compares. Linked dynamically, unlike everything else: a
/// static program was seen to crash at its start, where the engine looks functions up by name.
const FLAGS: &str = "-C passes=sancov-module -C codegen-units=1 \
                     -C llvm-args=-sanitizer-coverage-level=3 \
                     -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -C llvm-args=-sanitizer-coverage-pc-table \
                     -C llvm-args=-sanitizer-coverage-trace-compares";
/// As long as what the parsers read at once, so that limits are reached.
const INPUT_BYTES: u32 = 4_096;
/// An input that takes longer than this hangs the daemon.
const INPUT_SECONDS: u32 = 10;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut arguments = arguments.to_vec();
    let seconds: u32 = match process::take_value(&mut arguments, "--seconds")? {
        Some(text) => text.parse().with_context(|| format!("--seconds {text}: not a number"))?,
        None => 60,
    };
    let only = (!arguments.is_empty()).then(|| arguments.remove(0));
    process::refuse_rest("fuzz", &arguments)?;
    let kept = process::root().join("tests/fuzz/corpus");
    let targets: Vec<String> =
        names(&kept)?.into_iter().filter(|name| only.as_ref().is_none_or(|only| only == name)).collect();
    if targets.is_empty() {
        bail!("there is no such target; the folders in {} name them", kept.display());
    }
    let program = build()?;
    let mut broken = Vec::new();
    for target in targets {
        if !search(&program, &kept, &target, seconds)? {
            broken.push(target);
        }
    }
    if !broken.is_empty() {
        bail!("inputs that break {} lie in target/fuzz/found", broken.join(", "));
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Builds apart from everything else, whose flags are others.
fn build() -> Result<std::path::PathBuf> {
    machine::ensure(&[Need::Compiler, Need::CppCompiler])?;
    let step = Step::begin("building the fuzzing program");
    let folder = process::root().join("target/fuzz");
    let mut command = process::cargo();
    command.args(["rustc", "--quiet", "--package", "fuzz", "--bin", "fuzz", "--features", "engine"]);
    command.arg("--target-dir").arg(&folder).env("RUSTFLAGS", FLAGS).env("CARGO_PROFILE_DEV_OPT_LEVEL", "2");
    process::run(&mut command)?;
    step.done();
    let built = fs::read_dir(&folder)?.flatten().map(|entry| entry.path().join("debug/fuzz"));
    built.into_iter().find(|program| program.is_file()).context("cargo built no fuzzing program")
}

/// Returns whether nothing broke. New inputs that reach something new are kept beside the old ones.
fn search(program: &Path, kept: &Path, target: &str, seconds: u32) -> Result<bool> {
    let step = Step::begin(&format!("{target}: {seconds} s"));
    let folder = process::root().join("target/fuzz");
    let (grown, found) = (folder.join("grown").join(target), folder.join("found").join(target));
    for folder in [&grown, &found] {
        fs::create_dir_all(folder)?;
    }
    let mut command = Command::new(program);
    command.env("DAYTONA_FUZZ_TARGET", target).stderr(fs::File::create(folder.join("log"))?);
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={INPUT_BYTES}"));
    command.arg(format!("-timeout={INPUT_SECONDS}")).arg(format!("-artifact_prefix={}/", found.display()));
    command.args(["-print_final_stats=1", "-rss_limit_mb=1024"]).arg(&grown).arg(kept.join(target));
    let status = command.status().with_context(|| format!("starting {}", program.display()))?;
    report::say(&process::tail(&folder.join("log"), if status.success() { 8 } else { 30 }));
    step.done();
    if !status.success() {
        return Ok(false);
    }
    merge(program, &grown, &kept.join(target), target)?;
    Ok(true)
}

/// Adds the inputs of `from` that reach what nothing in `into` does.
fn merge(program: &Path, from: &Path, into: &Path, target: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.env("DAYTONA_FUZZ_TARGET", target).stderr(std::process::Stdio::null());
    process::run(command.arg("-merge=1").arg(format!("-max_len={INPUT_BYTES}")).arg(into).arg(from))
}
