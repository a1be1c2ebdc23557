//! What `cargo x` tells: talk goes to standard error, data and the summary to standard output.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// Prints one line of talk.
pub(crate) fn say(line: &str) {
    // Nothing is left to tell the reader when the terminal itself is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints data for a person or a program.
pub(crate) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
    let _ = std::io::stdout().flush();
}

/// Says what begins now and, once dropped into [`Step::done`], how long it took.
#[derive(Debug)]
pub(crate) struct Step {
    what: String,
    started: Instant,
}

impl Step {
    pub(crate) fn begin(what: &str) -> Self {
        say(&format!("==> {what}"));
        Self { what: what.to_owned(), started: Instant::now() }
    }

    pub(crate) fn done(self) -> Duration {
        let took = self.started.elapsed();
        say(&format!("    {} took {}", self.what, seconds(took)));
        took
    }
}

/// Writes a duration as a person reads it: `12.3 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Writes a duration in milliseconds: `12.3 ms`.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
