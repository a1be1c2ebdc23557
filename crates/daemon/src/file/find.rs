//! Finds a text in files, and files by their names.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use daytona_wire::toolbox::file::Match;

use crate::error::DaemonError;
use crate::file::glob::Pattern;
use crate::file::scan::Scanner;
use crate::file::walk::{Cancellation, walk};

/// More results than this are no use to anybody and would fill the daemon's memory.
pub const RESULTS: usize = 10_000;
/// How long all results together may be, for the same reason.
const RESULT_BYTES: usize = 8 * 1024 * 1024;
/// How much of a matching line is told.
const SHOWN_BYTES: usize = 1024;
/// How many files are searched together: enough work for threads to pay, few enough to stop soon.
const BATCH: usize = 1_024;
/// With fewer files, one thread is done before another one has started.
const FILES_PER_THREAD: usize = 64;
/// More threads than this take memory and wait for the same disk.
const THREADS: usize = 4;

/// Results, and whether there are more than were kept.
#[derive(Debug)]
pub struct Found<T> {
    /// What was found, in order.
    pub results: Vec<T>,
    /// Whether the search stopped at its limit.
    pub is_cut_short: bool,
    bytes: usize,
}

impl<T> Found<T> {
    fn new() -> Self {
        Self { results: Vec::new(), is_cut_short: false, bytes: 0 }
    }

    /// Keeps a result of `bytes` bytes, or breaks at the limit.
    fn push(&mut self, result: T, bytes: usize) -> ControlFlow<()> {
        if self.results.len() == RESULTS || self.bytes + bytes > RESULT_BYTES {
            self.is_cut_short = true;
            return ControlFlow::Break(());
        }
        self.bytes += bytes;
        self.results.push(result);
        ControlFlow::Continue(())
    }
}

impl Found<Match> {
    /// Adds what comes after.
    fn append(&mut self, later: Self) {
        for result in later.results {
            let bytes = weight(&result);
            if self.is_cut_short || self.push(result, bytes).is_break() {
                return;
            }
        }
        self.is_cut_short |= later.is_cut_short;
    }
}

fn weight(result: &Match) -> usize {
    result.file.len() + result.content.len()
}

/// Returns the lines below `root` that contain `text`; binary files are skipped.
pub fn find(root: &Path, text: &str, cancellation: &Cancellation) -> Result<Found<Match>, DaemonError> {
    let mut found = Found::new();
    let mut batch: Vec<PathBuf> = Vec::with_capacity(BATCH);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    walk(root, cancellation, |path, kind| {
        if kind.is_file() {
            batch.push(path.to_owned());
        }
        if batch.len() == BATCH {
            search_batch(&batch, text, threads, cancellation, &mut found);
            batch.clear();
        }
        if found.is_cut_short { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if !found.is_cut_short {
        search_batch(&batch, text, threads, cancellation, &mut found);
    }
    Ok(found)
}

/// Searches files in several threads, which have this one's permissions; results stay in the order of the files.
fn search_batch(
    batch: &[PathBuf],
    text: &str,
    threads: usize,
    cancellation: &Cancellation,
    found: &mut Found<Match>,
) {
    let each = batch.len().div_ceil(threads).max(FILES_PER_THREAD);
    let mut pieces = batch.chunks(each);
    let Some(first) = pieces.next() else { return };
    std::thread::scope(|scope| {
        let mut others = Vec::new();
        for piece in pieces {
            let work = move || search_files(piece, text, cancellation);
            // A sandbox may have no process left to give; then the files are searched here.
            others.push(std::thread::Builder::new().spawn_scoped(scope, work).map_err(|_| piece));
        }
        found.append(search_files(first, text, cancellation));
        for other in others {
            let later = match other {
                Ok(thread) => thread.join().unwrap_or_else(|_| Found::new()),
                Err(piece) => search_files(piece, text, cancellation),
            };
            found.append(later);
        }
    });
}

fn search_files(files: &[PathBuf], text: &str, cancellation: &Cancellation) -> Found<Match> {
    let mut found = Found::new();
    let mut scanner = Scanner::new(text);
    for path in files {
        // A file that cannot be read is left out, as one that vanished is.
        let _ = scanner.scan_file(path, cancellation, |line, contents| {
            let line = u64::try_from(line).unwrap_or(u64::MAX);
            let result = Match { file: path.to_string_lossy().into_owned(), line, content: shown(contents) };
            let bytes = weight(&result);
            found.push(result, bytes)
        });
        if found.is_cut_short {
            break;
        }
    }
    found
}

fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = String::from_utf8_lossy(line);
    match text.char_indices().find(|(index, _)| *index >= SHOWN_BYTES) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into_owned(),
    }
}

/// Returns the paths below `root` whose last part matches the pattern.
pub fn search(root: &Path, pattern: &str, cancellation: &Cancellation) -> Result<Found<String>, DaemonError> {
    let pattern = Pattern::parse(pattern).map_err(|reason| DaemonError::Invalid {
        reason: format!(
            "pattern `{}`: {reason}",
            pattern.chars().take(80).collect::<String>().escape_debug()
        ),
    })?;
    let mut found = Found::new();
    walk(root, cancellation, |path, _| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !pattern.matches(&name) {
            return ControlFlow::Continue(());
        }
        let path = path.to_string_lossy().into_owned();
        let bytes = path.len();
        found.push(path, bytes)
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_binaries_skipped() {
        let directory = tempfile::tempdir().expect("directory");
        let write = |name: &str, contents: &[u8]| {
            std::fs::write(directory.path().join(name), contents).expect("write");
        };
        write("a.txt", b"one\r\ntwo needle\r\n\nneedle.* three");
        write("b.bin", b"needle\0");
        write("c.txt", "é needle \u{fffd}".as_bytes());
        write("d.txt", format!("{}needle\nneedle", "x".repeat(200_000)).as_bytes());
        let found = find(directory.path(), "needle", &Cancellation::default()).expect("found");
        let seen: Vec<_> = found
            .results
            .iter()
            .map(|one| (one.file.rsplit('/').next().unwrap_or_default(), one.line, one.content.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("a.txt", 2, "two needle"),
                ("a.txt", 4, "needle.* three"),
                ("c.txt", 1, "é needle \u{fffd}"),
                ("d.txt", 2, "needle"),
            ]
        );
        let literal = find(directory.path(), "needle.*", &Cancellation::default()).expect("found");
        assert_eq!(literal.results.len(), 1, "the text is literal");
    }

    #[test]
    fn many_files_are_searched_in_their_order() {
        let directory = tempfile::tempdir().expect("directory");
        let mut expected = Vec::new();
        for number in 0..BATCH * 2 + 100 {
            let path = directory.path().join(format!("{number:05}"));
            std::fs::write(&path, if number % 3 == 0 { "hay\nneedle" } else { "hay" }).expect("write");
            if number % 3 == 0 {
                expected.push(path.to_string_lossy().into_owned());
            }
        }
        let found = find(directory.path(), "needle", &Cancellation::default()).expect("found");
        let files: Vec<String> = found.results.into_iter().map(|one| one.file).collect();
        assert_eq!(files, expected);
    }

    #[test]
    fn long_results_are_bounded_by_their_length() {
        let directory = tempfile::tempdir().expect("directory");
        let line = format!("{}\n", "x".repeat(SHOWN_BYTES));
        std::fs::write(directory.path().join("a"), line.repeat(RESULTS)).expect("write");
        let found = find(directory.path(), "x", &Cancellation::default()).expect("found");
        assert!(found.is_cut_short && found.results.len() < RESULTS);
        assert!(found.results.iter().map(weight).sum::<usize>() <= RESULT_BYTES);
    }

    #[test]
    fn results_are_bounded() {
        let directory = tempfile::tempdir().expect("directory");
        std::fs::write(directory.path().join("a"), "x\n".repeat(RESULTS + 1)).expect("write");
        let found = find(directory.path(), "x", &Cancellation::default()).expect("found");
        assert_eq!((found.results.len(), found.is_cut_short), (RESULTS, true));
    }

    #[test]
    fn names_match_on_their_last_part() {
        let directory = tempfile::tempdir().expect("directory");
        std::fs::create_dir_all(directory.path().join("a.d/b")).expect("directories");
        std::fs::write(directory.path().join("a.d/b/x.py"), "").expect("write");
        let paths = |pattern: &str| {
            search(directory.path(), pattern, &Cancellation::default()).expect("found").results.len()
        };
        assert_eq!((paths("*.py"), paths("a.*"), paths("*"), paths("nothing")), (1, 1, 3, 0));
        search(directory.path(), "[", &Cancellation::default()).expect_err("broken pattern");
    }
}
