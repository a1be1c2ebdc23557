//! What builds say: one file for each, bounded, read while it grows and afterwards, also after a restart.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fs_err as fs;
use tracing::warn;
use types::BuildId;

/// The directory, in the data directory.
const DIRECTORY: &str = "build-logs";
/// The most that is kept of one build, and of what was tried before.
const MOST_BYTES: u64 = 24 << 20;
/// The most that one answer holds.
const PART_BYTES: u64 = 64 << 10;

/// The files. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct BuildLogs {
    directory: PathBuf,
}

/// Takes what one build says.
#[derive(Debug)]
pub(crate) struct BuildLog {
    file: Mutex<Option<File>>,
}

#[derive(Debug)]
struct File {
    file: fs::File,
    left_bytes: u64,
}

impl BuildLogs {
    /// Opens the directory, which only root may enter.
    pub(crate) fn open(data_directory: &Path) -> io::Result<Self> {
        let directory = data_directory.join(DIRECTORY);
        fs::create_dir_all(&directory)?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&directory, private)?;
        Ok(Self { directory })
    }

    fn path(&self, id: BuildId) -> PathBuf {
        self.directory.join(format!("{id}.log"))
    }

    /// Begins to take what a build says. What an earlier try said stays before it: somebody may be reading. A build goes
    /// on when nothing can be written.
    pub(crate) fn begin(&self, id: BuildId) -> BuildLog {
        let file = self.append(id).inspect_err(|error| warn!(%id, %error, "cannot keep what a build says"));
        BuildLog { file: Mutex::new(file.ok()) }
    }

    fn append(&self, id: BuildId) -> io::Result<File> {
        let path = self.path(id);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
        let mut bytes = file.metadata()?.len();
        if bytes > MOST_BYTES / 2 {
            file.set_len(0)?;
            bytes = 0;
        }
        if bytes > 0 {
            file.write_all(b"--- again ---\n")?;
        }
        Ok(File { file, left_bytes: MOST_BYTES.saturating_sub(bytes) })
    }

    /// Reads on from a byte; empty at the end, and for what never said anything.
    pub(crate) fn read(&self, id: BuildId, from: u64) -> io::Result<Vec<u8>> {
        let mut file = match fs::File::open(self.path(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        file.seek(SeekFrom::Start(from))?;
        let mut part = Vec::new();
        file.take(PART_BYTES).read_to_end(&mut part)?;
        Ok(part)
    }

    /// Removes what a build said.
    pub(crate) fn remove(&self, id: BuildId) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Lists the builds of which something is kept.
    pub(crate) fn list(&self) -> io::Result<Vec<BuildId>> {
        let entries = fs::read_dir(&self.directory)?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect())
    }
}

impl BuildLog {
    /// Takes one line, without its end.
    pub(crate) fn line(&self, line: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = file.as_mut() else { return };
        let bytes = u64::try_from(line.len()).unwrap_or(u64::MAX).saturating_add(1);
        let left = known.left_bytes.checked_sub(bytes);
        let text = left.map_or("… (the rest is left out)\n".to_owned(), |_| format!("{line}\n"));
        // In one call: who reads meanwhile gets whole lines.
        let written = known.file.write_all(text.as_bytes());
        match left.filter(|_| written.is_ok()) {
            Some(left) => known.left_bytes = left,
            None => *file = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: BuildId = BuildId::from_u128(1);

    #[test]
    fn what_is_said_is_read_while_it_grows_and_goes() {
        let home = tempfile::tempdir().unwrap();
        let logs = BuildLogs::open(home.path()).unwrap();
        assert_eq!(logs.read(ID, 0).unwrap(), b"");
        let log = logs.begin(ID);
        log.line("one");
        assert_eq!(logs.read(ID, 0).unwrap(), b"one\n");
        assert_eq!(logs.read(ID, 4).unwrap(), b"");
        log.line("two");
        assert_eq!(logs.read(ID, 4).unwrap(), b"two\n");
        assert_eq!(logs.read(ID, u64::from(u32::MAX)).unwrap(), b"");
        logs.begin(ID).line("three");
        assert_eq!(logs.read(ID, 8).unwrap(), b"--- again ---\nthree\n");
        assert_eq!(logs.list().unwrap(), [ID]);
        logs.remove(ID).unwrap();
        logs.remove(ID).unwrap();
        assert!(logs.list().unwrap().is_empty());
        log.line("nobody hears this");
        assert_eq!(logs.read(ID, 0).unwrap(), b"");
    }

    #[test]
    fn one_build_fills_no_disk() {
        let home = tempfile::tempdir().unwrap();
        let logs = BuildLogs::open(home.path()).unwrap();
        let log = logs.begin(ID);
        let line = "x".repeat(1 << 20);
        for _ in 0..40 {
            log.line(&line);
        }
        let bytes = std::fs::metadata(logs.path(ID)).unwrap().len();
        assert!(bytes <= MOST_BYTES + 100, "{bytes}");
        assert_eq!(logs.read(ID, 0).unwrap().len(), 64 << 10);
        let end = logs.read(ID, bytes - 30).unwrap();
        assert!(String::from_utf8_lossy(&end).contains("left out"));
    }
}
