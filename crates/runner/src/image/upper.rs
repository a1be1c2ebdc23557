//! Turns what a sandbox has changed into a layer: the upper directory of its overlay, with ids as an image has them.
//!
//! Who owns the sandbox decides what lies there, so nothing is followed and nothing is believed: each name is looked at
//! before it is opened, links are copied as text, devices are left out, and paths may be as deep as those of an image.
//! What the overlay itself noted stays as it is: whiteouts, and directories that hide those below. What is held in
//! memory does not grow with the files: names of hard links wait in a directory beside the layer.

use std::ffi::{CStr, OsStr};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::image::attribute::{Attributes, Stop, inner_id};
use crate::image::unpack::MOST_DEPTH;

/// How much of a file is read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Why a layer could not be made.
#[derive(Debug, thiserror::Error)]
pub enum UpperError {
    /// The files are such that no layer can hold them.
    #[error("{0}")]
    Refused(String),
    /// A file could not be read or written.
    #[error("copy {path}")]
    Copy {
        /// Which one, seen from the sandbox's root.
        path: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// A layer that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// SHA-256 of its tree, as lowercase hexadecimal.
    pub digest: String,
    /// What its files hold, without holes.
    pub bytes: u64,
}

/// Copies the directory `upper`, to which nobody writes, into the empty directory `layer`; `links` is another empty
/// directory of the same file system, in which names are left. `name` goes into the digest: a layer is one image's, and no
/// tenant can know or choose what another's is called.
pub fn copy(
    upper: &OwnedFd,
    layer: &Path,
    links: &Path,
    first_id: u32,
    name: &str,
) -> Result<Layer, UpperError> {
    let failed = |source: io::Error| UpperError::Copy { path: "/".to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |path: &Path| rustix::fs::open(path, flags, Mode::empty());
    let (to, links) = (
        open(layer).map_err(|error| failed(error.into()))?,
        open(links).map_err(|error| failed(error.into()))?,
    );
    let from = rustix::fs::openat(upper, ".", flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let mut copy = Copy {
        links,
        first_id,
        hash: Sha256::new_with_prefix(format!("layer of a sandbox, 2\n{name}\n")),
        bytes: 0,
        buffer: vec![0; BUFFER_BYTES],
        path: PathBuf::from("/"),
    };
    let copied = copy.directory(&from, &to, 0).and_then(|()| {
        let stat = rustix::fs::fstat(&from)?;
        copy.dress((&from, c"."), (&to, c"."), &stat)
    });
    match copied {
        Ok(()) => Ok(Layer { digest: types::hex::encode(&copy.hash.finalize()), bytes: copy.bytes }),
        Err(Stop::Refused(reason)) => Err(UpperError::Refused(format!("{}: {reason}", copy.path.display()))),
        Err(Stop::Failed(source)) => Err(UpperError::Copy { path: copy.path.display().to_string(), source }),
    }
}

/// A name in an open directory.
type Place<'a> = (&'a OwnedFd, &'a CStr);

struct Copy {
    links: OwnedFd,
    first_id: u32,
    hash: Sha256,
    bytes: u64,
    buffer: Vec<u8>,
    /// Where it is, for messages.
    path: PathBuf,
}

impl Copy {
    /// Copies what is in a directory.
    fn directory(&mut self, from: &OwnedFd, to: &OwnedFd, depth: usize) -> Result<(), Stop> {
        if depth >= MOST_DEPTH {
            return Err(Stop::Refused("more than 256 directories in one another"));
        }
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.path.push(OsStr::from_bytes(name.to_bytes()));
            self.entry((from, name), (to, name), depth)?;
            self.path.pop();
        }
        self.hash.update(b"up\n");
        Ok(())
    }

    fn entry(&mut self, from: Place<'_>, to: Place<'_>, depth: usize) -> Result<(), Stop> {
        let stat = rustix::fs::statat(from.0, from.1, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let name = from.1.to_bytes();
        self.note(&[&name.len().to_le_bytes(), name, &stat.st_mode.to_le_bytes()]);
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(to.0, to.1, Mode::from_raw_mode(0o700))?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let open = |place: Place<'_>| rustix::fs::openat(place.0, place.1, flags, Mode::empty());
                self.directory(&open(from)?, &open(to)?, depth + 1)?;
            }
            FileType::RegularFile if stat.st_nlink > 1 => {
                if self.link(to, &stat)? {
                    return Ok(());
                }
                self.file(from, to, &stat)?;
                let known = number(&stat);
                rustix::fs::linkat(to.0, to.1, &self.links, known.as_str(), AtFlags::empty())?;
            }
            FileType::RegularFile => self.file(from, to, &stat)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from.0, from.1, Vec::new())?;
                self.note(&[target.to_bytes()]);
                rustix::fs::symlinkat(target.as_c_str(), to.0, to.1)?;
            }
            FileType::Fifo | FileType::Socket => {
                rustix::fs::mknodat(to.0, to.1, kind, Mode::from_raw_mode(0o600), 0)?;
            }
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                // A whiteout, which hides what lower layers have under this name. It has no owner that counts.
                rustix::fs::mknodat(to.0, to.1, kind, Mode::empty(), 0)?;
                return Ok(());
            }
            // A sandbox can neither make nor use devices.
            _ => return Ok(()),
        }
        self.dress(from, to, &stat)
    }

    /// Gives a name to a file that is here already under another; false when it is not.
    fn link(&mut self, to: Place<'_>, stat: &Stat) -> Result<bool, Stop> {
        let known = number(stat);
        match rustix::fs::linkat(&self.links, known.as_str(), to.0, to.1, AtFlags::empty()) {
            Ok(()) => {
                self.note(&[b"link", known.as_bytes()]);
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Copies the content of a file, holes as holes.
    fn file(&mut self, from: Place<'_>, to: Place<'_>, stat: &Stat) -> Result<(), Stop> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let from = File::from(rustix::fs::openat(from.0, from.1, flags, Mode::empty())?);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = File::from(rustix::fs::openat(to.0, to.1, flags, Mode::from_raw_mode(0o600))?);
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        self.note(&[&size.to_le_bytes()]);
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        while at < size {
            at = match rustix::fs::seek(&from, SeekFrom::Data(at)) {
                Err(Errno::NXIO) => break,
                found => found?,
            };
            let end = rustix::fs::seek(&from, SeekFrom::Hole(at))?;
            while at < end {
                let wanted = usize::try_from(end - at).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
                let read = from.read_at(buffer.get_mut(..wanted).unwrap_or_default(), at)?;
                let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                };
                to.write_all_at(part, at)?;
                let length = u64::try_from(read).unwrap_or_default();
                self.note(&[&at.to_le_bytes(), &length.to_le_bytes(), part]);
                self.bytes += length;
                at += length;
            }
        }
        self.buffer = buffer;
        to.set_len(size)?;
        Ok(())
    }

    /// Sets owner, mode, attributes and time of what was just made.
    fn dress(&mut self, from: Place<'_>, to: Place<'_>, stat: &Stat) -> Result<(), Stop> {
        let (user, group) = (inner_id(stat.st_uid, self.first_id), inner_id(stat.st_gid, self.first_id));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        // The owner first: changing it clears set-id bits and capabilities.
        rustix::fs::chownat(to.0, to.1, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)), flags)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !kind.is_symlink() {
            let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
            rustix::fs::chmodat(to.0, to.1, mode, AtFlags::empty())?;
        }
        let attributes = Attributes::read(&reach(from), kind, self.first_id)?;
        attributes.write(&reach(to))?;
        let time = Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(to.0, to.1, &times, flags)?;
        self.note(&[
            &user.to_le_bytes(),
            &group.to_le_bytes(),
            &time.tv_sec.to_le_bytes(),
            &time.tv_nsec.to_le_bytes(),
        ]);
        for (name, value) in attributes.entries() {
            self.note(&[name.as_bytes(), b"=", &value.len().to_le_bytes(), value]);
        }
        Ok(())
    }

    fn note(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.hash.update(part);
        }
    }
}

/// Names the file itself, whatever its names are.
fn number(stat: &Stat) -> String {
    let mut text = String::new();
    let _ = write!(text, "{}", stat.st_ino);
    text
}

/// A path to a name in an open directory, for calls that take no descriptor; the name itself is not followed.
fn reach(place: Place<'_>) -> PathBuf {
    let directory = PathBuf::from(format!("/proc/self/fd/{}", place.0.as_fd().as_raw_fd()));
    directory.join(OsStr::from_bytes(place.1.to_bytes()))
}
