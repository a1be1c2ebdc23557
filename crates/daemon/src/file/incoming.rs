//! A file that is being written: it appears under its name whole, or not at all (open(2), `O_TMPFILE`).

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use crate::error::DaemonError;

const ACTION: &str = "write";
/// What a new file may be used for before the umask; uploads are data, not programs.
const FILE_MODE: u32 = 0o666;
/// What directories on the way to it are made with.
const DIRECTORY_MODE: u32 = 0o750;

/// A file on its way in. Dropped unfinished, it leaves nothing behind.
#[derive(Debug)]
pub struct Incoming {
    target: PathBuf,
    file: File,
    place: Place,
    written_bytes: u64,
}

/// Where the contents are until they are whole.
#[derive(Debug)]
enum Place {
    /// In a file without a name: gone by itself if this process dies.
    Unnamed { directory: OwnedFd, name: OsString, hidden: OsString },
    /// Under a hidden name beside the target, where the file system knows no files without one.
    Hidden { directory: OwnedFd, name: OsString, hidden: OsString },
    /// In the target itself, where its directory may not be written or the file is a mount of its own.
    Target,
    /// Nothing is left to tidy up.
    Settled,
}

impl Incoming {
    /// Prepares to write `target`; `token` makes the hidden name unique. Missing directories are made.
    pub fn create(target: &Path, token: &str) -> Result<Self, DaemonError> {
        let failed = |error: io::Error| DaemonError::file(ACTION, target, error);
        let existing = std::fs::metadata(target).ok();
        if let Some(metadata) = existing.as_ref().filter(|metadata| !metadata.is_file()) {
            return Err(occupied(target, metadata));
        }
        // Through a symbolic link the file it leads to is replaced, not the link.
        let real = std::fs::canonicalize(target).ok().filter(|_| existing.is_some());
        let real = real.as_deref().unwrap_or(target);
        if existing.is_none() && std::fs::symlink_metadata(target).is_ok() {
            return Self::in_place(target, File::create(target).map_err(failed)?);
        }
        let writable = existing.as_ref().map(|_| OpenOptions::new().write(true).open(real)).transpose();
        let writable = match writable {
            // A running program cannot be written, but it can be replaced.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::TXTBSY) => None,
            other => other.map_err(failed)?,
        };
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(failed(io::Error::from_raw_os_error(Errno::ISDIR.raw_os_error())));
        };
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(parent).map_err(failed)?;
        let directory =
            rustix::fs::open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|error| failed(error.into()))?;
        let hidden = OsString::from(format!(".daytona-upload-{token}"));
        if let (Some(metadata), Some(writable)) = (&existing, &writable)
            && metadata.is_file()
            && mount_of(real) != mount_of(parent)
        {
            // A file mounted over another, such as /etc/hosts: a rename could not replace it.
            return Self::in_place(target, writable.try_clone().map_err(failed)?);
        }
        match open_place(directory, name, hidden) {
            Ok((file, place)) => {
                if let Some(existing) = &existing {
                    keep_attributes(&file, existing);
                }
                Ok(Self { target: target.to_owned(), file, place, written_bytes: 0 })
            }
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) if writable.is_some() => Self::in_place(
                target,
                writable.ok_or_else(|| failed(io::ErrorKind::PermissionDenied.into()))?,
            ),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// The old contents stay until the first write, for whoever reads them to make the new ones.
    #[expect(clippy::unnecessary_wraps, reason = "reads as the other ways to make one do")]
    fn in_place(target: &Path, file: File) -> Result<Self, DaemonError> {
        Ok(Self { target: target.to_owned(), file, place: Place::Target, written_bytes: 0 })
    }

    /// Writes what comes next.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DaemonError> {
        if self.written_bytes == 0 && matches!(self.place, Place::Target) {
            self.empty()?;
        }
        self.file.write_all(bytes).map_err(|error| DaemonError::file(ACTION, &self.target, error))?;
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes what comes next and lies in pieces, with as few calls as the kernel allows.
    pub fn write_pieces(&mut self, pieces: &[Bytes]) -> Result<(), DaemonError> {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = slices.as_mut_slice();
        let total: usize = pieces.iter().map(Bytes::len).sum();
        if total == 0 {
            return Ok(());
        }
        if self.written_bytes == 0 && matches!(self.place, Place::Target) {
            self.empty()?;
        }
        while !left.is_empty() {
            let written = match self.file.write_vectored(left) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other,
            };
            let written = written.map_err(|error| DaemonError::file(ACTION, &self.target, error))?;
            IoSlice::advance_slices(&mut left, written);
        }
        self.written_bytes += total as u64;
        Ok(())
    }

    fn empty(&self) -> Result<(), DaemonError> {
        self.file.set_len(0).map_err(|error| DaemonError::file(ACTION, &self.target, error))
    }

    /// Tells whether writing changes the very file that is there.
    pub const fn is_in_place(&self) -> bool {
        matches!(self.place, Place::Target)
    }

    /// Puts the whole file under its name and returns its length.
    pub fn finish(mut self) -> Result<u64, DaemonError> {
        if self.written_bytes == 0 && matches!(self.place, Place::Target) {
            self.empty()?;
        }
        let place = std::mem::replace(&mut self.place, Place::Settled);
        let settled = match &place {
            Place::Unnamed { directory, name, hidden } => link(&self.file, directory, name, hidden),
            Place::Hidden { directory, name, hidden } => {
                rustix::fs::renameat(directory, hidden, directory, name)
            }
            Place::Target | Place::Settled => Ok(()),
        };
        match settled {
            Ok(()) => Ok(self.written_bytes),
            Err(error) => {
                self.place = place;
                Err(DaemonError::file(ACTION, &self.target, error.into()))
            }
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Place::Hidden { directory, hidden, .. } = &self.place {
            // Nobody else knows this name; if it is gone, all the better.
            let _ = rustix::fs::unlinkat(directory, hidden, AtFlags::empty());
        }
    }
}

/// Returns the number of the mount that a path is on. Not the device: an overlay gives its files and its directories
/// different ones.
fn mount_of(path: &Path) -> Option<u64> {
    let found = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    Some(found.stx_mnt_id)
}

fn open_place(directory: OwnedFd, name: &OsStr, hidden: OsString) -> Result<(File, Place), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(FILE_MODE);
    let name = name.to_owned();
    match rustix::fs::openat(&directory, ".", flags | OFlags::TMPFILE, mode) {
        Ok(file) => Ok((file.into(), Place::Unnamed { directory, name, hidden })),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let file = rustix::fs::openat(&directory, &hidden, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
            Ok((file.into(), Place::Hidden { directory, name, hidden }))
        }
        Err(error) => Err(error),
    }
}

/// Gives the nameless file its name; over an existing one it takes a hidden name first, because a link never replaces.
fn link(file: &File, directory: &OwnedFd, name: &OsStr, hidden: &OsStr) -> Result<(), Errno> {
    // The path through /proc needs no privilege, unlike linking the descriptor itself (linkat(2)).
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(CWD, &source, directory, name, AtFlags::SYMLINK_FOLLOW) {
        Err(Errno::EXIST) => {
            rustix::fs::linkat(CWD, &source, directory, hidden, AtFlags::SYMLINK_FOLLOW)?;
            rustix::fs::renameat(directory, hidden, directory, name).inspect_err(|_| {
                let _ = rustix::fs::unlinkat(directory, hidden, AtFlags::empty());
            })
        }
        other => other,
    }
}

/// A replaced file keeps its mode, and its owner where the user may give files away.
fn keep_attributes(file: &File, existing: &Metadata) {
    let is_given = std::os::unix::fs::fchown(file, Some(existing.uid()), Some(existing.gid())).is_ok();
    let mode = existing.mode() & if is_given { 0o7777 } else { 0o777 };
    let _ = rustix::fs::fchmod(file, Mode::from_raw_mode(mode));
}

fn occupied(target: &Path, metadata: &Metadata) -> DaemonError {
    let what =
        if metadata.is_dir() { "a directory is there" } else { "something that is no regular file is there" };
    DaemonError::InvalidPath {
        action: ACTION,
        path: target.to_string_lossy().into_owned(),
        reason: format!("{what}; name a file"),
    }
}

#[cfg(test)]
mod tests;
