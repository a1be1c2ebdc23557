//! The only place that speaks: data to standard output, talk to standard error.

use std::io::Write as _;

/// Prints data. A reader that went away, such as `head`, is no failure.
pub(crate) fn data(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n'));
}

/// Prints a note for the person at the terminal.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints why the command failed, with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    note(&format!("error: {error:#}"));
}
