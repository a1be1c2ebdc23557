//! Gives directories that an archive only implies what they have in the layers below.
//!
//! An archive may hold `tmp/file` and say nothing of `tmp`. Unpacked alone, `tmp` gets some mode and owner, and in a stack
//! of layers those would hide the right ones. What a layer is must not depend on what is below it, since layers are
//! shared: so the right ones come in a small layer of their own, right above.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::error::RunnerError;
use crate::image::draft::Added;
use crate::image::{Store, file};

/// What a directory gets of which nothing is known.
const PLAIN_MODE: u32 = 0o755;

/// A layer, and its directories of which its archive says nothing.
struct Layer {
    name: String,
    root: PathBuf,
    implied: BTreeSet<PathBuf>,
}

impl Store {
    /// Adds what is missing between layers, which are given and returned lowest first. What is returned besides keeps
    /// the new ones until an image has them.
    pub(super) fn mend(&self, lowest_first: Vec<String>) -> Result<(Vec<String>, Vec<Added>), RunnerError> {
        let (mut known, mut stacked, mut added): (Vec<Layer>, _, _) = (Vec::new(), Vec::new(), Vec::new());
        for name in lowest_first {
            let implied = self.provenance(&name)?.unwrap_or_default().implied;
            known.push(Layer {
                root: self.layer(&name),
                implied: implied.into_iter().collect(),
                name: name.clone(),
            });
            stacked.push(name);
            if let Some(mended) = self.mend_top(&known)? {
                stacked.push(mended.layer.clone());
                added.push(mended);
            }
        }
        Ok((stacked, added))
    }

    /// Makes the layer that belongs above the last of these; `None` when nothing is missing.
    fn mend_top(&self, layers: &[Layer]) -> Result<Option<Added>, RunnerError> {
        let Some((top, below)) = layers.split_last() else { return Ok(None) };
        let mut wanted = BTreeSet::new();
        for path in &top.implied {
            let found =
                look(below, path).map_err(|error| file("look at", &top.root.join(path), error.into()))?;
            if found.is_some_and(|found| !is_plain(&found)) {
                // Those above it come along, as they are.
                wanted
                    .extend(path.ancestors().filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned));
            }
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        tracing::debug!(layer = %top.name, directories = wanted.len(), "directories of a layer are those of the layers below");
        let draft = self.draft()?;
        let tree = draft.tree();
        for path in &wanted {
            let place = tree.join(path);
            fs::create_dir(&place).map_err(|source| file("make directory", &place, source))?;
        }
        // From the inside out: writing into a directory changes its time.
        for path in wanted.iter().rev() {
            let place = tree.join(path);
            let found = look(layers, path).map_err(|error| file("look at", &place, error.into()))?;
            if let Some(found) = found {
                dress(&place, &found).map_err(|error| file("make directory", &place, error.into()))?;
            }
        }
        self.add_layer(draft).map(Some)
    }
}

/// Finds the directory that is seen at a path of a stack, the lowest layer first; what a layer only implies counts
/// when no other says more.
fn look(layers: &[Layer], path: &Path) -> Result<Option<Stat>, Errno> {
    let mut implied = None;
    for layer in layers.iter().rev() {
        match open(&layer.root, path) {
            Ok(opened) if !layer.implied.contains(path) => return rustix::fs::fstat(&opened).map(Some),
            Ok(opened) => {
                implied.get_or_insert(rustix::fs::fstat(&opened)?);
            }
            Err(Errno::NOENT) => {}
            // Something else is there, which hides what is below.
            Err(Errno::NOTDIR | Errno::LOOP) => break,
            Err(error) => return Err(error),
        }
        if hides_below(&layer.root, path)? {
            break;
        }
    }
    Ok(implied)
}

/// Opens a directory of a layer, following nothing.
fn open(root: &Path, path: &Path) -> Result<std::os::fd::OwnedFd, Errno> {
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, directory, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(&root, path, directory, Mode::empty(), resolve)
}

/// Tells whether a layer hides what is below at this path: the directory itself says so, or one above it.
fn hides_below(root: &Path, path: &Path) -> Result<bool, Errno> {
    for path in path.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        let mut value = [0; 2];
        match open(root, path)
            .and_then(|it| rustix::fs::fgetxattr(&it, c"trusted.overlay.opaque", &mut value[..]))
        {
            Ok(1) if value.first() == Some(&b'y') => return Ok(true),
            Ok(_) | Err(Errno::NOENT | Errno::NODATA | Errno::NOTDIR | Errno::LOOP | Errno::RANGE) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn is_plain(found: &Stat) -> bool {
    found.st_mode & 0o7777 == PLAIN_MODE && found.st_uid == 0 && found.st_gid == 0
}

fn dress(place: &Path, found: &Stat) -> Result<(), Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let at = rustix::fs::CWD;
    let name: &OsStr = place.as_os_str();
    rustix::fs::chownat(
        at,
        name,
        Some(Uid::from_raw(found.st_uid)),
        Some(Gid::from_raw(found.st_gid)),
        flags,
    )?;
    rustix::fs::chmodat(at, name, Mode::from_raw_mode(found.st_mode & 0o7777), AtFlags::empty())?;
    let time = Timespec { tv_sec: found.st_mtime, tv_nsec: 0 };
    rustix::fs::utimensat(at, name, &Timestamps { last_access: time, last_modification: time }, flags)
}
