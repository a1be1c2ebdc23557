//! `daytona image`: the images of a host.

use anyhow::{Context as _, ensure};
use runner::image::{Description, Image, Store};
use serde_json::json;

use crate::args::ImageCommand;
use crate::output;

pub(crate) fn run(command: ImageCommand) -> anyhow::Result<()> {
    match command {
        ImageCommand::Import { data_dir, name, user, workdir, env, json, archive } => {
            ensure!(!name.is_empty(), "an image needs a name\nhint: --name daytona-default");
            let environment = env.iter().map(|pair| variable(pair)).collect::<anyhow::Result<_>>()?;
            let store = Store::open(&data_dir)?;
            let description = Description { name, user, working_directory: workdir, environment };
            let (image, unpacked) = store.import(&archive, description)?;
            if json {
                output::data(&json!({ "image": shown(&image), "unpacked": unpacked }).to_string());
            } else {
                let what = if unpacked { "imported" } else { "already here:" };
                output::data(&format!("{what} {} ({})", image.name, image.layers.join(", ")));
            }
        }
        ImageCommand::List { data_dir, json } => {
            let images = Store::open(&data_dir)?.list()?;
            if json {
                output::data(&json!(images.iter().map(shown).collect::<Vec<_>>()).to_string());
            } else {
                let lines: Vec<String> = images
                    .iter()
                    .map(|image| format!("{}\t{}", image.name, image.layers.join(",")))
                    .collect();
                output::data(&lines.join("\n"));
            }
        }
    }
    Ok(())
}

fn variable(pair: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = pair.split_once('=').context("--env takes NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn shown(image: &Image) -> serde_json::Value {
    json!({ "name": image.name, "layers": image.layers, "user": image.user, "workingDirectory": image.working_directory })
}
