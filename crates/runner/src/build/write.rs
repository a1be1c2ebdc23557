//! Writes files below a root that belongs to nobody yet: a context, or what becomes a layer.
//!
//! What lies there already may have been chosen by a stranger, so each directory is opened from the root, and links lead
//! where they lead inside of it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::build::view::{DIRECTORY, open_in};
use crate::image::unpack::invalid;

/// How deep directories may lie in one another.
const MOST_DEPTH: usize = 256;
const BLOCK_BYTES: usize = 128 << 10;

/// What becomes of a file besides its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dress {
    pub(super) owner: (u32, u32),
    pub(super) mode: u32,
    pub(super) modified: Option<Timespec>,
}

/// A root that is written to.
#[derive(Debug)]
pub(super) struct Writer {
    root: OwnedFd,
    buffer: Vec<u8>,
    zeros: Vec<u8>,
}

impl Writer {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root, buffer: vec![0; BLOCK_BYTES], zeros: vec![0; BLOCK_BYTES] }
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Tells whether a directory is at the end of a path, perhaps by a link.
    pub(super) fn is_directory(&self, path: &Path) -> bool {
        open_in(&self.root, path, OFlags::PATH | OFlags::DIRECTORY).is_ok()
    }

    /// Opens a directory, making what is missing of the way with the owner and the mode of `dress`; tells whether the
    /// last part was made.
    pub(super) fn directory(&self, path: &Path, dress: Dress) -> io::Result<(OwnedFd, bool)> {
        match open_in(&self.root, path, DIRECTORY) {
            Ok(found) => return Ok((found, false)),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        if path.components().count() > MOST_DEPTH {
            return Err(invalid("more than 256 directories in one another"));
        }
        let (mut here, mut made) = (PathBuf::new(), false);
        let mut above = open_in(&self.root, &here, DIRECTORY)?;
        for part in path {
            here.push(part);
            made = match rustix::fs::mkdirat(&above, part, Mode::from_raw_mode(0o700)) {
                Ok(()) => {
                    apply(dress, &above, part, FileType::Directory)?;
                    true
                }
                Err(Errno::EXIST) => false,
                Err(error) => return Err(error.into()),
            };
            above = open_in(&self.root, &here, DIRECTORY)?;
        }
        Ok((above, made))
    }

    /// Writes a file in an open directory, in place of what is there.
    pub(super) fn file(
        &mut self,
        directory: &OwnedFd,
        name: &OsStr,
        content: &mut dyn Read,
        dress: Dress,
    ) -> io::Result<u64> {
        clear(directory, name)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?);
        let mut at = 0_u64;
        loop {
            let read = content.read(&mut self.buffer)?;
            let Some(part) = self.buffer.get(..read).filter(|part| !part.is_empty()) else { break };
            // What a few bytes of an archive claim costs no disk.
            if Some(part) != self.zeros.get(..read) {
                file.write_all_at(part, at)?;
            }
            at += u64::try_from(read).unwrap_or_default();
        }
        file.set_len(at)?;
        apply(dress, directory, name, FileType::RegularFile)?;
        Ok(at)
    }

    /// Gives a file that is here another name, in place of what is there.
    pub(super) fn hard_link(&self, directory: &OwnedFd, name: &OsStr, target: &Path) -> io::Result<()> {
        let target_name = target.file_name().ok_or_else(|| invalid("a hard link to the root"))?;
        let from = open_in(&self.root, target.parent().unwrap_or(Path::new("")), DIRECTORY)?;
        let found = rustix::fs::statat(&from, target_name, AtFlags::SYMLINK_NOFOLLOW)?;
        if !FileType::from_raw_mode(found.st_mode).is_file() {
            return Err(invalid("a hard link to what is no file"));
        }
        clear(directory, name)?;
        Ok(rustix::fs::linkat(&from, target_name, directory, name, AtFlags::empty())?)
    }
}

/// Makes a link in an open directory, in place of what is there.
pub(super) fn link(directory: &OwnedFd, name: &OsStr, target: &Path, dress: Dress) -> io::Result<()> {
    clear(directory, name)?;
    rustix::fs::symlinkat(target, directory, name)?;
    apply(dress, directory, name, FileType::Symlink)
}

/// Sets owner, mode and time of a name in an open directory.
pub(super) fn apply(dress: Dress, directory: &OwnedFd, name: &OsStr, kind: FileType) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let (user, group) = (Uid::from_raw(dress.owner.0), Gid::from_raw(dress.owner.1));
    // The owner first: changing it clears the setuid bit.
    rustix::fs::chownat(directory, name, Some(user), Some(group), flags)?;
    if !kind.is_symlink() {
        let mode = Mode::from_raw_mode(dress.mode & 0o7777);
        rustix::fs::chmodat(directory, name, mode, AtFlags::empty())?;
    }
    if let Some(time) = dress.modified {
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(directory, name, &times, flags)?;
    }
    Ok(())
}

/// Takes away what is under a name, unless it is a directory.
fn clear(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => Err(invalid("a directory is there already, and no file can take its place")),
        Err(error) => Err(error.into()),
    }
}
