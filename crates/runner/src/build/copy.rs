//! `COPY`, `ADD` and `WORKDIR`: files that the host itself puts into an image.
//!
//! They are written through an overlay of the image's layers, so what comes out is a layer like that of a sandbox.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use dockerfile::evaluation::{Copy, CopySource};
use dockerfile::pattern::Pattern;
use linux::errno::CallError;
use linux::mount;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec};
use sha2::{Digest as _, Sha256};

use crate::build::archive::{self, Rules};
use crate::build::view::{DIRECTORY, View, list};
use crate::build::watch::Watch;
use crate::build::write::{Dress, Writer, apply, link};
use crate::image::Store;
use crate::image::unpack::invalid;
use crate::sandbox::disk::Disk;

/// How deep directories may lie in one another.
const MOST_DEPTH: usize = 256;
/// The most that one instruction copies.
const MOST_BYTES: u64 = 64 << 30;
/// What new directories on the way have.
const DIRECTORY_MODE: u32 = 0o755;

/// Makes an overlay of layers, topmost first, that is written to on a disk.
pub(super) fn overlay(images: &Store, layers: &[String], disk: &Disk) -> Result<Writer, CallError> {
    let mut lowers = Vec::with_capacity(layers.len() + 1);
    for layer in layers {
        lowers.push(mount::clone_path(&images.layer(layer).to_string_lossy())?);
    }
    if lowers.is_empty() {
        lowers.push(mount::clone_path(&images.nothing().to_string_lossy())?);
    }
    Ok(Writer::new(mount::overlay(&lowers, &disk.upper, &disk.work)?))
}

/// One source that was found: a path in the view, or a text.
pub(super) enum Found<'a> {
    Path(PathBuf),
    Text(&'a str, &'a str),
}

/// Finds all sources of an instruction; the error names the one that is not there.
pub(super) fn find<'a>(copy: &'a Copy, view: &View) -> Result<Vec<Found<'a>>, String> {
    let mut found = Vec::new();
    for source in &copy.sources {
        match source {
            CopySource::Text { name, content } => found.push(Found::Text(name, content)),
            CopySource::Path(path) => {
                let paths = view.find(path)?;
                if paths.is_empty() {
                    let place =
                        if copy.origin.is_some() { "where `--from` points" } else { "the build context" };
                    return Err(format!("`{path}` is not in {place}; check its name, and .dockerignore"));
                }
                found.extend(paths.into_iter().map(Found::Path));
            }
        }
    }
    Ok(found)
}

/// Names what an instruction brings by its content: names, kinds, modes and bytes, and no times.
pub(super) fn digest(
    copy: &Copy,
    found: &[Found<'_>],
    view: &View,
    watch: &Watch<'_>,
) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let excluded = patterns(copy)?;
    for source in found {
        match source {
            Found::Text(name, content) => note(&mut hash, &[b"text", name.as_bytes(), content.as_bytes()]),
            Found::Path(path) => {
                let mut walk = Walk { view, excluded: &excluded, base: path.clone(), watch };
                note(&mut hash, &[b"source", path.as_os_str().as_encoded_bytes()]);
                walk.visit(path, &mut |item| digest_item(&mut hash, &item))?;
            }
        }
    }
    Ok(hash.finalize().into())
}

fn note(hash: &mut Sha256, parts: &[&[u8]]) {
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
}

fn digest_item(hash: &mut Sha256, item: &Item<'_>) -> io::Result<()> {
    let mode = item.stat.st_mode.to_le_bytes();
    let owner = [item.stat.st_uid.to_le_bytes(), item.stat.st_gid.to_le_bytes()].concat();
    note(hash, &[item.inner.as_os_str().as_encoded_bytes(), &mode, &owner]);
    match item.kind() {
        FileType::Symlink => note(hash, &[item.target()?.as_os_str().as_encoded_bytes()]),
        FileType::RegularFile => {
            let mut file = item.open()?;
            let mut content = Sha256::new();
            io::copy(&mut file, &mut content)?;
            note(hash, &[&content.finalize()]);
        }
        _ => {}
    }
    Ok(())
}

fn patterns(copy: &Copy) -> io::Result<Vec<Pattern>> {
    copy.excluded.iter().map(|text| Pattern::parse(text).map_err(|reason| invalid(&reason))).collect()
}

/// What an instruction does with what it brings.
pub(super) struct Manner<'a> {
    pub(super) copy: &'a Copy,
    /// Who owns it; the files' own owner when there is nobody.
    pub(super) owner: Option<(u32, u32)>,
    pub(super) watch: &'a Watch<'a>,
    /// What files without a time of their own get.
    pub(super) now: Timespec,
}

/// Copies what was found.
pub(super) fn copy(
    manner: &Manner<'_>,
    found: &[Found<'_>],
    view: &View,
    writer: &mut Writer,
) -> io::Result<()> {
    let destination = PathBuf::from(manner.copy.destination.trim_start_matches('/'));
    let excluded = patterns(manner.copy)?;
    let is_several = found.len() > 1;
    for source in found {
        let said = match source {
            Found::Text(name, content) => manner.text(writer, &destination, name, content),
            Found::Path(path) => {
                let mut walk = Walk { view, excluded: &excluded, base: path.clone(), watch: manner.watch };
                manner.path(writer, &destination, path, &mut walk, is_several)
            }
        };
        said.map_err(|error| match source {
            Found::Text(name, _) => io::Error::new(error.kind(), format!("{name}: {error}")),
            Found::Path(path) => io::Error::new(error.kind(), format!("{}: {error}", path.display())),
        })?;
    }
    Ok(())
}

impl Manner<'_> {
    fn parents(&self) -> Dress {
        Dress { owner: self.owner.unwrap_or_default(), mode: DIRECTORY_MODE, modified: None }
    }

    fn dress(&self, stat: &Stat) -> Dress {
        let owner = self.owner.unwrap_or((stat.st_uid, stat.st_gid));
        let mode = self.copy.mode.unwrap_or(stat.st_mode & 0o7777);
        let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
        Dress { owner, mode, modified: Some(Timespec { tv_sec: stat.st_mtime, tv_nsec: nanoseconds }) }
    }

    fn text(&self, writer: &mut Writer, destination: &Path, name: &str, content: &str) -> io::Result<()> {
        let owner = self.owner.unwrap_or_default();
        let mode = self.copy.mode.unwrap_or(0o644);
        let dress = Dress { owner, mode, modified: Some(self.now) };
        let path = self.file_path(writer, destination, OsStr::new(name), false);
        self.put(writer, &path, &mut content.as_bytes(), dress)
    }

    /// Says where one file goes.
    fn file_path(&self, writer: &Writer, destination: &Path, name: &OsStr, is_several: bool) -> PathBuf {
        let is_into = self.copy.is_into_directory || is_several || writer.is_directory(destination);
        if is_into { destination.join(name) } else { destination.to_owned() }
    }

    fn put(
        &self,
        writer: &mut Writer,
        path: &Path,
        content: &mut dyn io::Read,
        dress: Dress,
    ) -> io::Result<()> {
        let name = path.file_name().ok_or_else(|| invalid("a file cannot take the place of the root"))?;
        let (parent, _) = writer.directory(path.parent().unwrap_or(Path::new("")), self.parents())?;
        writer.file(&parent, name, content, dress).map(drop)
    }

    fn path(
        &self,
        writer: &mut Writer,
        destination: &Path,
        path: &Path,
        walk: &mut Walk<'_>,
        is_several: bool,
    ) -> io::Result<()> {
        let stat = walk.view.look(path)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            // Only what is in it is copied: a directory that has to be made is like those on the way.
            writer.directory(destination, self.parents())?;
            return walk.visit(path, &mut |item| self.item(writer, destination, &item));
        }
        if self.copy.unpacks && self.unpack(writer, destination, path, walk)? {
            return Ok(());
        }
        let name = path.file_name().ok_or_else(|| invalid("a file without a name"))?;
        let place = self.file_path(writer, destination, name, is_several);
        let opened = walk.view.open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(invalid("neither a file nor a directory"));
        }
        self.put(writer, &place, &mut File::from(opened), self.dress(&stat))
    }

    fn item(&self, writer: &mut Writer, destination: &Path, item: &Item<'_>) -> io::Result<()> {
        let place = destination.join(item.inner);
        let dress = self.dress(&item.stat);
        match item.kind() {
            FileType::Directory => {
                let (_, is_new) = writer.directory(&place, dress)?;
                if is_new { self.finish(writer, &place, dress) } else { Ok(()) }
            }
            FileType::RegularFile => self.put(writer, &place, &mut item.open()?, dress),
            FileType::Symlink => {
                let name = place.file_name().unwrap_or_default();
                let (parent, _) =
                    writer.directory(place.parent().unwrap_or(Path::new("")), self.parents())?;
                link(&parent, name, &item.target()?, dress)
            }
            // Devices, pipes and sockets are nothing to copy.
            _ => Ok(()),
        }
    }

    /// Gives a directory that was just made what its source has.
    fn finish(&self, writer: &Writer, path: &Path, dress: Dress) -> io::Result<()> {
        let Some(name) = path.file_name() else { return Ok(()) };
        let (parent, _) = writer.directory(path.parent().unwrap_or(Path::new("")), self.parents())?;
        apply(dress, &parent, name, FileType::Directory)
    }

    /// Unpacks a file if it is an archive; false when it is none.
    fn unpack(
        &self,
        writer: &mut Writer,
        destination: &Path,
        path: &Path,
        walk: &Walk<'_>,
    ) -> io::Result<bool> {
        let open = || walk.view.open(path, OFlags::RDONLY | OFlags::NONBLOCK).map(File::from);
        let mut head = Vec::new();
        open()?.take(512).read_to_end(&mut head)?;
        let mut file = open()?;
        let mut inflated;
        let archive: &mut dyn io::Read = match archive::compression(&head) {
            None if archive::is_archive(&head) => &mut file,
            None => return Ok(false),
            Some("gzip") => {
                inflated = flate2::read::MultiGzDecoder::new(file);
                &mut inflated
            }
            Some(other) => {
                let reason =
                    format!("ADD of {other} archives is not built; COPY it and RUN tar, or use gzip");
                return Err(invalid(&reason));
            }
        };
        let mut start = Vec::new();
        archive.take(512).read_to_end(&mut start)?;
        if !archive::is_archive(&start) {
            return Ok(false);
        }
        writer.directory(destination, self.parents())?;
        let rules = Rules { below: destination, owner: self.owner_of_archive(), most_bytes: MOST_BYTES };
        let go_on = || self.watch.check().map_err(io::Error::other);
        archive::unpack(&mut start.as_slice().chain(archive), writer, &rules, &go_on)?;
        Ok(true)
    }

    /// Files of archives keep their owners unless they are told others.
    fn owner_of_archive(&self) -> Option<(u32, u32)> {
        self.copy.owner.as_ref().and(self.owner)
    }
}

/// Where something is.
enum At<'a> {
    /// Open already.
    Open(&'a OwnedFd),
    /// A name in a directory.
    Name(&'a OwnedFd, &'a OsStr),
}

/// Something below a source.
struct Item<'a> {
    place: At<'a>,
    /// Its path from the source.
    inner: &'a Path,
    stat: Stat,
}

impl Item<'_> {
    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    fn open(&self) -> io::Result<File> {
        match self.place {
            At::Open(file) => Ok(File::from(file.try_clone()?)),
            At::Name(directory, name) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                Ok(File::from(rustix::fs::openat(directory, name, flags, Mode::empty())?))
            }
        }
    }

    fn target(&self) -> io::Result<PathBuf> {
        let At::Name(directory, name) = self.place else { return Err(invalid("a link that was followed")) };
        let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
        Ok(PathBuf::from(OsStr::from_bytes(target.to_bytes())))
    }
}

/// A walk over a source.
struct Walk<'a> {
    view: &'a View,
    excluded: &'a [Pattern],
    base: PathBuf,
    watch: &'a Watch<'a>,
}

impl Walk<'_> {
    /// Visits what is below a directory, or a file itself.
    fn visit(&mut self, path: &Path, each: &mut dyn FnMut(Item<'_>) -> io::Result<()>) -> io::Result<()> {
        match self.view.open(path, DIRECTORY) {
            Ok(directory) => self.below(&directory, Path::new(""), each, 0),
            Err(rustix::io::Errno::NOTDIR) => {
                let file = self.view.open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
                let stat = rustix::fs::fstat(&file)?;
                // By its descriptor, since a link counts as the file that it leads to.
                each(Item { place: At::Open(&file), inner: Path::new(""), stat })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn below(
        &mut self,
        directory: &OwnedFd,
        inner: &Path,
        each: &mut dyn FnMut(Item<'_>) -> io::Result<()>,
        depth: usize,
    ) -> io::Result<()> {
        if depth >= MOST_DEPTH {
            return Err(invalid("more than 256 directories in one another"));
        }
        self.watch.check().map_err(io::Error::other)?;
        for name in list(directory)? {
            let inner = inner.join(&name);
            let excluded = inner.to_string_lossy();
            let is_directory_excluded =
                self.excluded.iter().any(|pattern| pattern.matches_or_holds(&excluded));
            if is_directory_excluded {
                continue;
            }
            let stat = rustix::fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
            let is_left_out = self.view.leaves_out(&self.base.join(&inner));
            if !is_left_out {
                each(Item { place: At::Name(directory, &name), inner: &inner, stat })?;
            }
            // One that is left out may hold what is not.
            if is_directory {
                let flags = DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = rustix::fs::openat(directory, &name, flags, Mode::empty())?;
                self.below(&opened, &inner, each, depth + 1)?;
            }
        }
        Ok(())
    }
}
