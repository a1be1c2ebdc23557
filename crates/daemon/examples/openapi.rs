//! Prints the interface's description, for `cargo x fix`. The daemon itself cannot: what makes it is a tenth of a program.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Ok(text) = daemon::http::openapi::document() else { return ExitCode::FAILURE };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
