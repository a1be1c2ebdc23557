//! Finds the lines of one file that contain a text, a buffer at a time instead of a line at a time.

use std::io::Read;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use memchr::memmem::Finder;
use rustix::fs::OFlags;

use crate::file::walk::Cancellation;

/// A longer line is a program's, not a person's: its beginning is searched, the rest of it is skipped over.
const LINE_BYTES: usize = 64 * 1024;
/// A NUL within this many bytes makes a file binary.
const PROBE_BYTES: usize = 8 * 1024;

/// A buffer that serves one file after the other.
#[derive(Debug)]
pub struct Scanner<'text> {
    finder: Finder<'text>,
    buffer: Vec<u8>,
}

/// How far a file has been read.
#[derive(Debug, Default)]
struct Progress {
    /// How many bytes at the start of the buffer are an unfinished line.
    kept: usize,
    /// How many lines came before the buffer.
    lines: usize,
    /// Whether the rest of a line that was too long is being skipped.
    is_skipping: bool,
}

impl<'text> Scanner<'text> {
    /// Looks for `text`, taken literally, within lines.
    pub fn new(text: &'text str) -> Self {
        Self { finder: Finder::new(text.as_bytes()), buffer: vec![0; LINE_BYTES] }
    }

    /// Tells `hit` the number of each matching line, and the line; a binary file has none.
    pub fn scan_file(
        &mut self,
        path: &Path,
        cancellation: &Cancellation,
        hit: impl FnMut(usize, &[u8]) -> ControlFlow<()>,
    ) -> std::io::Result<()> {
        // Should a pipe have taken the file's place meanwhile, nobody waits for its other end.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        self.scan(file, cancellation, hit)
    }

    /// The same for contents that come from anywhere.
    pub fn scan(
        &mut self,
        mut reader: impl Read,
        cancellation: &Cancellation,
        mut hit: impl FnMut(usize, &[u8]) -> ControlFlow<()>,
    ) -> std::io::Result<()> {
        let mut progress = Progress::default();
        let mut is_first = true;
        while !cancellation.is_cancelled() {
            let Some(free) = self.buffer.get_mut(progress.kept..) else { return Ok(()) };
            let count = match reader.read(free) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if count == 0 {
                // The last line has no end.
                if progress.kept > 0 {
                    let _ = self.lines(progress.kept, progress.lines, &mut hit);
                }
                return Ok(());
            }
            let filled = progress.kept + count;
            let probe = self.buffer.get(..filled.min(PROBE_BYTES)).unwrap_or_default();
            if is_first && memchr::memchr(0, probe).is_some() {
                return Ok(());
            }
            is_first = false;
            if self.pass(filled, &mut progress, &mut hit).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Searches what is whole of the buffer's `filled` bytes and moves the rest to its start.
    fn pass(
        &mut self,
        filled: usize,
        progress: &mut Progress,
        hit: &mut impl FnMut(usize, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut filled = filled;
        if progress.is_skipping {
            let Some(end) = memchr::memchr(b'\n', self.buffer.get(..filled).unwrap_or_default()) else {
                progress.kept = 0;
                return ControlFlow::Continue(());
            };
            self.buffer.copy_within(end + 1..filled, 0);
            filled -= end + 1;
            progress.is_skipping = false;
            progress.lines += 1;
        }
        let text = self.buffer.get(..filled).unwrap_or_default();
        let whole = match memchr::memrchr(b'\n', text) {
            Some(end) => end + 1,
            None if filled < self.buffer.len() => {
                progress.kept = filled;
                return ControlFlow::Continue(());
            }
            None => {
                progress.is_skipping = true;
                filled
            }
        };
        self.lines(whole, progress.lines, hit)?;
        let text = self.buffer.get(..whole).unwrap_or_default();
        progress.lines += memchr::memchr_iter(b'\n', text).count();
        self.buffer.copy_within(whole..filled, 0);
        progress.kept = filled - whole;
        ControlFlow::Continue(())
    }

    /// Tells of the matching lines among the first `length` bytes, which `before` lines come before.
    fn lines(
        &self,
        length: usize,
        before: usize,
        hit: &mut impl FnMut(usize, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut rest = self.buffer.get(..length).unwrap_or_default();
        let mut number = before + 1;
        while !rest.is_empty() {
            let Some(at) = self.finder.find(rest) else { break };
            let (passed, _) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            let start = memchr::memrchr(b'\n', passed).map_or(0, |end| end + 1);
            number += memchr::memchr_iter(b'\n', passed).count();
            let line_on = rest.get(start..).unwrap_or_default();
            let end = memchr::memchr(b'\n', line_on).map_or(line_on.len(), |end| end + 1);
            let (line, after) = line_on.split_at_checked(end).unwrap_or((line_on, &[]));
            hit(number, line)?;
            number += 1;
            rest = after;
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte, then two, and so on: buffers never end where lines do.
    struct Trickle<'bytes>(&'bytes [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 += 1;
            let count = self.1.min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    fn scanned(reader: impl Read, text: &str) -> Vec<(usize, String)> {
        let mut seen = Vec::new();
        let mut scanner = Scanner::new(text);
        let outcome = scanner.scan(reader, &Cancellation::default(), |number, line| {
            seen.push((number, String::from_utf8_lossy(line).into_owned()));
            ControlFlow::Continue(())
        });
        outcome.expect("read");
        seen
    }

    #[test]
    fn what_is_found_does_not_depend_on_how_it_is_read() {
        let mut contents = String::new();
        for line in 0..20_000_usize {
            contents += if line % 7 == 0 { "a needle in it, and a needle again\n" } else { "hay\n\n" };
        }
        contents += "the needle at the end";
        let by_line: Vec<(usize, String)> = contents
            .split_inclusive('\n')
            .zip(1..)
            .filter(|(line, _)| line.contains("needle"))
            .map(|(line, number)| (number, line.to_owned()))
            .collect();
        assert_eq!(scanned(contents.as_bytes(), "needle"), by_line);
        assert_eq!(scanned(Trickle(contents.as_bytes(), 0), "needle"), by_line);
    }

    #[test]
    fn of_an_endless_line_only_the_beginning_is_searched() {
        let contents = format!("first\n{}needle\nneedle\n", "x".repeat(3 * LINE_BYTES));
        assert_eq!(scanned(contents.as_bytes(), "needle"), [(3, "needle\n".to_owned())]);
        assert_eq!(scanned(Trickle(contents.as_bytes(), 0), "needle"), [(3, "needle\n".to_owned())]);
        assert_eq!(scanned(contents.as_bytes(), "xx").len(), 1);
    }

    #[test]
    fn every_line_contains_nothing() {
        assert_eq!(scanned(&b"a\n\nb"[..], "").len(), 3);
        assert_eq!(scanned(&b""[..], "").len(), 0);
    }
}
