//! Directories that become a sandbox's, or nobody's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;

use crate::sandbox::spec::{self, DISK_FILE};

/// A directory beside those of sandboxes; it goes with this unless it was moved. It is in the directory of the pool, which
/// each start empties: what a crash leaves goes then.
#[derive(Debug)]
pub(crate) struct Staging {
    pub(crate) directory: PathBuf,
}

impl Staging {
    /// Makes one below the data directory, with a name of its own that begins with `what`.
    pub(crate) fn new(data_directory: &Path, what: &str) -> Result<Self, (PathBuf, io::Error)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = data_directory.join("pool").join(name);
        match spec::make_directory(&directory) {
            Ok(()) => Ok(Self { directory }),
            Err(error) => Err((directory, error)),
        }
    }

    /// Returns where its disk is.
    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.join(DISK_FILE)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Gone when it was moved; what is left is removed at the next start.
        let _ = fs::remove_dir_all(&self.directory);
    }
}
