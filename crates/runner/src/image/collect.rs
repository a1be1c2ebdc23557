//! Images that are on their way out: each goes with the last sandbox that was made from it, or when the disk fills up and
//! nobody needs it, and its layers with the last image that has them.
//!
//! Who uses an image is known from the records of the sandboxes on this host, running or not, which the host holds in
//! its table, and from *pins*: of a sandbox whose files are in the object storage alone, a file with the name of its
//! image stays here. Who made a snapshot of it, whoever asks for room knows. Layers of imported images are never removed:
//! running sandboxes may have them under another name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLockReadGuard};
use std::time::UNIX_EPOCH;

use fs_err as fs;
use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, flock};
use types::build::BUILT;
use types::snapshot::CAPTURED;

use crate::error::RunnerError;
use crate::image::capture::CAPTURED_LAYER;
use crate::image::draft::{INCOMING, MADE_LAYER};
use crate::image::record::Captured;
use crate::image::shed::{Candidate, Marks, Usage, choose};
use crate::image::{Image, Store, file};

/// Begins the names of images that were pulled.
const PULLED: &str = "sha256:";

/// Tells whether an image of this name may go before the host does: one that was pulled, built, or made of a sandbox.
fn may_go(name: &str) -> bool {
    [CAPTURED, BUILT, PULLED].iter().any(|prefix| name.starts_with(prefix))
}

/// Holds a file for each sandbox that is not here and whose image must stay.
pub(super) const PINS: &str = "pins";

impl Store {
    /// Keeps images from being removed as long as what is returned is held. Not to be asked for with a sandbox's entry
    /// in hand: whoever removes images looks at all of them.
    pub(crate) fn used(&self) -> RwLockReadGuard<'_, ()> {
        self.uses.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for an image that may go, which is noted as used just now; others stay anyway.
    pub(crate) fn used_if_captured(&self, image: &str) -> Option<RwLockReadGuard<'_, ()>> {
        may_go(image).then(|| {
            self.touch(image);
            self.used()
        })
    }

    /// Notes that an image was used just now. Where that does not work, it counts as old.
    pub(super) fn touch(&self, name: &str) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        let flags = rustix::fs::AtFlags::empty();
        let _ = rustix::fs::utimensat(rustix::fs::CWD, self.record(name), &times, flags);
    }

    /// Waits until no other process removes or names images, and keeps it so as long as what is returned is held.
    pub(super) fn alone(&self) -> Result<File, RunnerError> {
        let path = self.root.join("lock");
        let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let opened = opened.map_err(|source| file("open", &path, source))?.into_file();
        flock(&opened, FlockOperation::LockExclusive).map_err(|error| file("lock", &path, error.into()))?;
        Ok(opened)
    }

    fn pin_of(&self, id: &str) -> PathBuf {
        self.root.join(PINS).join(id)
    }

    /// Notes that a sandbox which leaves this host needs `image` when it comes back.
    pub(crate) fn pin(&self, id: &str, image: &str) -> Result<(), RunnerError> {
        if !may_go(image) {
            return Ok(());
        }
        let path = self.pin_of(id);
        linux::replace::replace(&path, image.as_bytes(), 0o600).map_err(|source| file("write", &path, source))
    }

    /// Forgets the note of [`Store::pin`]; tells whether there was one.
    pub(crate) fn unpin(&self, id: &str) -> Result<bool, RunnerError> {
        let path = self.pin_of(id);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(file("remove", &path, source)),
        }
    }

    /// Lists the images of sandboxes that are not here.
    fn pinned(&self) -> Result<BTreeSet<String>, RunnerError> {
        let directory = self.root.join(PINS);
        let listed = |source| file("list", &directory, source);
        let mut images = BTreeSet::new();
        for entry in fs::read_dir(&directory).map_err(listed)? {
            let path = entry.map_err(listed)?.path();
            match fs::read_to_string(&path) {
                Ok(image) => drop(images.insert(image)),
                // It came back just now, and is found in the table.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(file("read", &path, source)),
            }
        }
        Ok(images)
    }

    /// Notes that nobody makes sandboxes from an image any more; tells whether it can go. Only images that were made of
    /// sandboxes are forgotten.
    pub(crate) fn forget(&self, name: &str) -> Result<bool, RunnerError> {
        let Some(mut image) = self.find(name)? else { return Ok(false) };
        let Some(captured) = image.captured else { return Ok(false) };
        image.captured = Some(Captured { is_forgotten: true, ..captured });
        self.save(&image).map(|()| true)
    }

    /// Tells whether an image goes with its last sandbox.
    pub(crate) fn is_forgotten(&self, name: &str) -> Result<bool, RunnerError> {
        if !name.starts_with(CAPTURED) {
            return Ok(false);
        }
        let captured = self.find(name)?.and_then(|image| image.captured);
        Ok(captured.is_some_and(|captured| captured.is_forgotten))
    }

    /// Removes images that are forgotten and that nobody uses, and then layers that no image has. `in_use` lists the
    /// images of the sandboxes that are here.
    pub(crate) fn collect(&self, in_use: impl FnOnce() -> BTreeSet<String>) -> Result<(), RunnerError> {
        let is_forgotten = |image: &&Image| image.captured.is_some_and(|captured| captured.is_forgotten);
        let chosen = |images: &[Image], _: &BTreeSet<String>| {
            images.iter().filter(is_forgotten).map(|image| image.name.clone()).collect()
        };
        self.remove(in_use, chosen).map(drop)
    }

    /// Removes an image that can be had again; one that is used stays.
    pub(crate) fn remove_one(
        &self,
        name: &str,
        in_use: impl FnOnce() -> BTreeSet<String>,
    ) -> Result<(), RunnerError> {
        let Some(image) = self.find(name)? else { return Ok(()) };
        let stays = |reason| RunnerError::ImageStays { name: name.to_owned(), reason };
        if !image.is_removable {
            return Err(stays("it was imported or made of a sandbox, and cannot be had again"));
        }
        let removed = self.remove(in_use, |_, _| BTreeSet::from([name.to_owned()]))?;
        if removed.is_empty() && self.find(name)?.is_some() {
            return Err(stays("sandboxes on this host were made from it, or have left it and may come back"));
        }
        Ok(())
    }

    /// Makes room when the file system is fuller than it may be: archives that nobody fetches go first, and then images
    /// that can be had again, those that were used longest ago before others. `needed` are those that must stay whoever
    /// uses them. Returns what went.
    pub(crate) fn shed(
        &self,
        in_use: impl FnOnce() -> BTreeSet<String>,
        needed: &BTreeSet<String>,
        marks: Marks,
    ) -> Result<Vec<String>, RunnerError> {
        if !marks.is_exceeded(self.usage()?) {
            return Ok(Vec::new());
        }
        self.drop_archives()?;
        // What is kept to be faster goes before what is kept to be used.
        self.forget_steps()?;
        let usage = self.usage()?;
        if !marks.is_exceeded(usage) {
            return Ok(Vec::new());
        }
        let mut failed = None;
        let removed = self.remove(in_use, |images, used| {
            let candidates = images.iter().map(|image| {
                let is_free =
                    image.is_removable && !used.contains(&image.name) && !needed.contains(&image.name);
                Ok(Candidate {
                    name: image.name.clone(),
                    layers: image.layers.clone(),
                    used_at: self.used_at(&image.name),
                    may_go: is_free,
                })
            });
            let bytes = images.iter().flat_map(|image| &image.layers).map(|layer| {
                let known = self.provenance(layer)?.filter(|known| !known.is_imported);
                Ok((layer.clone(), known.map_or(0, |known| known.bytes)))
            });
            let known = candidates.collect::<Result<Vec<_>, RunnerError>>().and_then(|candidates| {
                Ok((candidates, bytes.collect::<Result<BTreeMap<_, _>, RunnerError>>()?))
            });
            match known {
                Ok((candidates, bytes)) => choose(&candidates, &bytes, usage, marks).into_iter().collect(),
                Err(error) => {
                    failed = Some(error);
                    BTreeSet::new()
                }
            }
        })?;
        failed.map_or(Ok(removed), Err)
    }

    /// Looks how full the file system is.
    fn usage(&self) -> Result<Usage, RunnerError> {
        let found =
            rustix::fs::statvfs(&self.root).map_err(|error| file("look at", &self.root, error.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        let total_bytes = bytes(found.f_blocks);
        Ok(Usage { total_bytes, used_bytes: total_bytes.saturating_sub(bytes(found.f_bavail)) })
    }

    /// Tells when an image was used last, in milliseconds; only to compare.
    fn used_at(&self, name: &str) -> u128 {
        let modified = fs::metadata(self.record(name)).and_then(|metadata| metadata.modified());
        let since = modified.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        since.unwrap_or_default().as_millis()
    }

    /// Removes the images that `chosen` names among all, unless they are used, and then layers that no image has; returns
    /// the names of the images.
    fn remove(
        &self,
        in_use: impl FnOnce() -> BTreeSet<String>,
        chosen: impl FnOnce(&[Image], &BTreeSet<String>) -> BTreeSet<String>,
    ) -> Result<Vec<String>, RunnerError> {
        // What a crash left of the last time.
        self.sweep()?;
        let others = self.alone()?;
        let alone = self.uses.write().unwrap_or_else(PoisonError::into_inner);
        // In this order: a sandbox that is released meanwhile is pinned before it leaves the table.
        let mut used = in_use();
        used.extend(self.pinned()?);
        let images = self.list()?;
        let chosen = chosen(&images, &used);
        let (mut kept, mut removed) = (self.step_layers()?, Vec::new());
        for image in images {
            if chosen.contains(&image.name) && !used.contains(&image.name) {
                let path = self.record(&image.name);
                fs::remove_file(&path).map_err(|source| file("remove", &path, source))?;
                removed.push(image.name);
            } else {
                kept.extend(image.layers);
            }
        }
        let mut leaving = Vec::new();
        for layer in self.removable_layers()? {
            if !kept.contains(&layer) && !self.holds.is_held(&layer) {
                leaving.push(self.lay_aside(&layer)?);
                self.forget_provenance(&layer);
            }
        }
        drop((alone, others));
        for path in leaving {
            match fs::remove_dir_all(&path) {
                // An import that begins just now removes it, too.
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(file("remove", &path, source));
                }
                _ => {}
            }
        }
        Ok(removed)
    }

    /// Lists the layers that can be removed, once no image has them.
    fn removable_layers(&self) -> Result<Vec<String>, RunnerError> {
        let directory = self.root.join("layers");
        let entries = fs::read_dir(&directory).map_err(|source| file("list", &directory, source))?;
        let mut removable = Vec::new();
        for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            let is_made = name.starts_with(CAPTURED_LAYER) || name.starts_with(MADE_LAYER);
            if is_made || self.provenance(&name)?.is_some_and(|known| !known.is_imported) {
                removable.push(name);
            }
        }
        Ok(removable)
    }

    /// Takes a layer's name away in one step; a crash leaves what the next sweep removes.
    fn lay_aside(&self, layer: &str) -> Result<PathBuf, RunnerError> {
        let aside = self.layer(&format!("{INCOMING}gone-{layer}"));
        let _ = fs::remove_dir_all(&aside);
        fs::rename(self.layer(layer), &aside).map_err(|source| file("rename", &aside, source))?;
        Ok(aside)
    }
}
