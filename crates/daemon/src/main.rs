//! `daytona-daemon '<settings>'` serves a sandbox; `daytona-daemon openapi` prints the interface's description.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use daemon::error::DaemonError;
use daemon::settings::Settings;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(argument), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: daytona-daemon '<settings as JSON>' | fd:<number> | openapi | --version");
        return ExitCode::from(2);
    };
    let outcome = match argument.as_str() {
        "openapi" => return print(&daemon::http::openapi::document().unwrap_or_default()),
        "--version" => return print(&format!("{}\n", daemon::daemon::VERSION)),
        settings => Settings::from_argument(settings).and_then(|settings| daemon::serve::run(&settings)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("daytona-daemon: {}", DaemonError::message(&error));
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
