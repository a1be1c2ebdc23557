//! Replaces a text in a file, reading and writing it piece by piece.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use memchr::memmem::Finder;

use crate::error::DaemonError;
use crate::file::incoming::Incoming;

const READ_BYTES: usize = 64 * 1024;

/// Replaces every occurrence of `text`; the file keeps its mode and is never seen half done. Without an occurrence it
/// is left alone.
pub fn replace(path: &Path, text: &str, replacement: &str, token: &str) -> Result<(), DaemonError> {
    let failed = |error| DaemonError::file("replace in", path, error);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        let reason = "it is no regular file; name files only".to_owned();
        return Err(DaemonError::InvalidPath {
            action: "replace in",
            path: path.to_string_lossy().into_owned(),
            reason,
        });
    }
    let finder = Finder::new(text.as_bytes());
    let mut occurs = false;
    scan(File::open(path).map_err(failed)?, &finder, |_, is_match| {
        occurs |= is_match;
        Ok::<_, io::Error>(())
    })
    .map_err(failed)?;
    if !occurs {
        return Ok(());
    }
    let mut source = File::open(path).map_err(failed)?;
    let mut incoming = Incoming::create(path, token)?;
    if incoming.is_in_place() {
        // What is read must not be what is being written.
        source = copy(source).map_err(failed)?;
    }
    let mut written = Ok(());
    scan(source, &finder, |piece, is_match| {
        let bytes = if is_match { replacement.as_bytes() } else { piece };
        // The write's own error says more than the reader's could.
        if written.is_ok() {
            written = incoming.write(bytes);
        }
        if written.is_ok() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::Other)) }
    })
    .or_else(|error| if written.is_err() { Ok(()) } else { Err(failed(error)) })?;
    written?;
    incoming.finish().map(drop)
}

/// Copies a file to memory, where it can be read while the file itself is written.
fn copy(mut source: File) -> io::Result<File> {
    let memory = rustix::fs::memfd_create("replace", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut copy = File::from(memory);
    io::copy(&mut source, &mut copy)?;
    copy.rewind()?;
    Ok(copy)
}

/// Hands out the contents in order: stretches without the text, and every occurrence of it on its own.
fn scan(
    mut source: File,
    finder: &Finder<'_>,
    mut take: impl FnMut(&[u8], bool) -> io::Result<()>,
) -> io::Result<()> {
    let length = finder.needle().len();
    let mut pending = Vec::with_capacity(READ_BYTES + length);
    loop {
        let read = source.by_ref().take(READ_BYTES as u64).read_to_end(&mut pending)?;
        let mut rest = pending.as_slice();
        while let Some((before, (found, after))) = finder
            .find(rest)
            .and_then(|at| rest.split_at_checked(at))
            .and_then(|(before, from)| from.split_at_checked(length).map(|split| (before, split)))
        {
            take(before, false)?;
            take(found, true)?;
            rest = after;
        }
        // An occurrence may begin in what is left and end in what is still unread.
        let kept = if read == 0 { 0 } else { rest.len().min(length.saturating_sub(1)) };
        let (certain, uncertain) = rest.split_at_checked(rest.len() - kept).unwrap_or((rest, &[]));
        take(certain, false)?;
        if read == 0 {
            return Ok(());
        }
        pending = uncertain.to_vec();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn check(before: &[u8], text: &str, replacement: &str, after: &[u8]) {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("file");
        std::fs::write(&path, before).expect("write");
        replace(&path, text, replacement, "token").expect("replace");
        assert!(std::fs::read(&path).expect("read") == after, "{text:?} -> {replacement:?}");
    }

    #[test]
    fn texts_are_replaced_literally_wherever_they_are() {
        check(b"a.b a.b axb", "a.b", "$1", b"$1 $1 axb");
        check(b"aaaa", "aa", "a", b"aa");
        check(b"nothing", "x", "y", b"nothing");
        check(b"", "x", "y", b"");
        check(b"x", "x", "", b"");
        check("é\0é".as_bytes(), "é", "e", b"e\0e");
    }

    #[test]
    fn an_occurrence_across_two_reads_is_found() {
        for shift in 0..6 {
            let filler = "-".repeat(READ_BYTES - shift);
            check(
                format!("{filler}needle-{filler}").as_bytes(),
                "needle",
                "N",
                format!("{filler}N-{filler}").as_bytes(),
            );
        }
    }

    #[test]
    fn the_mode_stays_and_an_unchanged_file_is_not_touched() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("file");
        std::fs::write(&path, "abc").expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
        let inode = || std::fs::metadata(&path).expect("metadata").ino();
        let before = inode();
        replace(&path, "zzz", "y", "token").expect("nothing to do");
        assert_eq!(inode(), before);
        replace(&path, "b", "B", "token").expect("replace");
        assert_eq!(std::fs::metadata(&path).expect("metadata").mode() & 0o777, 0o755);
        let missing = replace(&directory.path().join("no"), "a", "b", "token").expect_err("missing");
        assert_eq!(missing.status_and_code(), (404, "FILE_NOT_FOUND"));
        replace(directory.path(), "a", "b", "token").expect_err("a directory");
    }
}
