//! Unpacks a layer archive that nobody trusts (OCI image specification, "layer").
//!
//! Every path is opened below the layer's directory with `openat2(RESOLVE_IN_ROOT)`, so neither `..` nor an absolute
//! link leads out. Device nodes are left out: a sandbox cannot use any. What an archive of a few bytes can ask for is
//! bounded: sizes, because files with holes may claim any; names and attributes, because they are read into memory; and
//! depths, because links can stack paths on one another until nothing can remove them any more.
//!
//! A whiteout hides what lower layers have under a name, and nothing of its own layer, in whatever order both come.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use crate::image::allowance::{Allowance, ENTRY_BYTES, Meter, Part};
use crate::image::attribute;

/// Deleted by an upper layer: the name behind this prefix.
pub(super) const WHITEOUT: &[u8] = b".wh.";
/// Hides everything that lower layers have in this directory.
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";
/// How deep directories may lie in one another; the deepest package trees in the wild stay far below.
pub(crate) const MOST_DEPTH: usize = 256;
/// How many directories are remembered of which an archive says nothing.
const MOST_IMPLIED: usize = 16_384;
/// Blocks of zeros of this size become holes.
const BLOCK_BYTES: usize = 64 * 1024;

/// Writes the archive's entries below `directory`, with owners, modes, times and attributes, as much as is allowed.
/// Reads the archive to its very end. Returns the directories that it holds something in and says nothing of.
pub fn unpack(
    archive: &mut impl Read,
    directory: &Path,
    allowance: &Allowance,
) -> io::Result<BTreeSet<PathBuf>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(directory, flags, Mode::empty())?;
    let root_depth = depth(&root)?;
    let part = Part::default();
    let mut implied = BTreeSet::new();
    let mut archive = Archive::new(Meter::new(archive, &part));
    let mut entries = archive.entries()?;
    loop {
        part.begin_header();
        let Some(entry) = entries.next() else { break };
        let mut entry = entry?;
        let header_bytes = part.begin_content();
        let path = entry.path()?.into_owned();
        let placed = allowance.take(header_bytes.saturating_add(ENTRY_BYTES).saturating_add(entry.size()));
        let placed = placed.and_then(|()| place(&root, root_depth, &path, &mut entry, &mut implied));
        // What is left of one entry must not count as the beginning of the next.
        let drained = placed.and_then(|()| io::copy(&mut entry, &mut io::sink()).map(drop));
        drained.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    }
    part.begin_tail();
    // The archive's padding counts for its digest, too.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(implied)
}

fn place(
    root: &OwnedFd,
    root_depth: usize,
    path: &Path,
    entry: &mut Entry<'_, impl Read>,
    implied: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    let path = inside(path)?;
    let Some(name) = path.file_name() else {
        return own(root, OsStr::new("."), entry);
    };
    let parent = open_parent(root, path.parent().unwrap_or(Path::new("")), implied)?;
    // Links on the way may lead deeper than the path looks.
    if depth(&parent)? >= root_depth + MOST_DEPTH {
        return Err(invalid("more than 256 directories in one another"));
    }
    if name.as_bytes() == OPAQUE {
        return hide_below(&parent);
    }
    if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(invalid("a whiteout that names no file"));
        }
        return white_out(&parent, OsStr::from_bytes(hidden));
    }
    match entry.header().entry_type() {
        EntryType::Directory => {
            implied.remove(&path);
            match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => {}
                Err(Errno::EXIST) => replace_by_directory(&parent, name)?,
                Err(error) => return Err(error.into()),
            }
            own(&parent, name, entry)
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            remove(&parent, name)?;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o600))?;
            fill(&File::from(file), entry)?;
            own(&parent, name, entry)
        }
        EntryType::Symlink => {
            remove(&parent, name)?;
            let target = entry.link_name()?.ok_or_else(|| invalid("a link without a target"))?;
            rustix::fs::symlinkat(target.as_ref(), &parent, name)?;
            let (user, group) = owner(entry)?;
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            Ok(rustix::fs::chownat(&parent, name, Some(user), Some(group), flags)?)
        }
        EntryType::Link => {
            remove(&parent, name)?;
            let target = entry.link_name()?.ok_or_else(|| invalid("a hard link without a target"))?;
            let target = inside(&target)?;
            let target_name = target.file_name().ok_or_else(|| invalid("a hard link to the root"))?;
            let directory = open_parent(root, target.parent().unwrap_or(Path::new("")), implied)?;
            Ok(rustix::fs::linkat(&directory, target_name, &parent, name, AtFlags::empty())?)
        }
        EntryType::Fifo => {
            remove(&parent, name)?;
            rustix::fs::mknodat(&parent, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
            own(&parent, name, entry)
        }
        // Device nodes, and what is no file at all.
        _ => Ok(()),
    }
}

/// Returns the path without its leading `/` and `.`; one with `..` is refused.
pub(crate) fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut kept = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => kept.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => return Err(invalid("a path with `..`")),
        }
    }
    Ok(kept)
}

pub(crate) fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

/// Counts the directories above an open one. Its path is read from the kernel, which gives none longer than a page.
fn depth(directory: &OwnedFd) -> io::Result<usize> {
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let path = rustix::fs::readlink(link, Vec::new())
        .map_err(|_| invalid("directories too deep in one another to have a path"))?;
    Ok(Path::new(OsStr::from_bytes(path.as_bytes())).components().count())
}

/// Copies an entry's content; zeros become holes, so that what a few bytes of archive claim costs no disk.
fn fill(file: &File, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
    let size = entry.size();
    let (zeros, mut block) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    let mut at = 0;
    loop {
        let read = entry.read(&mut block)?;
        let Some(part) = block.get(..read).filter(|part| !part.is_empty()) else { break };
        if Some(part) != zeros.get(..read) {
            file.write_all_at(part, at)?;
        }
        at += u64::try_from(read).map_err(io::Error::other)?;
    }
    if at != size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    file.set_len(size)
}

/// Opens a directory of the layer as a program inside would see it, making what is missing.
fn open_parent(root: &OwnedFd, path: &Path, implied: &mut BTreeSet<PathBuf>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let open = |path: &Path| {
        let wanted = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        rustix::fs::openat2(root, wanted, flags, Mode::empty(), resolve)
    };
    match open(path) {
        Err(Errno::NOENT) => {}
        opened => return Ok(opened?),
    }
    let mut made = PathBuf::new();
    for name in path {
        let above = open(&made)?;
        made.push(name);
        match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
            Ok(()) if implied.len() < MOST_IMPLIED => drop(implied.insert(made.clone())),
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(open(path)?)
}

/// Makes a directory of what is there: it stays one, or comes in place of something else.
fn replace_by_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(found.st_mode);
    if kind.is_dir() {
        return Ok(());
    }
    remove(parent, name)?;
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    // It came in place of a whiteout: what lower layers have below it stays hidden.
    if kind.is_char_device() { hide_below(&open_directory(parent, name)?) } else { Ok(()) }
}

/// Hides what lower layers have under a name.
fn white_out(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
        // What this layer itself has there hides the lower ones'; a directory only when told to.
        Err(Errno::EXIST) => match open_directory(parent, name) {
            Ok(directory) => hide_below(&directory),
            Err(error) if is_no_directory(&error) => Ok(()),
            Err(error) => Err(error),
        },
        made => Ok(made?),
    }
}

fn is_no_directory(error: &io::Error) -> bool {
    [Errno::NOTDIR, Errno::LOOP].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn open_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// Removes what an earlier entry left under the name.
fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) => Err(invalid("in place of a directory that holds files")),
            removed => Ok(removed?),
        },
        Err(error) => Err(error.into()),
    }
}

fn hide_below(directory: &OwnedFd) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(directory, "trusted.overlay.opaque", b"y", XattrFlags::empty())?)
}

fn owner(entry: &Entry<'_, impl Read>) -> io::Result<(Uid, Gid)> {
    let id = |value: u64| u32::try_from(value).ok().filter(|id| *id < crate::place::IDS_PER_SANDBOX);
    let header = entry.header();
    let user = id(header.uid()?).ok_or_else(|| invalid("an owner above 65535"))?;
    let group = id(header.gid()?).ok_or_else(|| invalid("a group above 65535"))?;
    Ok((Uid::from_raw(user), Gid::from_raw(group)))
}

/// Sets owner, mode, capabilities and time of a file that was just made: it is no link.
fn own(parent: &OwnedFd, name: &OsStr, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
    let (user, group) = owner(entry)?;
    // The owner first: changing it clears the setuid bit.
    rustix::fs::chownat(parent, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(entry.header().mode()? & 0o7777);
    rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?;
    let seconds = i64::try_from(entry.header().mtime()?).unwrap_or_default();
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = entry.header().entry_type();
    // Opening a pipe to give it some would wait for ever.
    let is_regular = matches!(kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse);
    if !is_regular && kind != EntryType::Directory {
        return Ok(());
    }
    let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
    let mut opened = None;
    for extension in extensions {
        let extension = extension?;
        let Some(attribute) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") else { continue };
        if !attribute::is_of_images(attribute, is_regular) {
            continue;
        }
        let file = if let Some(file) = opened.take() {
            file
        } else {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, Mode::empty())?
        };
        match rustix::fs::fsetxattr(&file, attribute, extension.value_bytes(), XattrFlags::empty()) {
            // Not every file system of a host has room for what users note.
            Err(Errno::OPNOTSUPP | Errno::NOSPC | Errno::TOOBIG) if attribute.starts_with(b"user.") => {}
            set => set?,
        }
        opened = Some(file);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_uid(u64::from(rustix::process::geteuid().as_raw()));
            header.set_gid(u64::from(rustix::process::getegid().as_raw()));
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            let data = if matches!(kind, EntryType::Regular) { content.as_bytes() } else { b"" };
            if !matches!(kind, EntryType::Regular) {
                header.set_link_name_literal(content).unwrap();
            }
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_hostile_archive_cannot_leave_its_directory() {
        let home = tempfile::tempdir().unwrap();
        let layer = home.path().join("layer");
        std::fs::create_dir(&layer).unwrap();
        std::fs::write(home.path().join("secret"), "host").unwrap();
        let dots = archive(&[("../secret", EntryType::Regular, "evil")]);
        assert!(unpack(&mut dots.as_slice(), &layer, &Allowance::default()).is_err());
        let absolute = archive(&[
            ("way", EntryType::Symlink, home.path().to_str().unwrap()),
            ("way/secret", EntryType::Regular, "evil"),
        ]);
        // The link is resolved inside the layer, where its target is missing, or is made there.
        let _ = unpack(&mut absolute.as_slice(), &layer, &Allowance::default());
        let hard = archive(&[("grab", EntryType::Link, "../secret")]);
        assert!(unpack(&mut hard.as_slice(), &layer, &Allowance::default()).is_err());
        let over =
            archive(&[("file", EntryType::Symlink, "../secret"), ("file", EntryType::Regular, "mine")]);
        unpack(&mut over.as_slice(), &layer, &Allowance::default()).unwrap();
        assert_eq!(std::fs::read_to_string(layer.join("file")).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(home.path().join("secret")).unwrap(), "host");
    }
}
