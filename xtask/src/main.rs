//! `cargo x`: the one door to everything that is done with this tree. One file per verb.
#![forbid(unsafe_code)]

mod report;
mod process;
mod lanes;
mod http;
mod machine;
mod build;
mod image;
mod serving;
mod supply;
mod conformance;
mod states;
mod tidy;
mod check;
mod fix;
mod demo;
mod dev;
mod e2e;
mod perf;
mod fuzz;
mod programs;
mod test;

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};

/// One verb: its name, what it takes, what it does in one line, and its function.
struct Verb {
    name: &'static str,
    takes: &'static str,
    does: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "demo",
        takes: "[--once] [--port N] [--data-dir DIR]",
        does: "prepares this machine, starts the server, makes a sandbox and runs Python in it",
        run: demo::run,
    },
    Verb {
        name: "test",
        takes: "[FILTER]",
        does: "runs every test, installing what the tests need",
        run: test::run,
    },
    Verb {
        name: "dev",
        takes: "[--port N] [--data-dir DIR]",
        does: "runs the server in the foreground, built for development",
        run: dev::run,
    },
    Verb {
        name: "check",
        takes: "",
        does: "format, lints and tidy: what every commit passes",
        run: check::run,
    },
    Verb {
        name: "fix",
        takes: "",
        does: "formats and writes the generated files anew (openapi/, docs/reference/)",
        run: fix::run,
    },
    Verb {
        name: "tidy",
        takes: "",
        does: "checks the rules of the house: order of crates and modules, names, sizes",
        run: tidy::run,
    },
    Verb {
        name: "e2e",
        takes: "[python|typescript] [--against URL] [FILTER]",
        does: "drives a server with the official SDKs",
        run: e2e::run,
    },
    Verb {
        name: "perf",
        takes: "[--only create,exec,…] [--json FILE] …",
        does: "measures the product against the floor, release build",
        run: perf::run,
    },
    Verb {
        name: "fuzz",
        takes: "[TARGET] [--seconds N] [--keep]",
        does: "looks for inputs that break the daemon's parsers",
        run: fuzz::run,
    },
    Verb {
        name: "conformance",
        takes: "[--json] [--check]",
        does: "writes docs/reference/conformance.md: what of the contract is built",
        run: conformance::run,
    },
    Verb {
        name: "states",
        takes: "[--check]",
        does: "writes docs/reference/states.md: the table of states and its diagram",
        run: states::run,
    },
    Verb {
        name: "image",
        takes: "[--tiny|--toolbox] [--fresh]",
        does: "builds the default image, or another one, and prints the path of its archive",
        run: image::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        report::print(&list());
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        report::print(&list());
        return Ok(());
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        bail!("there is no verb `{name}`; the list:\n{}", list());
    };
    if rest.iter().any(|argument| argument == "-h" || argument == "--help") {
        report::print(&format!("cargo x {} {}\n  {}", verb.name, verb.takes, verb.does));
        return Ok(());
    }
    std::env::set_current_dir(process::root())?;
    (verb.run)(rest)
}

fn list() -> String {
    let mut text = String::from("cargo x <verb>\n");
    for verb in VERBS {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {:<12} {}", verb.name, verb.does);
        if !verb.takes.is_empty() {
            let _ = write!(text, "\n  {:<12} {}", "", verb.takes);
        }
    }
    text
}
