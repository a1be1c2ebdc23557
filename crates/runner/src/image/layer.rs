//! One layer of an image that is pulled: fetched, proved, unpacked.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use registry::client::Pull;
use registry::{Descriptor, Digest};
use rustix::fs::{FlockOperation, flock};
use tokio_util::sync::CancellationToken;

use crate::error::RunnerError;
use crate::image::allowance::Allowance;
use crate::image::inflate::{self, Hashing};
use crate::image::provenance::Provenance;
use crate::image::remote::Remote;
use crate::image::{Store, file, unpack};

/// Holds archives that are being fetched.
pub(super) const BLOBS: &str = "blobs";

/// A layer that an image needs.
pub(super) struct Wanted<'a> {
    /// For messages.
    pub(super) image: &'a str,
    /// The archive, as the registry has it.
    pub(super) blob: &'a Descriptor,
    /// What it must decompress to.
    pub(super) diff_id: &'a Digest,
    /// How much the whole image may still unpack to.
    pub(super) allowance: &'a Allowance,
}

impl Store {
    /// Brings a layer here. The caller holds it. Returns how much its files hold.
    pub(super) fn bring(
        &self,
        remote: &Remote,
        pull: &Pull,
        wanted: &Wanted<'_>,
        stop: &CancellationToken,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, RunnerError> {
        let stopped = || RunnerError::Stopped { image: wanted.image.to_owned() };
        let layer = wanted.diff_id.hex();
        // Whoever comes second waits here, and then finds the layer.
        let turn = self.turns.take(&format!("layer {layer}"), || stop.is_cancelled()).ok_or_else(stopped)?;
        let repository = pull.source();
        let is_here = self.layer(layer).is_dir();
        let known =
            self.provenance(layer)?.filter(|known| is_here && known.is_known_to(wanted.blob, &repository));
        if let Some(known) = known
            && remote.wait(wanted.image, stop, pull.may_have(&wanted.blob.digest))?
        {
            wanted.allowance.take(known.bytes).map_err(|error| wanted.refused(&error))?;
            self.keep_provenance(layer, |known| known.found(wanted.blob, &repository, None))?;
            // A crash came between the layer and the end of its archive.
            drop_unused(&self.root.join(BLOBS).join(wanted.blob.digest.hex()));
            return Ok(known.bytes);
        }
        let archive = self.archive(wanted, stop)?;
        remote.transfer(wanted.image, stop, pull.fetch(wanted.blob, &archive.file, progress))?;
        let bytes =
            remote.work(wanted.image, stop, || self.open_archive(wanted, &archive, &repository, stop))?;
        archive.remove();
        drop(turn);
        Ok(bytes)
    }

    /// Unpacks an archive whose digest is right to the layer that it must be, or only compares it when that is here.
    fn open_archive(
        &self,
        wanted: &Wanted<'_>,
        archive: &Archive,
        repository: &str,
        stop: &CancellationToken,
    ) -> Result<u64, RunnerError> {
        let layer = wanted.diff_id.hex();
        let known = self.provenance(layer)?.filter(|_| self.layer(layer).is_dir());
        let opened = inflate::open(&archive.file).map_err(|error| wanted.refused(&error))?;
        let mut reader = Hashing::new(Interrupted { inner: opened, stop });
        let (draft, bytes) = if self.layer(layer).is_dir() {
            let copied = std::io::copy(&mut (&mut reader).take(u64::MAX), &mut std::io::sink());
            (None, copied.map_err(|error| wanted.refused(&error))?)
        } else {
            let draft = self.draft()?;
            let unpacked = unpack::unpack(&mut reader, &draft.tree(), wanted.allowance);
            let implied = unpacked.map_err(|error| wanted.refused(&error))?;
            (Some((draft, implied)), reader.bytes)
        };
        if reader.finish() != layer {
            archive.empty();
            return Err(
                wanted.refused(&"it decompresses to something else than the image's configuration says")
            );
        }
        let bytes = known.map_or(bytes, |known| known.bytes);
        if let Some((draft, implied)) = draft {
            draft.sync()?;
            self.keep_provenance(layer, |known| {
                let implied = implied.into_iter().collect();
                Provenance { implied, ..known.found(wanted.blob, repository, Some(bytes)) }
            })?;
            draft.place(&self.layer(layer))?;
        } else {
            wanted.allowance.take(bytes).map_err(|error| wanted.refused(&error))?;
            self.keep_provenance(layer, |known| known.found(wanted.blob, repository, Some(bytes)))?;
        }
        Ok(bytes)
    }

    /// Opens the file into which an archive is fetched, with what an earlier order left of it. Two processes never write
    /// to the same.
    fn archive(&self, wanted: &Wanted<'_>, stop: &CancellationToken) -> Result<Archive, RunnerError> {
        let path = self.root.join(BLOBS).join(wanted.blob.digest.hex());
        let failed = |source| file("open", &path, source);
        loop {
            let opened =
                fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let opened = opened.map_err(failed)?.into_file();
            if flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok() {
                // Whoever had it before may have removed it just now.
                let is_still = fs::metadata(&path)
                    .is_ok_and(|there| opened.metadata().is_ok_and(|mine| mine.ino() == there.ino()));
                if is_still {
                    return Ok(Archive { path, file: opened });
                }
            } else if stop.is_cancelled() {
                return Err(RunnerError::Stopped { image: wanted.image.to_owned() });
            } else {
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
        }
    }

    /// Removes archives that nobody is fetching; an order that comes later begins again.
    pub(super) fn drop_archives(&self) -> Result<(), RunnerError> {
        let directory = self.root.join(BLOBS);
        let entries = fs::read_dir(&directory).map_err(|source| file("list", &directory, source))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            drop_unused(&path);
        }
        Ok(())
    }
}

/// Removes an archive, unless somebody fetches it.
fn drop_unused(path: &Path) {
    let Ok(opened) = File::open(path) else { return };
    if flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok() {
        let _ = fs::remove_file(path);
    }
}

impl Wanted<'_> {
    fn refused(&self, reason: &dyn std::fmt::Display) -> RunnerError {
        RunnerError::LayerInvalid {
            image: self.image.to_owned(),
            layer: self.blob.digest.to_string(),
            reason: reason.to_string(),
        }
    }
}

impl Provenance {
    /// Adds what was found out.
    fn found(mut self, blob: &Descriptor, repository: &str, bytes: Option<u64>) -> Self {
        self.add(blob, repository);
        self.bytes = bytes.unwrap_or(self.bytes);
        self
    }
}

/// A file into which an archive is fetched, locked by this process.
struct Archive {
    path: PathBuf,
    file: File,
}

impl Archive {
    /// Removes it; what was in it is unpacked.
    fn remove(self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Empties it: what is in it is of no use.
    fn empty(&self) {
        let _ = self.file.set_len(0);
    }
}

/// Ends in an error when it is told to stop.
struct Interrupted<'a, R> {
    inner: R,
    stop: &'a CancellationToken,
}

impl<R: std::io::Read> std::io::Read for Interrupted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(std::io::Error::other("the order was taken back"));
        }
        self.inner.read(buffer)
    }
}
