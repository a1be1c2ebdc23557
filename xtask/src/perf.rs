//! `cargo x perf`: measures the product against the floor, both built for release, in one run.

use anyhow::Result;

use crate::build::{self, Profile};
use crate::image::{self, Recipe};
use crate::machine;
use crate::process;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    machine::ensure_root("perf")?;
    let product = build::product(Profile::Release)?;
    let image = image::prepare(Recipe::Default, false)?;
    let mut command = process::cargo();
    command.args(["run", "--release", "--quiet", "--package", "perf", "--"]).args(arguments);
    command.env("DAYTONA", &product.daytona).env("DAYTONA_IMAGE", &image.archive);
    command.env("DAYTONA_DAEMON", &product.daemon);
    // Made by `cargo x e2e python`; without it the rows that need the SDK are left out, and say so.
    let sdk = process::root().join("target/e2e/python/bin/python");
    if sdk.exists() {
        command.env("DAYTONA_SDK_PYTHON", sdk);
    }
    process::run(&mut command)
}
