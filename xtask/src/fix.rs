//! `cargo x fix`: formats the sources and writes every generated file anew.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::build::{self, Profile};
use crate::check;
use crate::conformance;
use crate::process;
use crate::report;
use crate::states;

/// What prints a file.
#[derive(Debug, Clone, Copy)]
enum Printer {
    /// `daytona`, with these arguments.
    Daytona(&'static [&'static str]),
    /// An example of the daemon, which would be larger if it did that itself.
    Example(&'static str),
}

/// Generated files, and what prints each.
const GENERATED: &[(&str, Printer)] = &[
    ("openapi/api.json", Printer::Daytona(&["openapi"])),
    ("openapi/toolbox.json", Printer::Example("openapi")),
    ("docs/reference/configuration.md", Printer::Daytona(&["config", "reference"])),
];

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    process::refuse_rest("fix", arguments)?;
    check::ensure_component("fmt", "rustfmt")?;
    process::run(process::cargo().args(["fmt", "--all"]))?;
    let product = build::product(Profile::Development)?;
    for (file, printer) in GENERATED {
        let text = match printer {
            Printer::Daytona(words) => process::output(Command::new(&product.daytona).args(*words))?,
            Printer::Example(name) => {
                let mut command = process::cargo();
                process::output(command.args(["run", "--quiet", "--package", "daemon", "--example", name]))?
            }
        };
        let text = format!("{}\n", text.trim_end());
        let path = process::root().join(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        fs::write(&path, text).with_context(|| format!("writing {file}"))?;
        report::say(&format!("    wrote {file}"));
    }
    states::run(&[])?;
    conformance::run(&[])
}
