//! Files of a context, a stage or an image, to be looked at: each path is opened below a root, and links lead where they
//! lead inside of it.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use dockerfile::ignore::Ignore;
use dockerfile::pattern::{self, Pattern};
use linux::errno::CallError;
use linux::mount;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::image::Store;

/// The most names in one directory that are looked at.
const MOST_NAMES: usize = 1 << 20;

/// A root, and what of it nobody sees.
#[derive(Debug)]
pub(super) struct View {
    pub(super) root: OwnedFd,
    ignore: Ignore,
}

/// Opens a path below `root` as a program inside would.
pub(super) fn open_in(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Flags that open a directory to read it.
pub(super) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Lists what is in an open directory, by name.
pub(super) fn list(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsString::from_vec(name.to_vec()));
        }
        if names.len() > MOST_NAMES {
            return Err(io::Error::other("a directory with more than a million names"));
        }
    }
    names.sort_unstable();
    Ok(names)
}

impl View {
    /// Looks at a directory of the host.
    pub(super) fn of_directory(path: &Path, ignore: Ignore) -> Result<Self, CallError> {
        Ok(Self { root: mount::clone_path(&path.to_string_lossy())?, ignore })
    }

    /// Looks at layers, topmost first. With a user namespace, files have its ids.
    pub(super) fn of_layers(
        images: &Store,
        layers: &[String],
        user_namespace: Option<&OwnedFd>,
    ) -> Result<Self, CallError> {
        let clone = |path: PathBuf| {
            let layer = mount::clone_path(&path.to_string_lossy())?;
            if let Some(namespace) = user_namespace {
                mount::map_ids(&layer, namespace)?;
            }
            Ok(layer)
        };
        let mut lowers =
            layers.iter().map(|digest| clone(images.layer(digest))).collect::<Result<Vec<_>, CallError>>()?;
        let root = match lowers.pop() {
            None => clone(images.nothing())?,
            Some(only) if lowers.is_empty() => only,
            Some(last) => {
                lowers.push(last);
                mount::overlay_read_only(&lowers)?
            }
        };
        Ok(Self { root, ignore: Ignore::default() })
    }

    /// Opens a path.
    pub(super) fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        open_in(&self.root, path, flags)
    }

    /// Looks at what a path leads to; `None` when there is nothing, or nothing to be seen.
    pub(super) fn look(&self, path: &Path) -> io::Result<Option<Stat>> {
        match self.open(path, OFlags::PATH) {
            Ok(found) => Ok(Some(rustix::fs::fstat(&found)?)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells whether nobody sees a file.
    pub(super) fn leaves_out(&self, path: &Path) -> bool {
        self.ignore.leaves_out(&path.to_string_lossy())
    }

    /// Finds the paths that a source with or without wildcards names, in their order.
    pub(super) fn find(&self, source: &str) -> Result<Vec<PathBuf>, String> {
        if !pattern::has_wildcard(source) {
            let path = PathBuf::from(source);
            let found = self.look(&path).map_err(|error| format!("`{source}`: {error}"))?;
            let is_seen = source.is_empty() || !self.leaves_out(&path) || self.is_directory(&path);
            return Ok(found.filter(|_| is_seen).map(|_| path).into_iter().collect());
        }
        let mut paths = vec![PathBuf::new()];
        for part in source.split('/') {
            let mut next = Vec::new();
            for path in &paths {
                if !pattern::has_wildcard(part) {
                    next.push(path.join(part.replace('\\', "")));
                    continue;
                }
                let pattern = Pattern::parse(part)?;
                let Ok(directory) = self.open(path, DIRECTORY) else { continue };
                let names = list(&directory).map_err(|error| format!("`{source}`: {error}"))?;
                next.extend(
                    names
                        .into_iter()
                        .filter(|name| pattern.matches(&String::from_utf8_lossy(name.as_bytes())))
                        .map(|name| path.join(name)),
                );
                if next.len() > MOST_NAMES {
                    return Err(format!("`{source}` fits more than a million files"));
                }
            }
            paths = next;
        }
        paths.retain(|path| matches!(self.look(path), Ok(Some(_))) && !self.leaves_out(path));
        Ok(paths)
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.look(path).ok().flatten().is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
    }
}
