//! `cargo x dev`: the server in the foreground, built for development, on the demo's data.

use anyhow::{Result, bail};

use crate::build::{self, Profile};
use crate::demo;
use crate::image::{self, Recipe};
use crate::machine;
use crate::process;
use crate::serving;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut arguments = arguments.to_vec();
    if process::take_flag(&mut arguments, "--fake") {
        bail!("`--fake` is not built yet: without root, run the control plane's tests (`cargo test -p api`)");
    }
    let port = demo::port(&mut arguments)?;
    let data_dir = demo::data_dir(&mut arguments)?;
    process::refuse_rest("dev", &arguments)?;
    machine::ensure_root("dev")?;
    let product = build::product(Profile::Development)?;
    let image = image::prepare(Recipe::Default, false)?;
    image::import(&image, &product.daytona, &data_dir)?;
    let mut command = serving::command(&product.daytona, &data_dir, port);
    process::announce(&command);
    process::run(&mut command)
}
