//! Unpacks archives of strangers: contexts, and what `ADD` brings.

use std::cell::Cell;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Timespec};
use tar::{Archive, Entry, EntryType};

use crate::build::write::{Dress, Writer, apply, link};
use crate::image::unpack::{inside, invalid};
use crate::place::IDS_PER_SANDBOX;

/// The most entries of one archive.
const MOST_ENTRIES: u64 = 1 << 20;
/// The most that may stand before the content of one entry, long names for example: it is read into memory.
const MOST_HEADER_BYTES: u64 = 1 << 20;
/// What an entry costs besides what it holds.
const ENTRY_BYTES: u64 = 4 << 10;

/// How an archive is unpacked.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    /// Below which directory of the root.
    pub(super) below: &'a Path,
    /// Who owns everything; the archive says it when there is nobody.
    pub(super) owner: Option<(u32, u32)>,
    /// How much it may hold.
    pub(super) most_bytes: u64,
}

/// Writes the entries of an archive. `go_on` is asked before each.
pub(super) fn unpack(
    archive: &mut dyn Read,
    writer: &mut Writer,
    rules: &Rules<'_>,
    go_on: &dyn Fn() -> io::Result<()>,
) -> io::Result<()> {
    let head = Cell::new(Some(0));
    let mut archive = Archive::new(Metered { inner: archive, head: &head });
    let (mut bytes_left, mut entries_left) = (rules.most_bytes, MOST_ENTRIES);
    let mut directories: Vec<(PathBuf, Dress)> = Vec::new();
    let mut entries = archive.entries()?;
    loop {
        head.set(Some(0));
        let Some(entry) = entries.next() else { break };
        let mut entry = entry?;
        head.set(None);
        go_on()?;
        entries_left = entries_left.checked_sub(1).ok_or_else(|| invalid("more than a million entries"))?;
        let path = entry.path()?.into_owned();
        let needed = entry.size().saturating_add(ENTRY_BYTES);
        bytes_left = bytes_left
            .checked_sub(needed)
            .ok_or_else(|| invalid(&format!("files of more than {} MiB together", rules.most_bytes >> 20)))?;
        let placed = place(&mut entry, &path, writer, rules, &mut directories);
        // What is left of one entry must not count as the beginning of the next.
        let placed = placed.and_then(|()| io::copy(&mut entry, &mut io::sink()).map(drop));
        placed.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    }
    // Deepest first: files that were put into them changed their times, and their modes may forbid that.
    for (path, dress) in directories.into_iter().rev() {
        if let (Some(name), Some(parent)) = (path.file_name(), path.parent()) {
            let (directory, _) = writer.directory(parent, dress)?;
            apply(dress, &directory, name, FileType::Directory)?;
        }
    }
    Ok(())
}

fn place(
    entry: &mut Entry<'_, impl Read>,
    path: &Path,
    writer: &mut Writer,
    rules: &Rules<'_>,
    directories: &mut Vec<(PathBuf, Dress)>,
) -> io::Result<()> {
    let path = rules.below.join(inside(path)?);
    let dress = dress(entry, rules)?;
    let parents = Dress { mode: 0o755, modified: None, ..dress };
    let kind = entry.header().entry_type();
    let Some(name) = path.file_name().filter(|_| path != rules.below) else { return Ok(()) };
    if kind == EntryType::Directory {
        let (_, is_new) = writer.directory(&path, Dress { mode: 0o700, ..parents })?;
        if is_new {
            directories.push((path, dress));
        }
        return Ok(());
    }
    let (parent, _) = writer.directory(path.parent().unwrap_or(Path::new("")), parents)?;
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let size = entry.size();
            let written = writer.file(&parent, name, entry, dress)?;
            if written == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
        EntryType::Symlink => {
            let target = entry.link_name()?.ok_or_else(|| invalid("a link without a target"))?;
            link(&parent, name, &target, dress)
        }
        EntryType::Link => {
            let target = entry.link_name()?.ok_or_else(|| invalid("a hard link without a target"))?;
            writer.hard_link(&parent, name, &rules.below.join(inside(&target)?))
        }
        // Devices and pipes, and what is no file at all.
        _ => Ok(()),
    }
}

fn dress(entry: &Entry<'_, impl Read>, rules: &Rules<'_>) -> io::Result<Dress> {
    let header = entry.header();
    let id = |value: u64| u32::try_from(value).ok().filter(|id| *id < IDS_PER_SANDBOX);
    let owner = match rules.owner {
        Some(owner) => owner,
        None => id(header.uid()?)
            .zip(id(header.gid()?))
            .ok_or_else(|| invalid("an owner above 65535; use --chown"))?,
    };
    let seconds = i64::try_from(header.mtime()?).unwrap_or_default();
    let modified = Some(Timespec { tv_sec: seconds, tv_nsec: 0 });
    Ok(Dress { owner, mode: header.mode()? & 0o7777, modified })
}

/// Bounds what is read before the content of an entry.
struct Metered<'a> {
    inner: &'a mut dyn Read,
    head: &'a Cell<Option<u64>>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(head) = self.head.get() {
            let head = head.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            if head > MOST_HEADER_BYTES {
                return Err(invalid("more than 1 MiB before an entry"));
            }
            self.head.set(Some(head));
        }
        Ok(read)
    }
}

/// Tells whether a file that begins with these 512 bytes is an archive that is unpacked as it is.
pub(super) fn is_archive(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// Names the compression of a file that begins with these bytes.
pub(super) fn compression(head: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 3] =
        [(&[0x1f, 0x8b], "gzip"), (b"BZh", "bzip2"), (&[0xfd, b'7', b'z', b'X', b'Z'], "xz")];
    known.into_iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(path: &Path) -> Writer {
        Writer::new(std::fs::File::open(path).unwrap().into())
    }

    fn own() -> (u32, u32) {
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    }

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(7);
            let data = if *kind == EntryType::Regular { content.as_bytes() } else { b"" };
            if data.is_empty() && !content.is_empty() {
                header.set_link_name_literal(content).unwrap();
            }
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn write(root: &Path, entries: &[(&str, EntryType, &str)], most_bytes: u64) -> io::Result<()> {
        let rules = Rules { below: Path::new("in"), owner: Some(own()), most_bytes };
        unpack(&mut archive(entries).as_slice(), &mut writer(root), &rules, &|| Ok(()))
    }

    #[test]
    fn a_hostile_archive_stays_where_it_belongs() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(home.path().join("secret"), "host").unwrap();
        let secret = home.path().join("secret");
        let file = EntryType::Regular;
        assert!(write(&root, &[("../secret", file, "evil")], 1 << 20).is_err());
        assert!(write(&root, &[("grab", EntryType::Link, "../../secret")], 1 << 20).is_err());
        let outside = home.path().to_str().unwrap();
        // Resolved inside of the root, where nothing of that name is.
        let absolute = [("way", EntryType::Symlink, outside), ("way/secret", file, "evil")];
        assert!(write(&root, &absolute, 1 << 20).is_err());
        let up = [("up", EntryType::Symlink, "../../../.."), ("up/secret", file, "evil")];
        write(&root, &up, 1 << 20).unwrap();
        assert_eq!(std::fs::read_to_string(root.join("secret")).unwrap(), "evil");
        let over =
            [("a", EntryType::Symlink, "/secret"), ("a", file, "mine"), ("d/", EntryType::Directory, "")];
        write(&root, &over, 1 << 20).unwrap();
        assert_eq!(std::fs::read_to_string(root.join("in/a")).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "host");
        let error = write(&root, &[("a", file, "0123456789")], 100).unwrap_err();
        assert!(error.to_string().contains("together"), "{error}");
    }
}
