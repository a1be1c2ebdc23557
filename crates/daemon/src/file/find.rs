//! Finds a text in files, and files by their names.

use std::io::{BufRead as _, BufReader, Read as _};
use std::ops::ControlFlow;
use std::path::Path;

use daytona_wire::toolbox::file::Match;
use memchr::memmem::Finder;

use crate::error::DaemonError;
use crate::file::glob::Pattern;
use crate::file::walk::{Cancellation, walk};

/// More results than this are no use to anybody and would fill the daemon's memory.
pub const RESULTS: usize = 10_000;
/// A longer line is a program's, not a person's: the rest of it is skipped over, not kept.
const LINE_BYTES: u64 = 64 * 1024;
/// How much of a matching line is told.
const SHOWN_BYTES: usize = 1024;
/// A NUL within this many bytes makes a file binary.
const PROBE_BYTES: usize = 8 * 1024;

/// Results, and whether there are more than were kept.
#[derive(Debug)]
pub struct Found<T> {
    /// What was found, in order.
    pub results: Vec<T>,
    /// Whether the search stopped at its limit.
    pub is_cut_short: bool,
}

/// Returns the lines below `root` that contain `text`; binary files are skipped.
pub fn find(root: &Path, text: &str, cancellation: &Cancellation) -> Result<Found<Match>, DaemonError> {
    let finder = Finder::new(text.as_bytes());
    let mut found = Found { results: Vec::new(), is_cut_short: false };
    walk(root, cancellation, |path, kind| {
        if kind.is_file() {
            // A file that cannot be read is left out, as one that vanished is.
            let _ = find_in_file(path, &finder, cancellation, &mut found);
        }
        if found.is_cut_short { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

fn find_in_file(
    path: &Path,
    finder: &Finder<'_>,
    cancellation: &Cancellation,
    found: &mut Found<Match>,
) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(PROBE_BYTES, std::fs::File::open(path)?);
    if memchr::memchr(0, reader.fill_buf()?).is_some() {
        return Ok(());
    }
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 || cancellation.is_cancelled()
        {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            skip_line(&mut reader)?;
        }
        if finder.find(&line).is_some() {
            if found.results.len() == RESULTS {
                found.is_cut_short = true;
                return Ok(());
            }
            let file = path.to_string_lossy().into_owned();
            found.results.push(Match { file, line: number, content: shown(&line) });
        }
    }
    Ok(())
}

fn skip_line(reader: &mut impl std::io::BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let Some(end) = memchr::memchr(b'\n', buffer) else {
            let length = buffer.len();
            if length == 0 {
                return Ok(());
            }
            reader.consume(length);
            continue;
        };
        reader.consume(end + 1);
        return Ok(());
    }
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
    let mut found = Found { results: Vec::new(), is_cut_short: false };
    walk(root, cancellation, |path, _| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !pattern.matches(&name) {
            return ControlFlow::Continue(());
        }
        if found.results.len() == RESULTS {
            found.is_cut_short = true;
            return ControlFlow::Break(());
        }
        found.results.push(path.to_string_lossy().into_owned());
        ControlFlow::Continue(())
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
