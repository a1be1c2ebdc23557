//! `daytona-daemon '<settings>'` serves a sandbox. It starts itself as `ssh` and `sftp` for clients of those.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use daemon::error::DaemonError;
use daemon::settings::Settings;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(argument), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: daytona-daemon '<settings as JSON>' | fd:<number> | --version");
        return ExitCode::from(2);
    };
    let outcome = match argument.as_str() {
        "ssh" => return report(ssh::serve::run()),
        "sftp" => return report(ssh::files::run()),
        "--version" => return print(&format!("{}\n", daemon::daemon::VERSION)),
        daemon::repository::ARGUMENT => return git::worker::run(),
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

/// Ends a process of one SSH connection. Its standard error leads nowhere in a sandbox, and to the caller by hand.
fn report(outcome: Result<(), ssh::error::SshError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("daytona-daemon: {}", linux::errno::chain(&error));
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
