//! What passes between a call, the process that runs it, and the client that asked for it.

use std::collections::BTreeMap;
use std::time::Duration;

use daytona_wire::toolbox::interpreter::InterpreterFrame;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// How much of an error is passed on, so that it fits into one frame however its characters are escaped.
const NAME_BYTES: usize = 200;
const VALUE_BYTES: usize = 32 * 1024;
const TRACEBACK_BYTES: usize = 96 * 1024;

/// Code that a client wants to have run.
#[derive(Debug)]
pub struct Call {
    /// The code.
    pub code: String,
    /// The environment variables of this call.
    pub variables: BTreeMap<String, String>,
    /// The environment of the process, should one have to be started.
    pub environment: BTreeMap<String, String>,
    /// How long it may run once its turn has come.
    pub timeout: Option<Duration>,
    /// Where its frames go; closed when the client is gone.
    pub events: mpsc::Sender<Event>,
}

/// What a client is told.
#[derive(Debug)]
pub enum Event {
    /// A frame.
    Frame(InterpreterFrame),
    /// Nothing follows.
    End(End),
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself; the last frame told how.
    Finished,
    /// It ran too long.
    TimedOut {
        /// The limit.
        timeout: Duration,
        /// Whether an interrupt was enough, so that the context still has its variables.
        keeps_state: bool,
    },
}

/// A call as the process is told about it.
#[derive(Debug, Serialize)]
pub struct Order<'a> {
    /// Which call.
    pub number: u64,
    /// The code.
    pub code: &'a str,
    /// Its environment variables.
    pub variables: &'a BTreeMap<String, String>,
}

/// What the process says at the end of a call. The code that ran could have said it, too.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Answer {
    /// Which call.
    pub number: u64,
    /// How it failed.
    pub error: Option<Failure>,
}

/// How code failed.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Failure {
    name: String,
    value: String,
    traceback: String,
    /// Whether it was interrupted.
    #[serde(rename = "interrupted")]
    pub is_interrupted: bool,
}

impl From<Failure> for InterpreterFrame {
    fn from(failure: Failure) -> Self {
        Self::Error {
            name: clip(failure.name, NAME_BYTES),
            value: clip(failure.value, VALUE_BYTES),
            traceback: clip(failure.traceback, TRACEBACK_BYTES),
        }
    }
}

fn clip(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let mut end = bytes;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::socket::FRAME_BYTES;

    #[test]
    fn the_longest_error_fits_into_one_frame() {
        let long = "\u{1}".repeat(2 * FRAME_BYTES);
        let failure =
            Failure { name: long.clone(), value: long.clone(), traceback: long, is_interrupted: false };
        let frame = serde_json::to_string(&InterpreterFrame::from(failure)).expect("JSON");
        assert!(frame.len() < FRAME_BYTES, "{} bytes", frame.len());
        assert_eq!(clip("aé".into(), 2), "a");
    }
}
