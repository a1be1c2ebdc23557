//! Gives all files of a file system at rest to other ids, and the file system another name.
//!
//! Owners are changed where they lie, in the tables of inodes, and not through a mount: no path is walked, however deep
//! a tenant made it; the kernel drops neither set-id bits nor capabilities; and a table is read in one piece.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use rustix::fs::SeekFrom;

use crate::errno::{CallError, Context as _};
use crate::ext4::attribute::{change_block, change_inode, read_u16, read_u32, write};
use crate::ext4::growth::{SUPERBLOCK, Superblock, needs_replay};
use crate::ext4::layout::{BLOCK, INODE_SIZE, INODE_TABLE_BLOCKS, Layout};

/// How much of a table is read at once.
const CHUNK: u64 = 512 << 10;
/// Where a superblock keeps the file system's UUID.
const IDENTITY: u64 = 104;

/// Which ids become which: `count` from `from` on become those from `to` on; all others stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// The first id that changes.
    pub from: u32,
    /// What it becomes.
    pub to: u32,
    /// How many follow each other.
    pub count: u32,
}

impl Shift {
    fn of(self, id: u32) -> Option<u32> {
        let offset = id.checked_sub(self.from).filter(|offset| *offset < self.count)?;
        self.to.checked_add(offset)
    }
}

/// Changes the owners of all files in the file system in `file`, with the ids in access lists and file capabilities;
/// returns how many inodes changed. It must not be mounted, and its journal must be empty. Doing it again, after a crash
/// in the middle, changes the rest, as long as the two ranges do not overlap.
pub fn shift(file: &File, shift: Shift) -> Result<u64, CallError> {
    let superblock = Superblock::read(file)?;
    superblock.check_shape()?;
    if needs_replay(file)? {
        return Err(io::Error::from(io::ErrorKind::ResourceBusy))
            .context("use ext4", "with a journal to replay");
    }
    let mut work = Work { file, shift, changed: 0, blocks: BTreeSet::new() };
    for group in 0..superblock.groups() {
        let (block, at) = superblock.descriptor(group);
        let mut descriptor = [0; 12];
        let offset = offset(block) + at as u64;
        file.read_exact_at(&mut descriptor, offset).context("pread", format_args!("descriptor {group}"))?;
        let table = offset_of_table(&descriptor);
        work.change_table(table..table + u64::from(INODE_TABLE_BLOCKS) * u64::from(BLOCK))?;
    }
    work.change_blocks()?;
    Ok(work.changed)
}

/// Gives the file system in `file`, which must not be mounted, another UUID: two with the same one are one to much that
/// runs on a host. Hashes of directories have a seed of their own and stay as they are.
pub fn identify(file: &File, identity: [u8; 16]) -> Result<(), CallError> {
    let superblock = Superblock::read(file)?;
    superblock.check_shape()?;
    for group in (1..superblock.groups()).filter(|group| Layout::has_backup(*group)) {
        file.write_all_at(&identity, offset(Layout::start(group)) + IDENTITY)
            .context("pwrite", format_args!("superblock {group}"))?;
    }
    file.write_all_at(&identity, SUPERBLOCK + IDENTITY).context("pwrite", "superblock")
}

fn offset(block: u32) -> u64 {
    u64::from(block) * u64::from(BLOCK)
}

fn offset_of_table(descriptor: &[u8]) -> u64 {
    offset(read_u32(descriptor, 8).unwrap_or_default())
}

struct Work<'a> {
    file: &'a File,
    shift: Shift,
    changed: u64,
    /// Blocks of attributes, which several inodes may share.
    blocks: BTreeSet<u64>,
}

impl Work<'_> {
    /// Changes the inodes of a table; what of it was never written holds none.
    fn change_table(&mut self, table: Range<u64>) -> Result<(), CallError> {
        let mut at = table.start;
        let mut buffer = Vec::new();
        while at < table.end {
            let start = match rustix::fs::seek(self.file, SeekFrom::Data(at)) {
                Err(rustix::io::Errno::NXIO) => return Ok(()),
                start => start.context("lseek SEEK_DATA", at)?,
            };
            let start = (start / u64::from(BLOCK) * u64::from(BLOCK)).max(at);
            if start >= table.end {
                return Ok(());
            }
            let end = rustix::fs::seek(self.file, SeekFrom::Hole(start)).context("lseek SEEK_HOLE", start)?;
            let end = end.next_multiple_of(u64::from(BLOCK)).min(table.end).min(start + CHUNK);
            buffer.resize(usize::try_from(end - start).unwrap_or_default(), 0);
            self.file.read_exact_at(&mut buffer, start).context("pread", "inodes")?;
            let before = self.changed;
            for inode in buffer.chunks_exact_mut(INODE_SIZE as usize) {
                self.changed += u64::from(self.change(inode));
            }
            if self.changed > before {
                self.file.write_all_at(&buffer, start).context("pwrite", "inodes")?;
            }
            at = end;
        }
        Ok(())
    }

    /// Changes one inode; tells whether it changed.
    fn change(&mut self, inode: &mut [u8]) -> bool {
        const LINKS: usize = 26;
        // Each id is in two halves, of the user and of the group.
        const OWNERS: [(usize, usize); 2] = [(2, 120), (24, 122)];
        const ATTRIBUTES: (usize, usize) = (104, 118);
        const EXTRA: usize = 128;
        let shift = self.shift;
        let mut changed = false;
        for (low, high) in OWNERS {
            let halves = read_u16(inode, low).zip(read_u16(inode, high));
            let id = halves.map(|(low, high)| u32::from(high) << 16 | u32::from(low));
            if let Some(new) = id.and_then(|id| shift.of(id)) {
                let [a, b, c, d] = new.to_le_bytes();
                write(inode, low, &[a, b]);
                write(inode, high, &[c, d]);
                changed = true;
            }
        }
        // The attributes of a file that is gone may lie where another's data is now.
        if read_u16(inode, LINKS).is_some_and(|links| links > 0) {
            let low = read_u32(inode, ATTRIBUTES.0).unwrap_or_default();
            let high = read_u16(inode, ATTRIBUTES.1).unwrap_or_default();
            let block = u64::from(high) << 32 | u64::from(low);
            if block != 0 {
                self.blocks.insert(block);
            }
            let extra = usize::from(read_u16(inode, EXTRA).unwrap_or_default());
            changed |= change_inode(inode, EXTRA + extra, |id| shift.of(id));
        }
        changed
    }

    fn change_blocks(&mut self) -> Result<(), CallError> {
        let mut buffer = vec![0; BLOCK as usize];
        for block in &self.blocks {
            let offset = block * u64::from(BLOCK);
            self.file.read_exact_at(&mut buffer, offset).context("pread", "attributes")?;
            if change_block(&mut buffer, |id| self.shift.of(id)) {
                self.file.write_all_at(&buffer, offset).context("pwrite", "attributes")?;
            }
        }
        Ok(())
    }
}
