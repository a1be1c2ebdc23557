//! A sandbox with the files of another: the disk is copied in a moment in which nobody writes to it, by sharing its
//! blocks where the host's file system can.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use fs_err as fs;
use linux::duplicate;
use linux::errno::{CallError, Context as _};
use linux::ext4::owner::{self, Shift};
use linux::mount;
use rustix::fs::{FileType, OFlags, XattrFlags};
use types::Random;

use crate::error::RunnerError;
use crate::host::Host;
use crate::place::{self, IDS_PER_SANDBOX};
use crate::sandbox::disk::{self, Disk};
use crate::sandbox::spec::{Home, Spec};
use crate::staging::Staging;
use crate::steps::Steps;
use crate::table::Entry;

/// What a copy leaves free on the host.
const KEPT_FREE_BYTES: u64 = 1 << 30;

/// How a disk was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing was: both share their blocks until one of them writes.
    Shared,
    /// This much data was.
    Copied {
        /// Holes not counted.
        bytes: u64,
    },
}

/// What a fork did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forked {
    /// Version of the daemon of the child.
    pub daemon_version: String,
    /// How long the parent was held.
    pub held: Duration,
    /// How its disk was copied; `None` when the child was there already.
    pub way: Option<Way>,
}

/// A copy of a disk that belongs to nobody yet.
#[derive(Debug)]
pub(crate) struct Copy {
    /// Holds its file, and is what becomes a sandbox's directory.
    pub(crate) staging: Staging,
    /// The first id of its files.
    id_base: u32,
    /// The image that it lies over.
    image: String,
    disk_bytes: u64,
    held: Duration,
    way: Way,
}

impl Host {
    /// Makes and starts the sandbox of `spec` with the files that `parent_id` has now, running, paused or stopped. It
    /// gets the parent's image, and its disk where that is larger than ordered. One that is there already is left as it is.
    pub fn fork(&self, parent_id: &str, spec: &Spec) -> Result<Forked, RunnerError> {
        let again = |daemon_version| Forked { daemon_version, held: Duration::ZERO, way: None };
        let here = self.table.with(&spec.id, |entry| {
            let image = entry.record.as_ref().map(|record| record.spec.image.clone());
            image.map(|name| self.start_again(entry, spec, &self.image(&name)?)).transpose()
        })?;
        if let Some(version) = here.flatten() {
            return Ok(again(version));
        }
        let mut steps = Steps::begin();
        let begun = self.begun.begin(&spec.id);
        // The parent may go before the child is there, and its image with it.
        let _uses = self.ground.images.used();
        // The parent is not kept waiting for what follows, nor can two sandboxes wait for each other.
        let copy = self.with(parent_id, |entry| self.copy(parent_id, entry))?;
        steps.done("copy");
        let disk_bytes = spec.disk_bytes.max(copy.disk_bytes);
        let spec = Spec { image: copy.image.clone(), disk_bytes, ..spec.clone() };
        let image = self.image(&spec.image)?;
        let cell = self.cell().map_err(|error| error.of(&spec.id))?;
        let (held, way) = (copy.held, Some(copy.way));
        let version = self.admit(&spec, &image, cell, |home, index| {
            if !begun.holds() {
                return Err(given_up()).context("fork", &spec.id);
            }
            self.take(&copy, home, &spec, index)
        })?;
        Ok(Forked { daemon_version: version, held, way })
    }

    /// Copies the disk of a sandbox into a directory of its own.
    pub(crate) fn copy(&self, id: &str, entry: &mut Entry) -> Result<Copy, RunnerError> {
        let record = entry.record.clone().ok_or_else(|| RunnerError::Missing { id: id.to_owned() })?;
        let file = |path, source| RunnerError::File { action: "make", path, source };
        let staging = Staging::new(&self.settings.data_directory, "copy");
        let staging = staging.map_err(|(path, source)| file(path, source))?;
        let path = staging.disk();
        let mut copy = Copy {
            staging,
            id_base: place::first_id(self.settings.id_base, entry.index),
            image: record.spec.image,
            disk_bytes: record.spec.disk_bytes,
            held: Duration::ZERO,
            way: Way::Shared,
        };
        let to = File::options().read(true).write(true).create_new(true).open(&path);
        let to = to.map_err(|source| file(path, source))?;
        (copy.way, copy.held) = self.held(
            id,
            entry,
            |from| rehearse(from, &to),
            |from, way| {
                match way {
                    Way::Shared => duplicate::share(from, &to).map(drop)?,
                    Way::Copied { .. } => duplicate::correct(from, &to).map(drop)?,
                }
                Ok(way)
            },
        )?;
        Ok(copy)
    }

    /// Makes a copy the mounted disk of the sandbox at `home`, whose place is `index`.
    fn take(&self, copy: &Copy, home: &Home, spec: &Spec, index: u32) -> Result<Disk, CallError> {
        fs::rename(&copy.staging.directory, &home.directory).context("rename", home.directory.display())?;
        let path = home.disk();
        disk::replay(&path)?;
        let file = File::options().read(true).write(true).open(&path).context("open", path.display())?;
        let to = place::first_id(self.settings.id_base, index);
        owner::shift(&file, Shift { from: copy.id_base, to, count: IDS_PER_SANDBOX })?;
        let mut identity = [0; 16];
        self.random.fill(&mut identity);
        owner::identify(&file, identity)?;
        drop(file);
        disk::grow(&path, spec.disk_bytes)?;
        let disk = disk::mount_new(&path)?;
        self.random.fill(&mut identity);
        renew_overlay(&disk, identity)?;
        renew_machine_id(&disk, &*self.random)?;
        Ok(disk)
    }
}

/// Said of what was begun for a sandbox that was removed meanwhile.
fn given_up() -> std::io::Error {
    std::io::Error::other("the sandbox was removed before it was made")
}

/// Copies a disk that is in use: what comes out is not whole, but most of it needs not be copied again.
fn rehearse(from: &File, to: &File) -> Result<Way, CallError> {
    if duplicate::share(from, to)? {
        return Ok(Way::Shared);
    }
    leave_room(from, to)?;
    duplicate::copy(from, to).map(|bytes| Way::Copied { bytes })
}

/// Refuses a copy that would fill the host: then all its sandboxes would fail to write, and not this one alone.
fn leave_room(from: &File, to: &File) -> Result<(), CallError> {
    let needed = from.metadata().context("fstat", "disk")?.blocks() * 512;
    let host = rustix::fs::fstatvfs(to).context("fstatvfs", "copy")?;
    if host.f_bavail.saturating_mul(host.f_frsize) < needed + KEPT_FREE_BYTES {
        return Err(std::io::Error::from(rustix::io::Errno::NOSPC))
            .context("leave room on the host for", needed);
    }
    Ok(())
}

/// Gives the overlay that was over the disk an identity of its own: the kernel keeps it there, for statfs(2).
fn renew_overlay(disk: &Disk, identity: [u8; 16]) -> Result<(), CallError> {
    match rustix::fs::fsetxattr(&disk.upper, "trusted.overlay.uuid", &identity, XattrFlags::REPLACE) {
        // Older kernels have none.
        Ok(()) | Err(rustix::io::Errno::NODATA) => Ok(()),
        Err(error) => Err(error).context("fsetxattr", "trusted.overlay.uuid"),
    }
}

/// Gives a machine whose files came from another an id of its own (machine-id(5)), if it has one among the files that it
/// changed. It is the only name of a machine on a sandbox's disk that the host knows of: host names and addresses are
/// given at each start, and keys of other programs are theirs.
fn renew_machine_id(disk: &Disk, random: &dyn Random) -> Result<(), CallError> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let Ok(file) = mount::open_inside(&disk.upper, "etc/machine-id", flags) else { return Ok(()) };
    let status = rustix::fs::fstat(&file).context("fstat", "machine-id")?;
    if !FileType::from_raw_mode(status.st_mode).is_file() || status.st_size != 33 {
        return Ok(());
    }
    let mut id = [0; 16];
    random.fill(&mut id);
    let text = format!("{:032x}", u128::from_be_bytes(id));
    rustix::io::pwrite(&file, text.as_bytes(), 0).map(drop).context("pwrite", "machine-id")
}
