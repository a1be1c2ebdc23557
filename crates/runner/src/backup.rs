//! Copies of sandboxes in the object storage: made, released here, and brought back.
//!
//! A copy is made of a disk that nobody writes to: that of a stopped sandbox, or a local copy of one that runs. It comes
//! back into a directory that is no sandbox's yet, is checked while it is written, and becomes the sandbox's in one
//! step; what a crash leaves before is in the directory of the pool, which each start empties.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use linux::ext4::owner::{self, Shift};
use storage::key::Shelf;
use storage::{Key, ObjectStorage, StorageError};

use crate::begun::Begun;
use crate::error::RunnerError;
use crate::fork::Copy;
use crate::host::Host;
use crate::pack::{self, Summary, UnpackError};
use crate::place::{self, IDS_PER_SANDBOX};
use crate::recover;
use crate::sandbox::disk;
use crate::sandbox::spec::{self, Record, Spec};
use crate::staging::Staging;
use crate::table::Entry;

const BACKUP: &str = "make the backup";
const RESTORE: &str = "restore the files";
const RELEASE: &str = "release the files";
/// How much is gathered before it is handed on.
const BUFFER_BYTES: usize = 1 << 20;

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Its key.
    pub object: Key,
    /// SHA-256 of what the disk holds, as lowercase hexadecimal.
    pub digest: String,
    /// Its size in the object storage.
    pub bytes: u64,
}

/// A disk that nobody writes to.
pub(crate) struct Still {
    file: File,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The first id of its files.
    pub(crate) first_id: u32,
    /// Of a stopped sandbox: what it looks like as long as nobody has written to it.
    look: Option<Look>,
    /// The local copy that the file is in; goes with this.
    _copy: Option<Copy>,
}

type Look = (u64, u64, i64, i64);

fn look(file: &File) -> std::io::Result<Look> {
    let metadata = file.metadata()?;
    Ok((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

impl Host {
    /// Copies the disk of a sandbox, running, paused or stopped, into the object storage. Other objects of the sandbox
    /// are removed first, but `kept`, which is what it can be restored from until this one is known.
    pub fn backup(
        &self,
        id: &str,
        of: Shelf,
        kept: Option<&Key>,
        storage: &ObjectStorage,
    ) -> Result<Saved, RunnerError> {
        let stored = |source| RunnerError::Storage { action: BACKUP, id: id.to_owned(), source };
        let read = |source| self.disk_error(BACKUP, id, source);
        // The sandbox is free to go on from here.
        let still = self.with(id, |entry| self.still(BACKUP, id, entry))?;
        storage.remove_all(of, kept).map_err(stored)?;
        let object = Key::new(of, &*self.random);
        let expected_bytes = still.file.metadata().map_err(read)?.blocks() * 512;
        let mut upload = BufWriter::with_capacity(BUFFER_BYTES, storage.upload(&object, expected_bytes));
        let packed = pack::pack(&still.file, still.first_id, &mut upload).and_then(|packed| {
            upload.flush()?;
            Ok(packed)
        });
        let told = |error| StorageError::of(error).map_or_else(read, stored);
        let packed = packed.map_err(told)?;
        let upload = upload.into_inner().map_err(|error| told(error.into_error()))?;
        let bytes = upload.finish().map_err(stored)?;
        // One that was started or removed meanwhile has no use for it.
        self.with(id, |_| unchanged(BACKUP, id, &still)).inspect_err(|_| drop(storage.remove(&object)))?;
        Ok(Saved { object, digest: packed.digest, bytes })
    }

    /// Finds or makes a disk of the sandbox that nobody writes to.
    pub(crate) fn still(
        &self,
        action: &'static str,
        id: &str,
        entry: &mut Entry,
    ) -> Result<Still, RunnerError> {
        let first_id = place::first_id(self.settings.id_base, entry.index);
        if entry.alive() {
            let copy = self.copy(id, entry)?;
            let path = copy.staging.disk();
            let file = File::open(&path);
            let file =
                file.map_err(|source| RunnerError::File { action: "open", path: path.clone(), source })?;
            return Ok(Still { file, path, first_id, look: None, _copy: Some(copy) });
        }
        self.note_end(entry)?;
        let path = entry.home.disk();
        // Before others may be reading it.
        let released = disk::wait_until_released(&path).and_then(|()| disk::replay(&path));
        released.map_err(|source| RunnerError::Kernel { action, id: id.to_owned(), source })?;
        let opened = File::open(&path).and_then(|file| Ok((look(&file)?, file)));
        let (look, file) =
            opened.map_err(|source| RunnerError::File { action: "open", path: path.clone(), source })?;
        Ok(Still { file, path, first_id, look: Some(look), _copy: None })
    }

    fn disk_error(&self, action: &'static str, id: &str, source: std::io::Error) -> RunnerError {
        RunnerError::File { action, path: self.home(id).disk(), source }
    }

    /// Removes everything of a sandbox from this host, whose files are in the object storage; one that is not here is
    /// released already. One that runs is left alone: it may have changed since it was copied.
    pub fn release(&self, id: &str) -> Result<(), RunnerError> {
        let released = self.table.with(id, |entry| {
            if entry.alive() {
                return Err(RunnerError::Runs { action: RELEASE, id: id.to_owned() });
            }
            self.note_end(entry)?;
            if let Some(record) = &entry.record {
                self.ground.images.pin(id, &record.spec.image)?;
            }
            self.clear(id, entry)
        });
        released.map(drop)
    }

    /// Brings the disk of a sandbox back from `object`, whose content must have `digest`; nothing runs afterwards. What
    /// is here of the sandbox is replaced, unless it came from there and was not started since.
    pub fn restore(
        &self,
        spec: &Spec,
        object: &Key,
        digest: &str,
        storage: &ObjectStorage,
    ) -> Result<(), RunnerError> {
        let id = &spec.id;
        let restored = Some(object.to_string());
        let begun = self.begun.begin(id);
        let known = self.table.with(id, |entry| {
            if entry.alive() {
                return Err(RunnerError::Runs { action: RESTORE, id: id.clone() });
            }
            let is_done = entry.record.as_ref().is_some_and(|record| record.restored == restored);
            Ok((entry.index, is_done && entry.home.disk().exists()))
        })?;
        let place = match known {
            Some((_, true)) => return Ok(()),
            Some((index, false)) => Taken { host: None, index },
            None => self.take_place()?,
        };
        let staging =
            Staging::new(&self.settings.data_directory, &format!("restore-{}", object.shelf.sandbox));
        let staging =
            staging.map_err(|(path, source)| RunnerError::File { action: "make directory", path, source })?;
        let summary = fetch(&staging, spec, object, digest, storage)?;
        adapt(&staging, id, &summary, place::first_id(self.settings.id_base, place.index))?;
        let mut record = Record::new(spec.clone(), place.index);
        record.restored = restored;
        finish(&staging, &record)?;
        self.adopt(spec, place, &staging, record, &begun)
    }

    /// Removes all objects of a sandbox that is gone.
    pub fn discard(&self, id: &str, of: Shelf, storage: &ObjectStorage) -> Result<(), RunnerError> {
        let stored = |source| RunnerError::Storage { action: "remove the backup", id: id.to_owned(), source };
        storage.remove_all(of, None).map_err(stored)
    }

    /// Makes the files of `staging` those of the sandbox, in one step.
    fn adopt(
        &self,
        spec: &Spec,
        place: Taken<'_>,
        staging: &Staging,
        record: Record,
        begun: &Begun<'_>,
    ) -> Result<(), RunnerError> {
        let id = &spec.id;
        let index = place.index;
        let home = || self.home(id);
        // From its pin into the table: whoever removes images in between would see neither.
        let _uses = self.ground.images.used_if_captured(&spec.image);
        self.table.with_new(id, index, home, |entry| {
            // One that was removed meanwhile, or is restored by somebody who came later, wants no files from here.
            if entry.index != index || entry.alive() || !begun.holds() {
                if entry.record.is_none() {
                    self.table.remove(id, entry);
                }
                return Err(RunnerError::Changed { action: RESTORE, id: id.clone() });
            }
            let moved = self
                .tidy(entry)
                .and_then(|()| entry.home.remove())
                .and_then(|()| move_to(staging, &entry.home.directory));
            if let Err(error) = moved {
                if entry.record.is_none() {
                    self.table.remove(id, entry);
                }
                return Err(error);
            }
            entry.record = Some(record);
            Ok(())
        })?;
        place.keep();
        self.ground.images.unpin(id).map(drop)
    }

    /// Takes a place for a sandbox that is not here.
    fn take_place(&self) -> Result<Taken<'_>, RunnerError> {
        let places = &self.ground.places;
        let index = places.take().ok_or_else(|| RunnerError::Full { places: places.count() })?;
        Ok(Taken { host: Some(self), index })
    }
}

/// Makes sure that nobody has written to a disk while it was read. A mount writes, if nothing else does.
pub(crate) fn unchanged(action: &'static str, id: &str, still: &Still) -> Result<(), RunnerError> {
    let Some(before) = still.look else { return Ok(()) };
    let now =
        look(&still.file).map_err(|source| RunnerError::File { action, path: still.path.clone(), source })?;
    if now == before { Ok(()) } else { Err(RunnerError::Changed { action, id: id.to_owned() }) }
}

/// A place that goes back unless it was kept; without a host it is that of a sandbox that is here.
struct Taken<'host> {
    host: Option<&'host Host>,
    index: u32,
}

impl Taken<'_> {
    fn keep(mut self) {
        self.host = None;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(host) = self.host {
            host.ground.places.release(self.index);
        }
    }
}

/// Unpacks an object into the staging directory.
fn fetch(
    staging: &Staging,
    spec: &Spec,
    object: &Key,
    digest: &str,
    storage: &ObjectStorage,
) -> Result<Summary, RunnerError> {
    let id = &spec.id;
    let stored = |source| RunnerError::Storage { action: RESTORE, id: id.clone(), source };
    let download = storage.download(object).map_err(stored)?;
    let mut download = std::io::BufReader::with_capacity(BUFFER_BYTES, download);
    let path = staging.disk();
    let failed = |source| RunnerError::File { action: RESTORE, path: path.clone(), source };
    let disk = File::options().read(true).write(true).create_new(true).open(&path).map_err(failed)?;
    // What was ordered, what repairs added, and as much again: a growth that failed half-way leaves a longer file. What
    // it holds is checked by its digest; the bound stops what makes no sense.
    let most_bytes = recover::most_bytes(spec.disk_bytes).saturating_mul(2);
    pack::unpack(&mut download, &disk, most_bytes, digest).map_err(|error| match error {
        UnpackError::Damaged(reason) => {
            RunnerError::BackupDamaged { id: id.clone(), object: object.to_string(), reason }
        }
        UnpackError::Read(error) => StorageError::of(error).map_or_else(failed, stored),
        UnpackError::Write(source) => failed(source),
    })
}

/// Gives the files to the sandbox whose root is `first_id`.
fn adapt(staging: &Staging, id: &str, summary: &Summary, first_id: u32) -> Result<(), RunnerError> {
    let path = staging.disk();
    let failed = |source| RunnerError::File { action: RESTORE, path: path.clone(), source };
    let refused = |source| RunnerError::Kernel { action: RESTORE, id: id.to_owned(), source };
    disk::replay(&path).map_err(refused)?;
    let file = File::options().read(true).write(true).open(&path).map_err(failed)?;
    if summary.first_id != first_id {
        let shift = Shift { from: summary.first_id, to: first_id, count: IDS_PER_SANDBOX };
        owner::shift(&file, shift).map_err(refused)?;
    }
    file.sync_all().map_err(failed)
}

/// Writes the record: from here on it is a sandbox, wherever it lies.
fn finish(staging: &Staging, record: &Record) -> Result<(), RunnerError> {
    let text = serde_json::to_vec(record)
        .map_err(|source| RunnerError::Encode { what: "sandbox record", source })?;
    let path = staging.directory.join(spec::RECORD_FILE);
    linux::replace::replace(&path, &text, 0o600).map_err(|source| RunnerError::File {
        action: "write",
        path,
        source,
    })
}

/// Puts the directory where the sandbox is looked for.
fn move_to(staging: &Staging, home: &Path) -> Result<(), RunnerError> {
    fs::rename(&staging.directory, home)
        .and_then(|()| linux::replace::sync_directory_of(home))
        .map_err(|source| RunnerError::File { action: "rename", path: home.to_owned(), source })
}
