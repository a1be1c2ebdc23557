//! Queries, paths, patterns and searches.

use std::io::Read;
use std::ops::ControlFlow;

use daemon::file::glob::Pattern;
use daemon::file::path::Origin;
use daemon::file::scan::Scanner;
use daemon::file::walk::Cancellation;
use daemon::http::extract::Query;

use crate::choice;

/// A query is read as a form's fields are written, and its values are used.
pub fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(query) = Query::parse(text) else { return };
    for name in ["path", "pattern", "a", ""] {
        let _ = (query.required(name), query.switch(name), query.count(name));
        assert_ne!(query.optional(name), Some(""), "an empty parameter is as good as none");
    }
}

/// A path becomes one that the kernel takes, or is refused.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let origin = Origin { work_dir: "/work".to_owned(), home: "/home/me".to_owned() };
    let Ok(path) = origin.resolve("fuzz", text) else { return };
    let whole = path.to_string_lossy();
    assert!(path.is_absolute() && whole.len() <= 4095 && !whole.contains('\0'), "{}", path.display());
    assert!(path.iter().all(|part| part.len() <= 255), "{}", path.display());
}

/// A pattern matches names or is refused, soon either way; without its signs it matches itself alone.
pub fn glob(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (pattern, name) = text.split_once('\0').unwrap_or((text, text));
    let Ok(parsed) = Pattern::parse(pattern) else { return };
    let is_plain = !pattern.contains(['*', '?', '[', '\\']);
    let matches = parsed.matches(name);
    assert!(!is_plain || matches == (pattern == name), "{pattern:?} {name:?}");
}

/// Gives the contents in pieces of one length.
struct Pieces<'bytes>(&'bytes [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(buffer.len());
        let mut piece = self.0.get(..count).unwrap_or(self.0);
        let length = piece.read(buffer)?;
        self.0 = self.0.get(length..).unwrap_or_default();
        Ok(length)
    }
}

/// A search finds the lines that a simple one finds, however the file arrives.
pub fn find(bytes: &[u8]) {
    let (length, rest) = choice(bytes);
    let (size, rest) = choice(rest);
    let (text, contents) = rest.split_at_checked(length % 8).unwrap_or((rest, &[]));
    let Ok(text) = std::str::from_utf8(text) else { return };
    // The first piece decides whether a file is binary, so all of it has to come first.
    if contents.contains(&0) || contents.len() > 8 * 1024 || text.contains('\n') {
        return;
    }
    let mut found = Vec::new();
    let outcome =
        Scanner::new(text).scan(Pieces(contents, size + 1), &Cancellation::default(), |number, line| {
            found.push((number, line.to_vec()));
            ControlFlow::Continue(())
        });
    assert!(outcome.is_ok(), "reading memory fails");
    let contains =
        |line: &[u8]| text.is_empty() || line.windows(text.len()).any(|part| part == text.as_bytes());
    let expected: Vec<(usize, Vec<u8>)> = contents
        .split_inclusive(|byte| *byte == b'\n')
        .zip(1..)
        .filter(|(line, _)| contains(line))
        .map(|(line, number)| (number, line.to_vec()))
        .collect();
    assert_eq!(found, expected);
}
