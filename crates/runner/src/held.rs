//! A sandbox's disk held still for the moment in which it is copied.
//!
//! Its processes go on, and wait only when they write: to stop them too would add nothing to what is copied.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use fs_err as fs;
use linux::errno::{CallError, Context as _};
use linux::ext4::freeze::{self, Frozen};

use crate::error::{RunnerError, chain};
use crate::sandbox::disk;
use crate::table::{Entry, Table};

/// A file in the directory of a sandbox whose disk is held, for whoever comes after a crash.
const MARK: &str = "held";

/// A disk that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    disk: Option<Frozen>,
    mark: PathBuf,
}

impl Hold {
    /// Holds the disk of the running sandbox of `entry`; `directory` is on it.
    pub(crate) fn new(entry: &Entry, directory: OwnedFd) -> Result<Self, CallError> {
        let mark = entry.home.directory.join(MARK);
        if mark.exists() {
            // An earlier release failed. Nobody else holds it: the caller has this entry alone.
            freeze::thaw(&directory)?;
        }
        fs::write(&mark, "").context("write", mark.display())?;
        let mut hold = Self { disk: None, mark };
        hold.disk = Some(Frozen::new(directory)?);
        Ok(hold)
    }

    /// Lets go, and says when that fails: then it is found by its mark at the next start.
    pub(crate) fn release(mut self) -> Result<(), CallError> {
        let released = self.disk.take().map_or(Ok(()), Frozen::thaw);
        if released.is_err() {
            // Not removed: it is held.
            self.mark = PathBuf::new();
        }
        released
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.disk.take());
        // A mark without need is looked at once more.
        let _ = fs::remove_file(&self.mark);
    }
}

/// Lets go of disks that a crash left held; returns what could not be done, for the log.
pub(crate) fn let_go(table: &Table) -> Vec<String> {
    let mut warnings = Vec::new();
    for id in table.ids() {
        let released = table.with(&id, |entry| {
            let mark = entry.home.directory.join(MARK);
            if mark.exists() { let_go_of(&id, entry, &mark) } else { Ok(()) }
        });
        if let Err(error) = released {
            warnings.push(format!("the disk of sandbox {id} is still held for a copy: {}", chain(&error)));
        }
    }
    warnings
}

fn let_go_of(id: &str, entry: &Entry, mark: &Path) -> Result<(), RunnerError> {
    let path = entry.home.disk();
    // A frozen disk stays mounted, also when its sandbox has ended.
    let is_in_use = linux::loopback::find(&path).map(|device| device.is_some());
    let thawed = is_in_use.and_then(|is_in_use| {
        if is_in_use { freeze::thaw(disk::open_in_use(&path)?).map(drop) } else { Ok(()) }
    });
    let failed = |source| RunnerError::Kernel { action: "let go of the disk", id: id.to_owned(), source };
    thawed.map_err(failed)?;
    fs::remove_file(mark).map_err(|source| RunnerError::File {
        action: "remove",
        path: mark.to_owned(),
        source,
    })
}
