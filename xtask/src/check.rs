//! `cargo x check`: what every commit passes, in the order in which it is cheapest to fail.

use anyhow::{Result, bail};

use crate::machine::{self, Need};
use crate::process;
use crate::report::Step;
use crate::tidy;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    process::refuse_rest("check", arguments)?;
    ensure_component("fmt", "rustfmt")?;
    ensure_component("clippy", "clippy")?;
    machine::ensure(&[Need::Compiler])?;
    cargo_step("format", &["fmt", "--all", "--check"])?;
    tidy::run(&[])?;
    cargo_step("lints", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])
}

/// Formatting and lints are parts of a toolchain that may be left out when it is installed.
pub(crate) fn ensure_component(verb: &str, component: &str) -> Result<()> {
    if !process::succeeds(process::cargo().args([verb, "--version"])) {
        bail!("`cargo {verb}` is not installed; run `rustup component add {component}`");
    }
    Ok(())
}

fn cargo_step(what: &str, arguments: &[&str]) -> Result<()> {
    let step = Step::begin(what);
    let mut command = process::cargo();
    process::run(command.args(arguments))?;
    step.done();
    Ok(())
}
