//! Images that are on their way out: each goes with the last sandbox that was made from it, and its layers with the last
//! image that has them.
//!
//! Who uses an image is known from the records of the sandboxes on this host, running or not, which the host holds in
//! its table, and from *pins*: of a sandbox whose files are in the object storage alone, a file with the name of its
//! image stays here. Layers of imported images are never removed: running sandboxes may have them under another name.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLockReadGuard};

use fs_err as fs;
use types::snapshot::CAPTURED;

use crate::error::RunnerError;
use crate::image::capture::CAPTURED_LAYER;
use crate::image::{Captured, INCOMING, Store, file};

/// Holds a file for each sandbox that is not here and whose image must stay.
pub(super) const PINS: &str = "pins";

impl Store {
    /// Keeps images from being removed as long as what is returned is held. Not to be asked for with a sandbox's entry
    /// in hand: whoever removes images looks at all of them.
    pub(crate) fn used(&self) -> RwLockReadGuard<'_, ()> {
        self.uses.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for an image that can be forgotten; others stay anyway.
    pub(crate) fn used_if_captured(&self, image: &str) -> Option<RwLockReadGuard<'_, ()>> {
        image.starts_with(CAPTURED).then(|| self.used())
    }

    fn pin_of(&self, id: &str) -> PathBuf {
        self.root.join(PINS).join(id)
    }

    /// Notes that a sandbox which leaves this host needs `image` when it comes back.
    pub(crate) fn pin(&self, id: &str, image: &str) -> Result<(), RunnerError> {
        if !image.starts_with(CAPTURED) {
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
        // What a crash left of the last time.
        self.sweep()?;
        let alone = self.uses.write().unwrap_or_else(PoisonError::into_inner);
        // In this order: a sandbox that is released meanwhile is pinned before it leaves the table.
        let in_use = in_use();
        let pinned = self.pinned()?;
        let mut kept = BTreeSet::new();
        for image in self.list()? {
            let is_forgotten = image.captured.is_some_and(|captured| captured.is_forgotten);
            if is_forgotten && !in_use.contains(&image.name) && !pinned.contains(&image.name) {
                let path = self.record(&image.name);
                fs::remove_file(&path).map_err(|source| file("remove", &path, source))?;
            } else {
                kept.extend(image.layers);
            }
        }
        let mut leaving = Vec::new();
        for layer in self.captured_layers()? {
            if !kept.contains(&layer) {
                leaving.push(self.lay_aside(&layer)?);
            }
        }
        drop(alone);
        for path in leaving {
            match fs::remove_dir_all(&path) {
                // An import that begins just now removes it, too.
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(file("remove", &path, source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn captured_layers(&self) -> Result<Vec<String>, RunnerError> {
        let directory = self.root.join("layers");
        let entries = fs::read_dir(&directory).map_err(|source| file("list", &directory, source))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| name.starts_with(CAPTURED_LAYER)).collect())
    }

    /// Takes a layer's name away in one step; a crash leaves what the next sweep removes.
    fn lay_aside(&self, layer: &str) -> Result<PathBuf, RunnerError> {
        let aside = self.layer(&format!("{INCOMING}gone-{layer}"));
        let _ = fs::remove_dir_all(&aside);
        fs::rename(self.layer(layer), &aside).map_err(|source| file("rename", &aside, source))?;
        Ok(aside)
    }
}
