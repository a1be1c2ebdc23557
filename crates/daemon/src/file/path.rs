//! Turns a path as requested into the path of a file.

use std::path::{Path, PathBuf};

use crate::error::DaemonError;

/// The kernel's limits (`path_resolution(7)`), told here in words that name the path.
const PATH_BYTES: usize = 4095;
const NAME_BYTES: usize = 255;
const SHOWN_CHARACTERS: usize = 80;

/// Where relative paths and `~` begin.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The directory that relative paths start from.
    pub work_dir: String,
    /// What `~` stands for.
    pub home: String,
}

impl Origin {
    /// Returns the absolute path for `requested`, with `.` and doubled slashes removed.
    ///
    /// `..` stays: what it means depends on symbolic links, so it is the kernel's to say.
    pub fn resolve(&self, action: &'static str, requested: &str) -> Result<PathBuf, DaemonError> {
        let invalid = |reason: &str| {
            let shown: String = requested.chars().take(SHOWN_CHARACTERS).collect();
            let path = shown.escape_debug().to_string();
            Err(DaemonError::InvalidPath { action, path, reason: reason.to_owned() })
        };
        if requested.is_empty() {
            return invalid("a path is required");
        }
        if requested.contains('\0') {
            return invalid("a path cannot contain a NUL character");
        }
        let path = if requested == "~" {
            PathBuf::from(&self.home)
        } else if let Some(rest) = requested.strip_prefix("~/") {
            Path::new(&self.home).join(rest.trim_start_matches('/'))
        } else {
            Path::new(&self.work_dir).join(requested)
        };
        if path.as_os_str().len() > PATH_BYTES {
            return invalid("a path has at most 4095 bytes");
        }
        if path.components().any(|component| component.as_os_str().len() > NAME_BYTES) {
            return invalid("each part of a path has at most 255 bytes");
        }
        Ok(path.components().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin { work_dir: "/work".into(), home: "/home/me".into() }
    }

    #[test]
    fn paths_resolve_against_the_work_directory_and_the_home() {
        for (requested, expected) in [
            ("a", "/work/a"),
            ("./a//b/.", "/work/a/b"),
            (".", "/work"),
            ("/x", "/x"),
            ("//x//y/", "/x/y"),
            ("~", "/home/me"),
            ("~/a", "/home/me/a"),
            ("~//a", "/home/me/a"),
            ("~a", "/work/~a"),
            ("../a", "/work/../a"),
            ("é \"q\" a/b.txt", "/work/é \"q\" a/b.txt"),
        ] {
            assert_eq!(
                origin().resolve("open", requested).expect(requested),
                Path::new(expected),
                "{requested}"
            );
        }
    }

    #[test]
    fn impossible_paths_are_refused_without_echoing_them_whole() {
        for requested in ["", "a\0b", &"x".repeat(256), &"x/".repeat(3_000)] {
            let error = origin().resolve("open", requested).expect_err("refused");
            assert_eq!(error.status_and_code(), (400, "INVALID_FILE_PATH"));
            assert!(error.message().len() < 250 && !error.message().contains('\0'));
        }
        origin().resolve("open", &"x".repeat(255)).expect("the longest name");
    }
}
