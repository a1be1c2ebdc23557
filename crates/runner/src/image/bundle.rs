//! Writes a layer as an archive that registries and other engines take (OCI image specification, "layer").
//!
//! The same layer gives the same bytes each time: names come in one order, and nothing of the host is in it. What the
//! overlay notes becomes what archives have for it: `.wh.` files for what is hidden, and hard links stay links. Whoever
//! made the files chose what is there, so nothing is followed, and memory grows with the names of one directory and with
//! hard links only.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use tar::{EntryType, Header};

use crate::image::attribute::{Attributes, Stop};
use crate::image::unpack::{MOST_DEPTH, OPAQUE, WHITEOUT};

/// Said by the overlay of a directory that hides those below.
const OVERLAY_OPAQUE: &[u8] = b"trusted.overlay.opaque";
/// Said by the overlay of a directory that was renamed: what it holds lies below, under another name.
const OVERLAY_REDIRECT: &[u8] = b"trusted.overlay.redirect";
/// Precedes the name of an attribute in an extended header.
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// Writes the layer in `directory` to `to`, and the archive's end.
pub(super) fn bundle(directory: &Path, to: &mut impl Write) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(directory, flags, Mode::empty())?;
    let mut bundle = Bundle { to: tar::Builder::new(to), links: BTreeMap::new() };
    let done = bundle.directory(&root, Path::new(""), 0);
    done.map_err(|(path, stop)| match stop {
        Stop::Refused(reason) => {
            io::Error::new(io::ErrorKind::InvalidData, format!("/{}: {reason}", path.display()))
        }
        Stop::Failed(error) => io::Error::new(error.kind(), format!("/{}: {error}", path.display())),
    })?;
    bundle.to.into_inner().map(drop)
}

type Failed = (PathBuf, Stop);

struct Bundle<'to, W: Write> {
    to: tar::Builder<&'to mut W>,
    /// The first name of each file that has several.
    links: BTreeMap<(u64, u64), PathBuf>,
}

impl<W: Write> Bundle<'_, W> {
    /// Writes what is in a directory, sorted by name.
    fn directory(&mut self, directory: &OwnedFd, path: &Path, depth: usize) -> Result<(), Failed> {
        let at = |error: Stop| (path.to_owned(), error);
        if depth >= MOST_DEPTH {
            return Err(at(Stop::Refused("more than 256 directories in one another")));
        }
        let mut names: Vec<CString> = Vec::new();
        for entry in Dir::read_from(directory).map_err(|error| at(error.into()))? {
            let entry = entry.map_err(|error| at(error.into()))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort_unstable();
        for name in names {
            self.entry(directory, &name, path, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &CString,
        parent: &Path,
        depth: usize,
    ) -> Result<(), Failed> {
        let path = parent.join(OsStr::from_bytes(name.to_bytes()));
        let at = |error: Stop| (path.clone(), error);
        let stat = rustix::fs::statat(directory, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|error| at(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(directory, name.as_c_str(), flags, Mode::empty());
            let opened = opened.map_err(|error| at(error.into()))?;
            self.one(directory, name, &path, &stat).map_err(at)?;
            return self.directory(&opened, &path, depth + 1);
        }
        self.one(directory, name, &path, &stat).map_err(at)
    }

    /// Writes one entry, and for a directory that hides others the entry that says so.
    fn one(&mut self, directory: &OwnedFd, name: &CString, path: &Path, stat: &Stat) -> Result<(), Stop> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if name.to_bytes().starts_with(WHITEOUT) {
            return Err(Stop::Refused("a name that archives take for a whiteout"));
        }
        match kind {
            FileType::CharacterDevice if stat.st_rdev == 0 => return self.white_out(path),
            FileType::RegularFile if stat.st_nlink > 1 => {
                let number = (stat.st_dev, stat.st_ino);
                if let Some(first) = self.links.get(&number) {
                    let mut header = header(stat, EntryType::Link);
                    return Ok(self.to.append_link(&mut header, path, first)?);
                }
                self.links.insert(number, path.to_owned());
            }
            FileType::RegularFile | FileType::Directory | FileType::Symlink | FileType::Fifo => {}
            // No sandbox can use devices, and nobody listens at a socket of an image.
            _ => return Ok(()),
        }
        let is_opaque = self.attributes(directory, name, kind)?;
        match kind {
            FileType::Directory => {
                let mut named = OsString::from(path);
                named.push("/");
                self.to.append_data(&mut header(stat, EntryType::Directory), named, io::empty())?;
                if is_opaque {
                    self.mark(&path.join(OsStr::from_bytes(OPAQUE)))?;
                }
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name.as_c_str(), Vec::new())?;
                let target = OsStr::from_bytes(target.to_bytes());
                self.to.append_link(&mut header(stat, EntryType::Symlink), path, target)?;
            }
            FileType::Fifo => self.to.append_data(&mut header(stat, EntryType::Fifo), path, io::empty())?,
            _ => self.file(directory, name, path, stat)?,
        }
        Ok(())
    }

    fn file(&mut self, directory: &OwnedFd, name: &CString, path: &Path, stat: &Stat) -> Result<(), Stop> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(directory, name.as_c_str(), flags, Mode::empty())?);
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let mut header = header(stat, EntryType::Regular);
        header.set_size(size);
        let mut content = Exactly { inner: file.take(size), left: size };
        Ok(self.to.append_data(&mut header, path, &mut content)?)
    }

    /// Writes the attributes of the entry that comes next; tells whether it is a directory that hides those below.
    fn attributes(&mut self, directory: &OwnedFd, name: &CString, kind: FileType) -> Result<bool, Stop> {
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()));
        let attributes = Attributes::read(&path.join(OsStr::from_bytes(name.to_bytes())), kind, 0)?;
        let (mut is_opaque, mut kept) = (false, Vec::new());
        for (name, value) in attributes.entries() {
            match name.as_bytes() {
                OVERLAY_OPAQUE => is_opaque = value == b"y",
                OVERLAY_REDIRECT => {
                    return Err(Stop::Refused(
                        "a directory of which the kernel keeps only that it was renamed; turn off the overlay module's parameter redirect_dir",
                    ));
                }
                // An extended header is text.
                name => kept
                    .extend(std::str::from_utf8(name).ok().map(|name| (format!("{ATTRIBUTE}{name}"), value))),
            }
        }
        if !kept.is_empty() {
            self.to.append_pax_extensions(kept.iter().map(|(name, value)| (name.as_str(), *value)))?;
        }
        Ok(is_opaque)
    }

    fn white_out(&mut self, path: &Path) -> Result<(), Stop> {
        let mut name = OsString::from(OsStr::from_bytes(WHITEOUT));
        name.push(path.file_name().unwrap_or_default());
        self.mark(&path.with_file_name(name))
    }

    /// Writes an empty file that only its name means something of.
    fn mark(&mut self, path: &Path) -> Result<(), Stop> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        Ok(self.to.append_data(&mut header, path, io::empty())?)
    }
}

fn header(stat: &Stat, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(u64::from(stat.st_uid));
    header.set_gid(u64::from(stat.st_gid));
    // Times before 1970 have no place in the header.
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or_default());
    header.set_size(0);
    header
}

/// A file that must have as many bytes as its entry says.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: io::Read> io::Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(u64::try_from(read).unwrap_or_default());
        match read {
            0 if self.left > 0 && !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}
