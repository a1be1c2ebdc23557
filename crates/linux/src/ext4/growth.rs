//! Makes a file system larger: in use, by asking the kernel, or at rest, by adding groups to it ourselves.
//!
//! Asking the kernel needs `CAP_SYS_RESOURCE`, which not every host gives its root; hence the second way. Neither needs
//! space set aside when the disk was made: descriptors of groups beyond those that the first blocks can describe lie
//! among the groups themselves (`meta_bg`), at the first, second and last of each 128. Growing at rest writes the
//! superblock last, so that a crash leaves the old or the new size.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::FileExt as _;

use crate::errno::{CallError, Context as _, checked};
use crate::ext4::layout::{
    BLOCK, BLOCKS_PER_GROUP, DESCRIPTOR_SIZE, GROUP_BYTES, INODE_SIZE, INODE_TABLE_BLOCKS, INODES_PER_GROUP,
    Layout, Record, bitmap,
};

const EXT4_IOC_RESIZE_FS: u64 = 0x4008_6610;
/// The superblock's place and size.
pub(super) const SUPERBLOCK: u64 = 1024;
const DESCRIPTORS_PER_BLOCK: u32 = BLOCK / DESCRIPTOR_SIZE;
const META_GROUPS: u32 = 0x10;
const NEEDS_RECOVERY: u32 = 0x4;
/// What this can grow, by the three kinds of features; the kernel adds none of the missing ones by itself.
const KNOWN: [(usize, u32); 3] =
    [(92, 0x4 | 0x8 | 0x20), (96, 0x2 | 0x40 | META_GROUPS), (100, 0x1 | 0x2 | 0x8 | 0x20 | 0x40)];

/// Returns the size that a file system of `size_bytes` really gets: whole groups.
pub const fn rounded(size_bytes: u64) -> u64 {
    size_bytes / GROUP_BYTES * GROUP_BYTES
}

/// Grows the mounted file system that `directory` is on to `size_bytes` rounded down to whole groups, while it is in
/// use. Its device must be that large already; it cannot shrink. Fails with `EPERM` without `CAP_SYS_RESOURCE`.
pub fn in_use(directory: impl AsFd, size_bytes: u64) -> Result<(), CallError> {
    let blocks = rounded(size_bytes) / u64::from(BLOCK);
    let descriptor = directory.as_fd().as_raw_fd();
    // SAFETY: the request reads one 64-bit number, which lives for the time of the call.
    let result = unsafe { libc::ioctl(descriptor, EXT4_IOC_RESIZE_FS, std::ptr::from_ref(&blocks)) };
    checked(i64::from(result)).map(drop).context("ioctl EXT4_IOC_RESIZE_FS", format_args!("{blocks} blocks"))
}

/// Reads how large the file system on `device`, a file or a block device, is.
pub fn size_bytes(device: &File) -> Result<u64, CallError> {
    Ok(u64::from(Superblock::read(device)?.u32(4)) * u64::from(BLOCK))
}

/// Tells whether the file system was not unmounted: mounting it once mends that.
pub fn needs_recovery(device: &File) -> Result<bool, CallError> {
    let superblock = Superblock::read(device)?;
    Ok(superblock.u32(96) & NEEDS_RECOVERY != 0 || superblock.u32(232) != 0)
}

/// Tells whether the journal holds changes that are not in their place yet: mounting it once puts them there.
pub fn needs_replay(device: &File) -> Result<bool, CallError> {
    Ok(Superblock::read(device)?.u32(96) & NEEDS_RECOVERY != 0)
}

/// Grows the file system in `file`, which must not be mounted, to `size_bytes` rounded down to whole groups. One that
/// is as large or larger is left as it is.
pub fn at_rest(file: &File, size_bytes: u64) -> Result<(), CallError> {
    let superblock = Superblock::read(file)?;
    superblock.check()?;
    let before = superblock.u32(4) / BLOCKS_PER_GROUP;
    let groups = u32::try_from(size_bytes / GROUP_BYTES).ok().filter(|groups| *groups <= 65_536);
    let Some(groups) = groups else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput)).context("grow ext4", size_bytes);
    };
    if groups <= before {
        return Ok(());
    }
    file.set_len(u64::from(groups) * GROUP_BYTES).context("ftruncate", size_bytes)?;
    let growth = Growth { file, before, groups, plain_blocks: superblock.plain_descriptor_blocks(before) };
    growth.write_groups()?;
    growth.write_descriptors()?;
    let grown = growth.superblock(superblock);
    for group in (1..groups).filter(|group| Layout::has_backup(*group)) {
        let mut copy = Record(grown.0.clone());
        copy.u16(90, group);
        growth.write(Layout::start(group), &copy.0)?;
    }
    file.sync_data().context("fdatasync", "new groups")?;
    file.write_all_at(&grown.0, SUPERBLOCK).context("pwrite", "superblock")?;
    file.sync_data().context("fdatasync", "superblock")
}

pub(super) struct Superblock(Record);

impl Superblock {
    pub(super) fn read(device: &File) -> Result<Self, CallError> {
        let mut block = Record::new(1024);
        device.read_exact_at(&mut block.0, SUPERBLOCK).context("pread", "superblock")?;
        let superblock = Self(block);
        if superblock.u32(56) & 0xFFFF == 0xEF53 && superblock.u32(24) == 2 {
            Ok(superblock)
        } else {
            Err(io::Error::from(io::ErrorKind::InvalidData)).context("read ext4", "superblock")
        }
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        let bytes = self.0.0.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_le_bytes).unwrap_or_default()
    }

    /// Refuses what was not made by our formatter, and what is not whole.
    fn check(&self) -> Result<(), CallError> {
        self.check_shape()?;
        // Cleanly unmounted, without an error, and no file half deleted.
        if self.u32(58) & 0xFFFF != 1 || self.u32(232) != 0 {
            return refuse("that is not whole");
        }
        Ok(())
    }

    /// Refuses what was not made by our formatter.
    pub(super) fn check_shape(&self) -> Result<(), CallError> {
        if KNOWN.into_iter().any(|(at, known)| self.u32(at) & !known != 0) || self.u32(100) & 1 == 0 {
            return refuse("with unknown features");
        }
        let shape = [(20, 0), (32, BLOCKS_PER_GROUP), (40, INODES_PER_GROUP)];
        let is_ours = shape.into_iter().all(|(at, value)| self.u32(at) == value);
        if !is_ours || self.u32(88) & 0xFFFF != INODE_SIZE || !self.u32(4).is_multiple_of(BLOCKS_PER_GROUP) {
            return refuse("of a foreign layout");
        }
        Ok(())
    }

    /// Returns how many groups there are.
    pub(super) fn groups(&self) -> u32 {
        self.u32(4) / BLOCKS_PER_GROUP
    }

    /// Returns the block that holds the descriptor of a group, and where in it.
    pub(super) fn descriptor(&self, group: u32) -> (u32, usize) {
        let table = group / DESCRIPTORS_PER_BLOCK;
        let first = table * DESCRIPTORS_PER_BLOCK;
        let is_meta = self.u32(96) & META_GROUPS != 0 && table >= self.u32(260);
        let block =
            if is_meta { Layout::start(first) + u32::from(Layout::has_backup(first)) } else { 1 + table };
        (block, (group % DESCRIPTORS_PER_BLOCK * DESCRIPTOR_SIZE) as usize)
    }

    /// Returns how many blocks of descriptors follow the superblock: all there are, or those before `meta_bg` begins.
    fn plain_descriptor_blocks(&self, groups: u32) -> u32 {
        if self.u32(96) & META_GROUPS == 0 { groups.div_ceil(DESCRIPTORS_PER_BLOCK) } else { self.u32(260) }
    }
}

fn refuse(what: &'static str) -> Result<(), CallError> {
    Err(io::Error::from(io::ErrorKind::InvalidData)).context("use ext4", what)
}

/// A growth under way: the groups from `before` to `groups` are new.
struct Growth<'a> {
    file: &'a File,
    before: u32,
    groups: u32,
    plain_blocks: u32,
}

impl Growth<'_> {
    fn write(&self, block: u32, bytes: &[u8]) -> Result<(), CallError> {
        let at = u64::from(block) * u64::from(BLOCK);
        self.file.write_all_at(bytes, at).context("pwrite", format_args!("block {block}"))
    }

    /// Tells whether the descriptors of `group` lie among the groups.
    fn is_meta(&self, group: u32) -> bool {
        group / DESCRIPTORS_PER_BLOCK >= self.plain_blocks
    }

    /// Returns how many blocks of superblock and descriptors a group begins with.
    fn head_blocks(&self, group: u32) -> u32 {
        let backup = u32::from(Layout::has_backup(group));
        if self.is_meta(group) {
            let place = group % DESCRIPTORS_PER_BLOCK;
            backup + u32::from(place <= 1 || place == DESCRIPTORS_PER_BLOCK - 1)
        } else {
            backup * (1 + self.plain_blocks)
        }
    }

    fn used_blocks(&self, group: u32) -> u32 {
        self.head_blocks(group) + 2 + INODE_TABLE_BLOCKS
    }

    fn free_blocks(&self) -> u32 {
        (self.before..self.groups).map(|group| BLOCKS_PER_GROUP - self.used_blocks(group)).sum()
    }

    fn write_groups(&self) -> Result<(), CallError> {
        for group in self.before..self.groups {
            let first = Layout::start(group) + self.head_blocks(group);
            self.write(first, &bitmap(self.used_blocks(group), BLOCKS_PER_GROUP))?;
            self.write(first + 1, &bitmap(0, INODES_PER_GROUP))?;
        }
        Ok(())
    }

    /// Writes every block of descriptors that tells of a new group, wherever it has copies, and those that follow the
    /// new copies of the superblock.
    fn write_descriptors(&self) -> Result<(), CallError> {
        for table in 0..self.groups.div_ceil(DESCRIPTORS_PER_BLOCK) {
            let first = table * DESCRIPTORS_PER_BLOCK;
            let is_meta = self.is_meta(first);
            let is_new = first + DESCRIPTORS_PER_BLOCK > self.before;
            if is_meta && !is_new {
                continue;
            }
            let mut block = Record::new(BLOCK);
            let home =
                if is_meta { Layout::start(first) + u32::from(Layout::has_backup(first)) } else { 1 + table };
            if first < self.before {
                let at = u64::from(home) * u64::from(BLOCK);
                self.file.read_exact_at(&mut block.0, at).context("pread", "descriptors")?;
            }
            for group in first.max(self.before)..self.groups.min(first + DESCRIPTORS_PER_BLOCK) {
                self.describe(&mut block, group);
            }
            if is_meta {
                for group in [first, first + 1, first + DESCRIPTORS_PER_BLOCK - 1] {
                    if group < self.groups {
                        self.write(Layout::start(group) + u32::from(Layout::has_backup(group)), &block.0)?;
                    }
                }
            } else {
                let plain_end = self.groups.min(self.plain_blocks * DESCRIPTORS_PER_BLOCK);
                for group in (0..plain_end).filter(|group| Layout::has_backup(*group)) {
                    self.write(Layout::start(group) + 1 + table, &block.0)?;
                }
            }
        }
        Ok(())
    }

    fn describe(&self, block: &mut Record, group: u32) {
        let at = (group % DESCRIPTORS_PER_BLOCK * DESCRIPTOR_SIZE) as usize;
        let first = Layout::start(group) + self.head_blocks(group);
        block.put(at, &[0; DESCRIPTOR_SIZE as usize]);
        block.u32(at, first);
        block.u32(at + 4, first + 1);
        block.u32(at + 8, first + 2);
        block.u16(at + 12, BLOCKS_PER_GROUP - self.used_blocks(group));
        block.u16(at + 14, INODES_PER_GROUP);
    }

    fn superblock(&self, before: Superblock) -> Record {
        let free_blocks = before.u32(12) + self.free_blocks();
        let free_inodes = before.u32(16) + (self.groups - self.before) * INODES_PER_GROUP;
        let features = before.u32(96);
        let mut block = before.0;
        block.u32(0, self.groups * INODES_PER_GROUP);
        block.u32(4, self.groups * BLOCKS_PER_GROUP);
        block.u32(12, free_blocks);
        block.u32(16, free_inodes);
        if self.is_meta(self.groups - 1) {
            block.u32(96, features | META_GROUPS);
            block.u32(260, self.plain_blocks);
        }
        // Blocks that hold no files, kept by the kernel as a hint: 0 says that they must be counted again.
        block.u32(584, 0);
        block
    }
}
