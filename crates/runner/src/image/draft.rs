//! Layers that are being made: each in a directory of its own beside the others, renamed at the end. A layer is whole or
//! not there, after a power cut too.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};

use crate::error::RunnerError;
use crate::image::hold::Held;
use crate::image::provenance::Provenance;
use crate::image::upper::{self, UpperError};
use crate::image::{Config, Image, Store, file};

/// Begins the name of a directory in which a layer is being made.
pub(super) const INCOMING: &str = "incoming-";
/// Begins the directories of layers that were made on this host, of files and not of an archive.
pub(super) const MADE_LAYER: &str = "made-";

/// A layer that is being made. What is in [`Draft::tree`] becomes the layer; dropped, it leaves nothing.
#[derive(Debug)]
pub struct Draft {
    directory: PathBuf,
    /// Its lock tells others that somebody works there, and is released with this process, however it ends.
    opened: File,
}

impl Draft {
    /// Returns the directory that becomes the layer: owners as an image has them, and what lower layers have is hidden
    /// as overlays hide it, by character devices 0:0 and `trusted.overlay.opaque`.
    pub fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }

    /// Returns another directory of the same file system, for what goes again.
    pub fn aside(&self) -> PathBuf {
        self.directory.join("aside")
    }

    /// Makes what was written survive a power cut.
    pub(super) fn sync(&self) -> Result<(), RunnerError> {
        rustix::fs::syncfs(&self.opened).map_err(|error| file("write", &self.directory, error.into()))
    }

    /// Gives it its place; false when there is such a layer already, and this one goes.
    pub(super) fn place(self, layer: &Path) -> Result<bool, RunnerError> {
        if layer.is_dir() {
            return Ok(false);
        }
        match fs::rename(self.tree(), layer) {
            // Another process was faster.
            Err(_) if layer.is_dir() => return Ok(false),
            renamed => renamed.map_err(|source| file("rename", layer, source))?,
        }
        linux::replace::sync_directory_of(layer).map_err(|source| file("rename", layer, source))?;
        Ok(true)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A layer that was added.
#[derive(Debug)]
pub struct Added {
    /// Its name in [`Image::layers`].
    pub layer: String,
    /// What its files hold.
    pub bytes: u64,
    /// Keeps it from being removed before an image has it.
    pub held: Held,
}

/// An order for an image of layers that are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImage {
    /// Its name, which must be nobody's to choose: `None` names it by what it is.
    pub name: Option<String>,
    /// Topmost first.
    pub layers: Vec<String>,
    /// How its processes are started.
    pub config: Config,
    /// What its layers hold.
    pub size_bytes: u64,
}

/// Says why a new layer could not be made of a directory.
pub(super) fn uncopied(error: UpperError) -> RunnerError {
    match error {
        UpperError::Refused(reason) => {
            RunnerError::LayerInvalid { image: "that is built".to_owned(), layer: "new".to_owned(), reason }
        }
        UpperError::Copy { path, source } => file("copy", path.as_ref(), source),
    }
}

impl Store {
    /// Begins a layer.
    pub fn draft(&self) -> Result<Draft, RunnerError> {
        self.sweep()?;
        let draft = self.incoming()?;
        for directory in [draft.tree(), draft.aside()] {
            fs::create_dir(&directory).map_err(|source| file("make directory", &directory, source))?;
        }
        // The root of what is made, whatever this process's own mask is: others than root look into it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(draft.tree(), open).map_err(|source| file("protect", &draft.tree(), source))?;
        Ok(draft)
    }

    /// Adds the layer that was made in a draft. Two that are made of the same files in the same order are one.
    pub fn add_layer(&self, draft: Draft) -> Result<Added, RunnerError> {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let (tree, result) = (draft.tree(), draft.directory.join("result"));
        let opened = rustix::fs::open(&tree, flags, rustix::fs::Mode::empty());
        let opened = opened.map_err(|error| file("open", &tree, error.into()))?;
        // Copied once more: this is where attributes, devices and depths that no layer may have are refused.
        fs::create_dir(&result).map_err(|source| file("make directory", &result, source))?;
        self.add(draft, &opened, &result, 0)
    }

    /// Adds what a sandbox has changed, the upper directory of its overlay, to which nobody writes; `first_id` is its
    /// root.
    pub fn add_upper(&self, upper: &OwnedFd, first_id: u32) -> Result<Added, RunnerError> {
        let draft = self.draft()?;
        let tree = draft.tree();
        self.add(draft, upper, &tree, first_id)
    }

    fn add(&self, draft: Draft, from: &OwnedFd, to: &Path, first_id: u32) -> Result<Added, RunnerError> {
        let copied = upper::copy(from, to, &draft.aside(), first_id, "made").map_err(uncopied)?;
        let layer = format!("{MADE_LAYER}{}", copied.digest);
        if *to != draft.tree() {
            let tree = draft.tree();
            let swapped = fs::remove_dir_all(&tree).and_then(|()| fs::rename(to, &tree));
            swapped.map_err(|source| file("rename", &tree, source))?;
        }
        draft.sync()?;
        let held = self.hold([layer.clone()]);
        self.keep_provenance(&layer, |_| Provenance { bytes: copied.bytes, ..Provenance::default() })?;
        draft.place(&self.layer(&layer))?;
        Ok(Added { layer, bytes: copied.bytes, held })
    }

    /// Keeps layers, which may or may not be here, from being removed until what is returned is dropped.
    pub fn hold(&self, layers: impl IntoIterator<Item = String>) -> Held {
        self.holds.hold(layers)
    }

    /// Gives a name to layers that are here, and held.
    pub fn put_image(&self, image: NewImage) -> Result<Image, RunnerError> {
        let NewImage { name, layers, config, size_bytes } = image;
        let name = if let Some(name) = name {
            name
        } else {
            let text = serde_json::to_vec(&(&layers, &config))
                .map_err(|source| RunnerError::Encode { what: "image", source })?;
            format!("sha256:{}", types::hex::encode(&<sha2::Sha256 as sha2::Digest>::digest(text)))
        };
        let record = Image::removable(name, layers, config, size_bytes);
        let _uses = self.used();
        if let Some(digest) = record.layers.iter().find(|layer| !self.layer(layer).is_dir()) {
            return Err(RunnerError::LayerMissing { name: record.name, digest: digest.clone() });
        }
        self.save(&record)?;
        Ok(record)
    }

    /// Makes a directory to work in.
    fn incoming(&self) -> Result<Draft, RunnerError> {
        // One process may make several at once.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for _ in 0..8 {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{INCOMING}{}-{number}", std::process::id());
            let path = self.root.join("layers").join(name);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).map_err(|source| file("make directory", &path, source))?;
            let opened = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(|source| file("open", &path, source))?,
            };
            // Another may have taken it for one that was killed, before it was locked.
            if flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok() && path.is_dir() {
                return Ok(Draft { directory: path, opened });
            }
        }
        Err(file("make directory", &self.root.join("layers"), io::ErrorKind::ResourceBusy.into()))
    }

    /// Removes what was left by those that were killed.
    pub(super) fn sweep(&self) -> Result<(), RunnerError> {
        let directory = self.root.join("layers");
        let entries = fs::read_dir(&directory).map_err(|source| file("list", &directory, source))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let is_incoming =
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(INCOMING.as_bytes()));
            if !is_incoming {
                continue;
            }
            let Ok(opened) = File::open(&path) else { continue };
            if flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok() {
                match fs::remove_dir_all(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(file("remove", &path, error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
