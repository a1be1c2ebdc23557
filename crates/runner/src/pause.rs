//! Sandboxes that are held: their processes for as long as somebody likes, their disk for the moment in which it is copied.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use linux::cgroup::Group;
use linux::errno::{CallError, Context as _};

use crate::error::RunnerError;
use crate::held::Hold;
use crate::host::Host;
use crate::sandbox::disk;
use crate::table::Entry;

/// How long processes may take to stop. One that waits for a slow disk takes as long as that does.
const PATIENCE: Duration = Duration::from_secs(10);

impl Host {
    /// Stops every process of a sandbox that runs; memory, processes and connections stay. The kernel keeps it so,
    /// without this host. Twice is once.
    pub fn pause(&self, id: &str) -> Result<(), RunnerError> {
        self.with(id, |entry| {
            let group = self.running_group(id, entry)?;
            if !self.ground.hierarchy.can_freeze() {
                return Err(RunnerError::CannotPause { id: id.to_owned() });
            }
            group.freeze(PATIENCE).map_err(|source| failed("pause the processes", id, source))
        })
    }

    /// Lets the processes of a paused sandbox go on; of one that runs already they do.
    pub fn resume(&self, id: &str) -> Result<(), RunnerError> {
        self.with(id, |entry| {
            let group = self.running_group(id, entry)?;
            group.thaw().map_err(|source| failed("resume the processes", id, source))
        })
    }

    fn running_group(&self, id: &str, entry: &mut Entry) -> Result<Group, RunnerError> {
        if entry.alive() {
            return Ok(self.ground.group(entry.index));
        }
        self.note_end(entry)?;
        Err(RunnerError::NotRunning { id: id.to_owned() })
    }

    /// Holds the disk of a sandbox still and calls with its file, which is whole for the time of the call; returns also
    /// how long it was held, and who writes had to wait. `prepare` is called with the same file before: what it does need
    /// not be done while others wait. The disk of one that does not run need not be held.
    pub(crate) fn held<T, P>(
        &self,
        id: &str,
        entry: &mut Entry,
        prepare: impl FnOnce(&File) -> Result<P, CallError>,
        call: impl FnOnce(&File, P) -> Result<T, CallError>,
    ) -> Result<(T, Duration), RunnerError> {
        let copied = |source| failed("copy the disk", id, source);
        let path = entry.home.disk();
        let runs = entry.alive();
        if !runs {
            self.note_end(entry)?;
            disk::wait_until_released(&path).map_err(copied)?;
        }
        let file = fs_err::File::open(&path).map(|file| file.into_parts().0);
        let file = file.map_err(|source| RunnerError::File { action: "open", path, source })?;
        if !runs {
            let prepared = prepare(&file).map_err(copied)?;
            return call(&file, prepared).map(|done| (done, Duration::ZERO)).map_err(copied);
        }
        let directory = directory_of(entry).map_err(copied)?;
        // What was written so far is brought to the file while nobody waits for it.
        rustix::fs::syncfs(&directory).context("syncfs", "disk").map_err(copied)?;
        let prepared = prepare(&file).map_err(copied)?;
        let began = Instant::now();
        let hold = Hold::new(entry, directory).map_err(copied)?;
        let done = call(&file, prepared);
        let released = hold.release();
        let took = began.elapsed();
        if entry.new_disk.is_none() {
            // Barriers that were about to be set could not be, meanwhile.
            self.barriers.soon(id);
        }
        released.map_err(|source| failed("let go of the disk", id, source))?;
        done.map(|done| (done, took)).map_err(copied)
    }
}

fn failed(action: &'static str, id: &str, source: CallError) -> RunnerError {
    RunnerError::Kernel { action, id: id.to_owned(), source }
}

/// Opens a directory of the disk of a sandbox that runs.
fn directory_of(entry: &Entry) -> Result<OwnedFd, CallError> {
    match &entry.new_disk {
        Some(disk) => disk.work.try_clone().context("dup", "disk"),
        None => disk::open_in_use(&entry.home.disk()),
    }
}
