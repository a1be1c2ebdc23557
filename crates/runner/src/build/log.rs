//! What a build says: lines, bounded in length and number, of which the last are kept for its error.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::build::Log;

/// The longest line; longer ones are broken.
const MOST_LINE_BYTES: usize = 4 << 10;
/// The most that one build may say.
const MOST_BYTES: usize = 16 << 20;
/// How many of the last lines go into an error.
const TAIL_LINES: usize = 20;
/// And how long they may be together.
const TAIL_BYTES: usize = 2 << 10;

/// Passes lines on.
pub(super) struct Teller<'a> {
    log: &'a dyn Log,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    bytes: usize,
    /// A line that has no end yet.
    open: Vec<u8>,
    tail: VecDeque<String>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(log: &'a dyn Log) -> Self {
        Self { log, said: Mutex::default() }
    }

    /// Returns where lines go.
    pub(super) fn log(&self) -> &'a dyn Log {
        self.log
    }

    /// Says a line of the builder's own.
    pub(super) fn say(&self, line: &str) {
        self.log.line(line);
    }

    /// Begins the output of a step.
    pub(super) fn begin(&self) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.tail.clear();
        said.open.clear();
    }

    /// Takes what a step prints.
    pub(super) fn output(&self, bytes: &[u8]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            said.open.extend_from_slice(part);
            if part.ends_with(b"\n") || said.open.len() >= MOST_LINE_BYTES {
                self.end_line(&mut said);
            }
        }
    }

    /// Ends the output of a step; returns its last lines.
    pub(super) fn end(&self) -> String {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.open.is_empty() {
            self.end_line(&mut said);
        }
        let mut tail = Vec::new();
        let mut bytes = 0;
        for line in said.tail.iter().rev() {
            bytes += line.len();
            if bytes > TAIL_BYTES {
                break;
            }
            tail.push(line.as_str());
        }
        tail.reverse();
        tail.join("\n")
    }

    fn end_line(&self, said: &mut Said) {
        let bytes = std::mem::take(&mut said.open);
        let mut rest = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        loop {
            let part = rest.get(..MOST_LINE_BYTES).unwrap_or(rest);
            rest = rest.get(part.len()..).unwrap_or_default();
            self.line(said, part);
            if rest.is_empty() {
                return;
            }
        }
    }

    fn line(&self, said: &mut Said, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        // What a progress bar wrote over is not worth keeping.
        let text = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        let before = said.bytes;
        said.bytes = said.bytes.saturating_add(text.len() + 1);
        if said.bytes <= MOST_BYTES {
            self.log.line(text);
        } else if before <= MOST_BYTES {
            self.log.line("… (the rest of the output is left out: it is longer than 16 MiB)");
        }
        if said.tail.len() == TAIL_LINES {
            said.tail.pop_front();
        }
        said.tail.push_back(text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Log for Kept {
        fn line(&self, line: &str) {
            self.0.lock().unwrap().push(line.to_owned());
        }
    }

    #[test]
    fn output_becomes_lines() {
        let kept = Kept::default();
        let teller = Teller::new(&kept);
        teller.begin();
        for part in ["on", "e\ntwo\r\n 1%\r 2%\rdone\n", "\u{e4}", "\n", "last"] {
            teller.output(part.as_bytes());
        }
        assert_eq!(teller.end(), "one\ntwo\ndone\nä\nlast");
        assert_eq!(*kept.0.lock().unwrap(), ["one", "two", "done", "ä", "last"]);
    }

    #[test]
    fn no_program_fills_the_log() {
        let kept = Kept::default();
        let teller = Teller::new(&kept);
        teller.begin();
        for _ in 0..40 {
            teller.output(&vec![b'x'; 1 << 20]);
        }
        let tail = teller.end();
        let lines = kept.0.lock().unwrap();
        assert!(tail.len() <= TAIL_BYTES && lines.iter().map(String::len).sum::<usize>() <= MOST_BYTES + 100);
        assert!(lines.last().unwrap().contains("left out"));
        assert!(lines.iter().all(|line| line.len() <= MOST_LINE_BYTES));
    }
}
