//! Builds the product: first the daemon, then the binary that carries it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::machine::{self, Need};
use crate::process;
use crate::report::Step;

/// How the compiler is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Fast to build.
    Development,
    /// As it ships.
    Release,
}

/// What was built.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    /// `daytona-daemon`, which runs inside sandboxes.
    pub(crate) daemon: PathBuf,
    /// `daytona`, with the daemon embedded.
    pub(crate) daytona: PathBuf,
}

/// Builds both binaries.
pub(crate) fn product(profile: Profile) -> Result<Product> {
    let daemon = daemon(profile)?;
    let step = Step::begin("building daytona");
    let mut command = cargo_build(profile, "cli", "daytona");
    if profile == Profile::Release {
        command.arg("--release");
    }
    command.env("DAYTONA_DAEMON", &daemon);
    let daytona = executable(&mut command, "daytona")?;
    step.done();
    Ok(Product { daemon, daytona })
}

/// Builds the daemon alone, which tests of the runner need too.
pub(crate) fn daemon(profile: Profile) -> Result<PathBuf> {
    machine::ensure(&[Need::Compiler])?;
    let step = Step::begin("building daytona-daemon");
    let mut command = cargo_build(profile, "daemon", "daytona-daemon");
    if profile == Profile::Release {
        // Of its own: it is in every sandbox and in every copy of `daytona`.
        command.args(["--profile", "daemon"]);
    }
    let path = executable(&mut command, "daytona-daemon")?;
    step.done();
    Ok(path)
}

fn cargo_build(profile: Profile, package: &str, binary: &str) -> Command {
    let mut command = process::cargo();
    command.args(["build", "--bin", binary]);
    match profile {
        // With the features that the tests of all packages need: so everything that both are made of is built once.
        Profile::Development => command.args(["--workspace", "--features", "testkit/as-tested"]),
        Profile::Release => command.args(["--package", package]),
    };
    command.arg("--message-format=json-render-diagnostics");
    command
}

/// Runs cargo and reads from its messages where the executable lies.
fn executable(command: &mut Command, name: &str) -> Result<PathBuf> {
    let messages = process::output(command)?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message.pointer("/target/name").and_then(Value::as_str) == Some(name))
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built no executable named {name}"))
}
