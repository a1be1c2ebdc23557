//! A place in which one step runs: a sandbox without a row and without a record among the host's, which ends with its
//! step.
//!
//! What a crash leaves of it is nobody's: its processes and limits are swept at the next start as those of what does not
//! run, its disk is in the directory of the pool, which each start empties.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;
use linux::errno::CallError;

use crate::boot::{self, Extra};
use crate::cell::Cell;
use crate::error::RunnerError;
use crate::ground;
use crate::host::Host;
use crate::image::Image;
use crate::place;
use crate::sandbox::disk::Disk;
use crate::sandbox::spec::{Home, Record, Spec};

/// A directory with a disk that a step writes to; both go with this.
pub(super) struct Bench {
    directory: PathBuf,
    /// Held until the directory goes.
    disk: Option<Disk>,
}

impl Bench {
    /// Makes one whose files begin with the id `first_id`.
    pub(super) fn new(host: &Host, bytes: u64, first_id: u32) -> Result<Self, CallError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("step-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = host.settings.data_directory.join("pool").join(name);
        let mut bench = Self { directory, disk: None };
        bench.disk = Some(host.disk_at(&bench.directory, bytes, first_id)?);
        Ok(bench)
    }

    /// Returns its disk.
    pub(super) fn disk(&self) -> Result<&Disk, CallError> {
        self.disk.as_ref().ok_or_else(|| CallError {
            call: "find",
            operand: "disk".to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(self.disk.take());
        // The next start empties the pool in any case.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A running step.
pub(super) struct Place<'a> {
    host: &'a Host,
    id: String,
    index: u32,
    pub(super) first_id: u32,
    home: Home,
    process: Option<OwnedFd>,
    /// What it writes to.
    pub(super) bench: Bench,
}

impl<'a> Place<'a> {
    /// Starts the program of `spec` and `extra` in a sandbox of its own. `extra` is made once it is known in which
    /// process's namespaces.
    pub(super) fn start(
        host: &'a Host,
        spec: Spec,
        image: &Image,
        extra: impl FnOnce(&OwnedFd, u32) -> Result<Extra, CallError>,
    ) -> Result<Self, RunnerError> {
        let id = spec.id.clone();
        let failed = |action: &'static str| {
            let id = id.clone();
            move |source: CallError| RunnerError::Kernel { action, id, source }
        };
        let mut cell = host.cell().map_err(|error| error.of(&id))?;
        let index = cell.index;
        let first_id = place::first_id(host.settings.id_base, index);
        let bench = Bench::new(host, spec.disk_bytes, first_id).map_err(failed("make the disk"))?;
        let namespace = linux::namespace::user_namespace(cell.process.pid);
        let extra = namespace.and_then(|namespace| extra(&namespace, first_id));
        let extra = extra.map_err(failed("mount what the step needs"))?;
        let home = Home { directory: bench.directory.clone(), ..host.home(&id) };
        cell.leave_place();
        let mut place = Self { host, id, index, first_id, home, process: None, bench };
        place.boot(Record::new(spec, index), image, cell, extra)?;
        Ok(place)
    }

    fn boot(
        &mut self,
        mut record: Record,
        image: &Image,
        cell: Cell,
        extra: Extra,
    ) -> Result<(), RunnerError> {
        let failed = |source| RunnerError::Kernel { action: "find the disk", id: self.id.clone(), source };
        let disk = self.bench.disk().map_err(failed)?;
        let ground = &self.host.ground;
        self.process = Some(boot::boot_with(ground, &mut record, &self.home, image, disk, cell, extra)?);
        Ok(())
    }

    /// Returns where its daemon listens.
    pub(super) fn socket(&self) -> &Path {
        &self.home.socket
    }

    /// Tells whether it was killed because it used too much memory.
    pub(super) fn group(&self) -> linux::cgroup::Group {
        self.host.ground.group(self.index)
    }

    /// Ends every process of the step: nobody writes to its disk any more.
    pub(super) fn end(&mut self) {
        if let Some(process) = self.process.take() {
            ground::end(&process, &self.group());
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.end();
        let _ = self.home.remove_socket();
        // A place that could not be cleared is nobody's until the next start finds what is left by its name.
        if self.host.ground.release(&self.id, self.index).is_ok() {
            self.host.ground.places.release(self.index);
        }
    }
}
