//! Unpacks a layer archive that nobody trusts (OCI image specification, "layer").
//!
//! Every path is opened below the layer's directory with `openat2(RESOLVE_IN_ROOT)`, so neither `..` nor an absolute
//! link leads out. Device nodes are left out: a sandbox cannot use any. What an archive of a few bytes can ask for is
//! bounded: sizes, because files with holes may claim any, and depths, because links can stack paths on one another
//! until nothing can remove them any more.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use tar::{Archive, Entry, EntryType};

/// Deleted by an upper layer: the name behind this prefix.
const WHITEOUT: &[u8] = b".wh.";
/// Hides everything that lower layers have in this directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What all files of a layer may claim to hold together.
const MOST_BYTES: u64 = 64 << 30;
/// How deep directories may lie in one another; the deepest package trees in the wild stay far below.
pub(crate) const MOST_DEPTH: usize = 256;
/// Blocks of zeros of this size become holes.
const BLOCK_BYTES: usize = 64 * 1024;

/// Writes the archive's entries below `directory`, with owners, modes, times and file capabilities.
pub fn unpack(archive: &mut impl Read, directory: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(directory, flags, Mode::empty())?;
    let root_depth = depth(&root)?;
    let mut archive = Archive::new(archive);
    let mut bytes_left = MOST_BYTES;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        place(&root, root_depth, &path, &mut entry, &mut bytes_left)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

fn place(
    root: &OwnedFd,
    root_depth: usize,
    path: &Path,
    entry: &mut Entry<'_, impl Read>,
    bytes_left: &mut u64,
) -> io::Result<()> {
    let path = inside(path)?;
    let Some(name) = path.file_name() else {
        return own(root, OsStr::new("."), entry);
    };
    let parent = open_parent(root, path.parent().unwrap_or(Path::new("")))?;
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
        let hidden = OsStr::from_bytes(hidden);
        remove(&parent, hidden)?;
        return Ok(rustix::fs::mknodat(&parent, hidden, FileType::CharacterDevice, Mode::empty(), 0)?);
    }
    match entry.header().entry_type() {
        EntryType::Directory => {
            match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => {}
                Err(rustix::io::Errno::EXIST) if is_directory(&parent, name)? => {}
                Err(rustix::io::Errno::EXIST) => {
                    remove(&parent, name)?;
                    rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
                }
                Err(error) => return Err(error.into()),
            }
            own(&parent, name, entry)
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            remove(&parent, name)?;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o600))?;
            fill(&File::from(file), entry, bytes_left)?;
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
            let directory = open_parent(root, target.parent().unwrap_or(Path::new("")))?;
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
fn inside(path: &Path) -> io::Result<PathBuf> {
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

fn invalid(reason: &str) -> io::Error {
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
fn fill(file: &File, entry: &mut Entry<'_, impl Read>, bytes_left: &mut u64) -> io::Result<()> {
    let size = entry.size();
    *bytes_left =
        bytes_left.checked_sub(size).ok_or_else(|| invalid("files of more than 64 GiB together"))?;
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
fn open_parent(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let open = |path: &Path| {
        let wanted = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        rustix::fs::openat2(root, wanted, flags, Mode::empty(), resolve)
    };
    match open(path) {
        Err(rustix::io::Errno::NOENT) => {}
        opened => return Ok(opened?),
    }
    let mut made = PathBuf::new();
    for name in path {
        let above = open(&made)?;
        made.push(name);
        match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(open(path)?)
}

fn is_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode).is_dir())
}

/// Removes what an earlier entry left under the name.
fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::ISDIR) => match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(rustix::io::Errno::NOTEMPTY) => Err(invalid("in place of a directory that holds files")),
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
    let is_regular = entry.header().entry_type().is_file();
    let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
    for extension in extensions {
        let extension = extension?;
        // Only programs have capabilities; opening a pipe to give it some would wait for ever.
        if extension.key_bytes() == b"SCHILY.xattr.security.capability" && is_regular {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            rustix::fs::fsetxattr(file, "security.capability", extension.value_bytes(), XattrFlags::empty())?;
        }
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
        assert!(unpack(&mut dots.as_slice(), &layer).is_err());
        let absolute = archive(&[
            ("way", EntryType::Symlink, home.path().to_str().unwrap()),
            ("way/secret", EntryType::Regular, "evil"),
        ]);
        // The link is resolved inside the layer, where its target is missing, or is made there.
        let _ = unpack(&mut absolute.as_slice(), &layer);
        let hard = archive(&[("grab", EntryType::Link, "../secret")]);
        assert!(unpack(&mut hard.as_slice(), &layer).is_err());
        let over =
            archive(&[("file", EntryType::Symlink, "../secret"), ("file", EntryType::Regular, "mine")]);
        unpack(&mut over.as_slice(), &layer).unwrap();
        assert_eq!(std::fs::read_to_string(layer.join("file")).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(home.path().join("secret")).unwrap(), "host");
    }
}
