//! `cargo x fuzz`: looks for inputs that break the daemon's parsers, led by what each input reaches.
//!
//! The compiler's own instrumentation and libFuzzer do the work, on the stable compiler, without sanitizers. What was learned
//! stays in `target/fuzz/grown` for the next search; `--keep` takes the best of it into `tests/fuzz/corpus`, which
//! `cargo test` replays.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::machine::{self, Need};
use crate::process;
use crate::report::{self, Step};

/// What counts which branches an input takes and what it compares. As these replace the flags of `.cargo/config.toml`, the
/// program is linked dynamically, unlike everything else: a static one crashes at its start, where libFuzzer looks functions
/// up by name.
const FLAGS: &str = "-C passes=sancov-module -C codegen-units=1 \
                     -C llvm-args=-sanitizer-coverage-level=3 \
                     -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -C llvm-args=-sanitizer-coverage-pc-table \
                     -C llvm-args=-sanitizer-coverage-trace-compares";
/// As long as what the parsers read at once, so that limits are reached.
const INPUT_BYTES: u32 = 4_096;
/// An input that takes longer than this hangs the daemon.
const INPUT_SECONDS: u32 = 10;
/// How libFuzzer ends when an input took too long, took too much memory or broke something; all else is its own failure.
const FOUND: [i32; 3] = [70, 71, 77];
/// How many of the grown inputs are kept for each target: the first ones reach most of what all of them do.
const KEPT: usize = 48;
/// Whatever reaches something only when it is longer is not kept.
const KEPT_BYTES: u32 = 512;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut arguments = arguments.to_vec();
    let seconds: u32 = match process::take_value(&mut arguments, "--seconds")? {
        Some(text) => text.parse().with_context(|| format!("--seconds {text}: not a number"))?,
        None => 60,
    };
    let is_kept = process::take_flag(&mut arguments, "--keep");
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
        } else if is_kept {
            keep(&program, &kept.join(&target), &target)?;
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

/// Returns whether nothing broke.
fn search(program: &Path, kept: &Path, target: &str, seconds: u32) -> Result<bool> {
    let step = Step::begin(&format!("{target}: {seconds} s"));
    let folder = process::root().join("target/fuzz");
    let (grown, found) = (folder.join("grown").join(target), folder.join("found").join(target));
    for folder in [&grown, &found] {
        fs::create_dir_all(folder)?;
    }
    let log = folder.join(format!("{target}.log"));
    let mut command = engine(program, target, &log)?;
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={INPUT_BYTES}"));
    command.arg(format!("-timeout={INPUT_SECONDS}")).arg(format!("-artifact_prefix={}/", found.display()));
    command.args(["-print_final_stats=1", "-rss_limit_mb=1024"]).arg(&grown).arg(kept.join(target));
    let status = command.status().with_context(|| format!("starting {}", program.display()))?;
    let has_found = status.code().is_some_and(|code| FOUND.contains(&code));
    report::say(&process::tail(&log, if status.success() { 6 } else { 30 }));
    if !status.success() && !has_found {
        bail!("the fuzzing program itself failed: {status}; its log is {}", log.display());
    }
    step.done();
    Ok(!has_found)
}

fn engine(program: &Path, target: &str, log: &Path) -> Result<Command> {
    let log = fs::File::create(log).with_context(|| format!("writing {}", log.display()))?;
    let mut command = Command::new(program);
    command.env("DAYTONA_FUZZ_TARGET", target).stderr(log);
    Ok(command)
}

/// Takes the best of what has grown in place of what was taken before; inputs with names of their own stay.
fn keep(program: &Path, kept: &Path, target: &str) -> Result<()> {
    let folder = process::root().join("target/fuzz");
    let best = folder.join("best");
    // What an earlier run left.
    let _ = fs::remove_dir_all(&best);
    fs::create_dir_all(&best)?;
    let mut command = engine(program, target, &folder.join("keep.log"))?;
    command.args(["-set_cover_merge=1", "-use_counters=0"]).arg(format!("-max_len={KEPT_BYTES}"));
    process::run(command.arg(&best).arg(folder.join("grown").join(target)).arg(kept))?;
    let named = names(kept)?.into_iter().filter(|name| !is_hash(name)).collect::<Vec<_>>();
    for name in names(kept)?.iter().filter(|name| is_hash(name)) {
        fs::remove_file(kept.join(name))?;
    }
    // They were written in order: each one reaches the most of what those before it do not.
    let mut inputs = Vec::new();
    for name in names(&best)? {
        inputs.push((fs::metadata(best.join(&name))?.modified()?, name));
    }
    inputs.sort();
    let known: Vec<Vec<u8>> = named.iter().flat_map(|name| fs::read(kept.join(name))).collect();
    for (_, name) in inputs.into_iter().take(KEPT) {
        let contents = fs::read(best.join(&name))?;
        if !known.contains(&contents) {
            fs::write(kept.join(&name), contents)?;
        }
    }
    Ok(())
}

/// Whether a name is one that libFuzzer gave.
fn is_hash(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
