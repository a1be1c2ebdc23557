//! One answer to each request.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags};
use rustix::io::Errno;

use super::attributes::{self, Attributes};
use super::handle::{Handles, Listing, Open};
use super::status::{self, Refusal};
use super::{PIECE_BYTES, extension};
use crate::encoding::{Reader, Writer as _};
use crate::error::SshError;

const VERSION: u32 = 3;
const NEW_FILE: u32 = 0o666;
const NEW_DIRECTORY: u32 = 0o777;
/// How many names are told at a time.
const NAMES: usize = 128;

const TELL_VERSION: u8 = 2;
const TELL_HANDLE: u8 = 102;
const TELL_DATA: u8 = 103;
const TELL_NAMES: u8 = 104;
const TELL_ATTRIBUTES: u8 = 105;
const TELL_EXTENDED: u8 = 201;

/// What one client has open.
#[derive(Debug, Default)]
pub(super) struct Server {
    handles: Handles,
}

/// What a request is answered with, unless it is refused.
type Answer = Result<Option<Vec<u8>>, Refusal>;

impl Server {
    /// Answers one request, both without their lengths' four bytes in between: the answer has its own in front.
    pub(super) fn answer(&mut self, packet: &[u8]) -> Result<Vec<u8>, SshError> {
        let mut reader = Reader::new(packet);
        let kind = reader.byte()?;
        let body = if kind == 1 {
            introduction()
        } else {
            let id = reader.number()?;
            match self.request(kind, id, reader) {
                Ok(Some(body)) => body,
                Ok(None) => status::body(id, Ok(())),
                Err(refusal) => status::body(id, Err(refusal)),
            }
        };
        Ok(Vec::with_capacity(body.len() + 4).string(&body))
    }

    fn request(&mut self, kind: u8, id: u32, reader: Reader<'_>) -> Answer {
        match kind {
            3 => self.open(id, reader),
            4 => self.close(reader),
            5 => self.read(id, reader),
            6 => self.write(reader),
            8 => self.open_attributes(id, reader),
            10 => self.change_open(reader),
            11 => self.open_directory(id, reader),
            12 => self.list(id, reader),
            200 => self.extended(id, reader),
            _ => by_path(kind, id, reader),
        }
    }

    fn open(&mut self, id: u32, mut reader: Reader<'_>) -> Answer {
        let path = path(&mut reader)?;
        let wanted = reader.number()?;
        let attributes = Attributes::read(&mut reader)?;
        let file = rustix::fs::open(path, flags(wanted), attributes.mode(NEW_FILE))?;
        self.handle(id, Open::File(File::from(file)))
    }

    fn open_directory(&mut self, id: u32, mut reader: Reader<'_>) -> Answer {
        let path = path(&mut reader)?.to_owned();
        let rest = std::fs::read_dir(&path)?;
        let names = vec![OsStr::new("..").to_owned(), OsStr::new(".").to_owned()];
        self.handle(id, Open::Directory(Listing { path, names, rest }))
    }

    fn handle(&mut self, id: u32, open: Open) -> Answer {
        let handle = self.handles.insert(open)?;
        Ok(Some(Vec::new().byte(TELL_HANDLE).number(id).string(&handle)))
    }

    fn close(&mut self, mut reader: Reader<'_>) -> Answer {
        self.handles.close(reader.string()?)?;
        Ok(None)
    }

    fn read(&mut self, id: u32, mut reader: Reader<'_>) -> Answer {
        let file = self.handles.file(reader.string()?)?;
        let (offset, length) = (reader.long()?, reader.number()?);
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let mut data = vec![0; length];
        let count = read_at(file, &mut data, offset)?;
        if count == 0 && length > 0 {
            return Err(Refusal::end());
        }
        let data = data.get(..count).unwrap_or_default();
        Ok(Some(Vec::with_capacity(count + 16).byte(TELL_DATA).number(id).string(data)))
    }

    fn write(&mut self, mut reader: Reader<'_>) -> Answer {
        let file = self.handles.file(reader.string()?)?;
        let (mut offset, mut data) = (reader.long()?, reader.string()?);
        while !data.is_empty() {
            match write_at(file, data, offset) {
                Ok(0) => return Err(Refusal::failure("nothing more can be written")),
                Ok(count) => {
                    offset = offset.saturating_add(u64::try_from(count).unwrap_or(0));
                    data = data.get(count..).unwrap_or_default();
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    fn open_attributes(&mut self, id: u32, mut reader: Reader<'_>) -> Answer {
        let metadata = self.handles.file(reader.string()?)?.metadata()?;
        Ok(Some(attributes::write(Vec::new().byte(TELL_ATTRIBUTES).number(id), &metadata)))
    }

    fn change_open(&mut self, mut reader: Reader<'_>) -> Answer {
        let file = self.handles.file(reader.string()?)?;
        Attributes::read(&mut reader)?.apply_to_open(file)?;
        Ok(None)
    }

    fn list(&mut self, id: u32, mut reader: Reader<'_>) -> Answer {
        let listing = self.handles.directory(reader.string()?)?;
        let mut count = 0_u32;
        let mut told = Vec::new();
        for _ in 0..NAMES {
            let name = match listing.names.pop() {
                Some(name) => name,
                None => match listing.rest.next() {
                    Some(entry) => entry?.file_name(),
                    None => break,
                },
            };
            // One that went meanwhile is not there.
            let Ok(metadata) = std::fs::symlink_metadata(listing.path.join(&name)) else { continue };
            let name = name.as_bytes();
            told = attributes::write(told.string(name).string(&attributes::line(name, &metadata)), &metadata);
            count += 1;
        }
        if count == 0 {
            return Err(Refusal::end());
        }
        Ok(Some(Vec::with_capacity(told.len() + 16).byte(TELL_NAMES).number(id).number(count).raw(&told)))
    }

    fn extended(&mut self, id: u32, mut reader: Reader<'_>) -> Answer {
        let out = Vec::new().byte(TELL_EXTENDED).number(id);
        match reader.text()? {
            "posix-rename@openssh.com" => rustix::fs::rename(path(&mut reader)?, path(&mut reader)?)?,
            "hardlink@openssh.com" => rustix::fs::link(path(&mut reader)?, path(&mut reader)?)?,
            "fsync@openssh.com" => self.handles.file(reader.string()?)?.sync_all()?,
            "lsetstat@openssh.com" => {
                let path = path(&mut reader)?;
                Attributes::read(&mut reader)?.apply_to_link(path)?;
            }
            "statvfs@openssh.com" => {
                let told = rustix::fs::statvfs(path(&mut reader)?)?;
                return Ok(Some(extension::file_system(out, &told)));
            }
            "fstatvfs@openssh.com" => {
                let told = rustix::fs::fstatvfs(self.handles.file(reader.string()?)?)?;
                return Ok(Some(extension::file_system(out, &told)));
            }
            "limits@openssh.com" => return Ok(Some(extension::limits(out))),
            "expand-path@openssh.com" => {
                let expanded = extension::expand(path(&mut reader)?)?;
                return Ok(Some(one_name(id, &absolute(&expanded)?)));
            }
            _ => return Err(Refusal::unsupported()),
        }
        Ok(None)
    }
}

fn by_path(kind: u8, id: u32, mut reader: Reader<'_>) -> Answer {
    let path_of = path;
    let path = path_of(&mut reader)?;
    let tell = |metadata| attributes::write(Vec::new().byte(TELL_ATTRIBUTES).number(id), &metadata);
    match kind {
        7 => return Ok(Some(tell(std::fs::symlink_metadata(path)?))),
        17 => return Ok(Some(tell(std::fs::metadata(path)?))),
        9 => Attributes::read(&mut reader)?.apply(path)?,
        13 => rustix::fs::unlink(path)?,
        14 => rustix::fs::mkdir(path, Attributes::read(&mut reader)?.mode(NEW_DIRECTORY))?,
        15 => rustix::fs::rmdir(path)?,
        16 => return Ok(Some(one_name(id, &absolute(path)?))),
        18 => rename(path, path_of(&mut reader)?)?,
        19 => return Ok(Some(one_name(id, &std::fs::read_link(path)?))),
        // What it points to comes first, as every server does since the first one had it the wrong way round.
        20 => rustix::fs::symlink(path, path_of(&mut reader)?)?,
        _ => return Err(Refusal::unsupported()),
    }
    Ok(None)
}

fn introduction() -> Vec<u8> {
    extension::KNOWN.iter().fold(Vec::new().byte(TELL_VERSION).number(VERSION), |out, (name, version)| {
        out.string(name.as_bytes()).string(version.as_bytes())
    })
}

fn one_name(id: u32, path: &Path) -> Vec<u8> {
    let name = path.as_os_str().as_bytes();
    // Without attributes: clients ask for those by themselves.
    Vec::new().byte(TELL_NAMES).number(id).number(1).string(name).string(name).number(0)
}

fn path<'a>(reader: &mut Reader<'a>) -> Result<&'a Path, Refusal> {
    let bytes = reader.string()?;
    if bytes.contains(&0) {
        return Err(Refusal::malformed("a path contains a NUL"));
    }
    // Where a client begins has no name.
    Ok(Path::new(OsStr::from_bytes(if bytes.is_empty() { b"." } else { bytes })))
}

/// Returns a path without links and dots; its last part need not exist.
fn absolute(path: &Path) -> Result<PathBuf, Refusal> {
    let found = std::fs::canonicalize(path);
    match (found, path.parent(), path.file_name()) {
        (Err(error), Some(parent), Some(name)) if error.kind() == std::io::ErrorKind::NotFound => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            Ok(std::fs::canonicalize(parent)?.join(name))
        }
        (found, ..) => Ok(found?),
    }
}

/// Renames without replacing anything, as this version of the protocol wants it.
fn rename(from: &Path, to: &Path) -> Result<(), Refusal> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            // A file system that cannot; the moment between the two calls is the price.
            if std::fs::symlink_metadata(to).is_ok() {
                return Err(Errno::EXIST.into());
            }
            Ok(rustix::fs::rename(from, to)?)
        }
        other => Ok(other?),
    }
}

fn flags(wanted: u32) -> OFlags {
    let access = match wanted & 3 {
        3 => OFlags::RDWR,
        2 => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    let more = [(4, OFlags::APPEND), (8, OFlags::CREATE), (16, OFlags::TRUNC), (32, OFlags::EXCL)];
    let more = more.iter().filter(|(bit, _)| wanted & bit != 0);
    more.fold(access | OFlags::CLOEXEC | OFlags::NOCTTY, |flags, (_, flag)| flags | *flag)
}

fn read_at(file: &File, data: &mut [u8], offset: u64) -> Result<usize, Errno> {
    loop {
        match rustix::io::pread(file, &mut *data, offset) {
            Err(Errno::INTR) => {}
            // Pipes and the like have no places.
            Err(Errno::SPIPE) => return rustix::io::read(file, data),
            other => return other,
        }
    }
}

fn write_at(file: &File, data: &[u8], offset: u64) -> Result<usize, Errno> {
    match rustix::io::pwrite(file, data, offset) {
        Err(Errno::SPIPE) => rustix::io::write(file, data),
        other => other,
    }
}
