//! The `daytona` binary: reads the command line, does one command, says how it ended.
#![forbid(unsafe_code)]

mod args;
mod output;
mod commands;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        // First of all, because it must stay on one thread.
        Command::Spawner => commands::spawner::run(),
        Command::Server { settings } => commands::server::run(settings),
        Command::Config { command } => commands::config::run(command),
        Command::Image { command } => commands::image::run(command),
        Command::Doctor { json, settings } => commands::doctor::run(json, settings),
        Command::Trust { print, remove, certificate, settings } => {
            commands::trust::run(commands::trust::Asked { print, remove, certificate, settings })
        }
        Command::Openapi => {
            commands::openapi::run();
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
