//! Unpacks a layer archive that nobody trusts (OCI image specification, "layer").
//!
//! Every path is opened below the layer's directory with `openat2(RESOLVE_IN_ROOT)`, so neither `..` nor an absolute
//! link leads out. Device nodes are left out: a sandbox cannot use any.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use tar::{Archive, Entry, EntryType};

/// Deleted by an upper layer: the name behind this prefix.
const WHITEOUT: &[u8] = b".wh.";
/// Hides everything that lower layers have in this directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Writes the archive's entries below `directory`, with owners, modes, times and file capabilities.
pub fn unpack(archive: &mut impl Read, directory: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(directory, flags, Mode::empty())?;
    let mut archive = Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        place(&root, &path, &mut entry)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

fn place(root: &OwnedFd, path: &Path, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
    let path = inside(path)?;
    let Some(name) = path.file_name() else {
        return own(root, OsStr::new("."), entry);
    };
    let parent = open_parent(root, path.parent().unwrap_or(Path::new("")))?;
    if name.as_bytes() == OPAQUE {
        return hide_below(&parent);
    }
    if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
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
            io::copy(entry, &mut std::fs::File::from(file))?;
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

/// Opens a directory of the layer as a program inside would see it, making what is missing.
fn open_parent(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let wanted = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match rustix::fs::openat2(root, wanted, flags, Mode::empty(), resolve) {
        Err(rustix::io::Errno::NOENT) => {
            let above = open_parent(root, path.parent().unwrap_or(Path::new("")))?;
            let name = path.file_name().ok_or_else(|| invalid("a path without a name"))?;
            rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755))?;
            Ok(rustix::fs::openat2(root, wanted, flags, Mode::empty(), resolve)?)
        }
        opened => Ok(opened?),
    }
}

fn is_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode).is_dir())
}

/// Removes what an earlier entry left under the name.
fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::ISDIR) => Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?),
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
