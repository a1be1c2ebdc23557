//! Documents: from a URI as SDKs send it to a file, from a file to a URI as the protocol wants it.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::DaemonError;
use crate::file::outgoing::Outgoing;
use crate::file::path::Origin;
use crate::language_server::language::Language;

/// Language servers give up on longer ones, too.
const DOCUMENT_BYTES: u64 = 4 * 1024 * 1024;
/// How many documents a search through a project reads at most.
pub const SEARCHED_DOCUMENTS: usize = 500;
/// How many directories it enters at most.
const SEARCHED_DIRECTORIES: usize = 5_000;
/// What is not the project's own.
const FOREIGN: [&str; 4] = ["node_modules", "__pycache__", "venv", "site-packages"];
/// What a path keeps as it is in a URI (RFC 3986 §2.3).
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the files that a URI may mean, likeliest first.
///
/// SDKs put `file://` before whatever path they were given, relative ones too, and encode nothing; other clients encode.
pub fn candidates(origin: &Origin, uri: &str) -> Result<Vec<PathBuf>, DaemonError> {
    let written = uri.strip_prefix("file://").unwrap_or(uri);
    if written.contains("://") {
        let shown: String = uri.chars().take(80).collect();
        let reason = format!("`{}` is no file: send `file://` and its path", shown.escape_debug());
        return Err(DaemonError::Invalid { reason });
    }
    let mut paths = vec![origin.resolve("open document", written)?];
    if let Ok(decoded) = percent_decode_str(written).decode_utf8() {
        let decoded = origin.resolve("open document", &decoded)?;
        if !paths.contains(&decoded) {
            paths.push(decoded);
        }
    }
    Ok(paths)
}

/// Returns a path as a URI.
pub fn uri(path: &Path) -> String {
    format!("file://{}", utf8_percent_encode(&path.to_string_lossy(), &ENCODED))
}

/// Reads the first of these that exists.
pub fn read(candidates: &[PathBuf]) -> Result<(PathBuf, String), DaemonError> {
    let mut failure =
        DaemonError::Invalid { reason: "`uri` is required; send `file://` and a path".to_owned() };
    for path in candidates {
        match read_one(path) {
            Ok(text) => return Ok((path.clone(), text)),
            Err(error @ DaemonError::FileNotFound { .. }) => failure = error,
            Err(error) => return Err(error),
        }
    }
    Err(failure)
}

fn read_one(path: &Path) -> Result<String, DaemonError> {
    let file = Outgoing::open(path)?;
    let length = file.length_bytes();
    if length > DOCUMENT_BYTES {
        let (action, path) = ("open document", path.to_string_lossy().into_owned());
        let reason = format!("it has {length} bytes and a document has at most {DOCUMENT_BYTES}");
        return Err(DaemonError::InvalidPath { action, path, reason });
    }
    let mut contents = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    while (contents.len() as u64) < length {
        contents.extend_from_slice(&file.read(contents.len() as u64, length)?);
    }
    Ok(String::from_utf8(contents)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Returns the project's own documents of a language, by directory and name, and whether there are more.
pub fn of_project(project: &Path, language: Language) -> (Vec<PathBuf>, bool) {
    let (mut found, mut directories) = (Vec::new(), vec![project.to_owned()]);
    let mut entered = 0;
    while let Some(directory) = directories.pop() {
        entered += 1;
        if entered > SEARCHED_DIRECTORIES {
            return (found, true);
        }
        // What cannot be read is left out, as in other searches; links are not followed.
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_unstable_by_key(std::fs::DirEntry::file_name);
        let mut below = Vec::new();
        for entry in entries {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !name.starts_with('.') && !FOREIGN.contains(&name.as_ref()) {
                below.push(entry.path());
            } else if kind.is_file() && language.of_document(&entry.path()).is_some() {
                if found.len() == SEARCHED_DOCUMENTS {
                    return (found, true);
                }
                found.push(entry.path());
            }
        }
        directories.extend(below.into_iter().rev());
    }
    (found, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(uri: &str) -> Vec<String> {
        let origin = Origin { work_dir: "/work".into(), home: "/home/me".into() };
        let paths = candidates(&origin, uri).expect(uri);
        paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn uris_of_all_clients_name_files() {
        assert_eq!(paths("file:///a/b.py"), ["/a/b.py"]);
        assert_eq!(paths("file://src/b.py"), ["/work/src/b.py"]);
        assert_eq!(paths("src/b.py"), ["/work/src/b.py"]);
        assert_eq!(paths("file://~/b.py"), ["/home/me/b.py"]);
        assert_eq!(paths("file:///a%20b/c%2Fd.py"), ["/a%20b/c%2Fd.py", "/a b/c/d.py"]);
        assert_eq!(paths("file:///a/%ff.py"), ["/a/%ff.py"]);
        assert_eq!(paths("file:///a b/ü.py"), ["/a b/ü.py"]);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let origin = Origin { work_dir: "/work".into(), home: "/home/me".into() };
        for uri in ["", "file://", "http://a/b", "untitled://x", "file:///a%00b", "file:///a\0b"] {
            let status = candidates(&origin, uri).expect_err(uri).status_and_code().0;
            assert_eq!(status, 400, "{uri}");
        }
    }

    #[test]
    fn a_path_is_encoded_once() {
        assert_eq!(uri(Path::new("/a b/ü%20.py")), "file:///a%20b/%C3%BC%2520.py");
        assert_eq!(uri(Path::new("/a-b_c~d/e.py")), "file:///a-b_c~d/e.py");
    }

    #[test]
    fn the_first_that_exists_is_read() {
        let directory = tempfile::tempdir().expect("directory");
        let (raw, decoded) = (directory.path().join("a%20b.py"), directory.path().join("a b.py"));
        let both = [raw.clone(), decoded.clone()];
        assert_eq!(read(&both).expect_err("neither").status_and_code(), (404, "FILE_NOT_FOUND"));
        std::fs::write(&decoded, b"x = '\xff'").expect("write");
        assert_eq!(read(&both).expect("read"), (decoded, "x = '\u{fffd}'".to_owned()));
        std::fs::write(&raw, "y").expect("write");
        assert_eq!(read(&both).expect("read").0, raw);
        std::fs::File::create(&raw).expect("create").set_len(DOCUMENT_BYTES + 1).expect("grow");
        assert_eq!(read(&both).expect_err("too long").status_and_code(), (400, "INVALID_FILE_PATH"));
    }

    #[test]
    fn a_project_is_searched_without_what_is_not_its_own() {
        let directory = tempfile::tempdir().expect("directory");
        for path in ["b/c.py", "a.py", "z.ts", ".git/x.py", "node_modules/y.py", "venv/lib/z.py", "b/d/e.pyi"]
        {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("directories");
            std::fs::write(path, "").expect("write");
        }
        std::os::unix::fs::symlink(directory.path(), directory.path().join("b/loop")).expect("link");
        let names = |language| {
            let (found, is_cut_short) = of_project(directory.path(), language);
            assert!(!is_cut_short);
            let names =
                found.iter().map(|path| path.strip_prefix(directory.path()).expect("below").to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(Language::Python), ["a.py", "b/c.py", "b/d/e.pyi"].map(PathBuf::from));
        assert_eq!(names(Language::TypeScript), ["z.ts"].map(PathBuf::from));
        for number in 0..SEARCHED_DOCUMENTS {
            std::fs::write(directory.path().join(format!("m{number}.py")), "").expect("write");
        }
        let (found, is_cut_short) = of_project(directory.path(), Language::Python);
        assert_eq!((found.len(), is_cut_short), (SEARCHED_DOCUMENTS, true));
    }
}
