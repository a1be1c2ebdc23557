//! Formats an empty, sparse file as ext4, without an external program.
//!
//! Written from the kernel's description of the on-disk layout (Documentation/filesystems/ext4): 4 KiB blocks,
//! groups of 128 MiB, extents, a journal, indexed directories, sparse backups of the superblock, no checksums. Only
//! what is not zero is written, about 8 KiB for each group. The tests have `e2fsck` and the kernel judge the result.

mod layout;
pub mod growth;
pub mod freeze;
mod attribute;
pub mod owner;

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::errno::{CallError, Context as _};

pub use layout::GROUP_BYTES;
use layout::{
    BLOCK, BLOCKS_PER_GROUP, DESCRIPTOR_SIZE, INODE_SIZE, INODES_PER_GROUP, JOURNAL_BLOCKS, JOURNAL_INODE,
    LOST_AND_FOUND_INODE, Layout, ROOT_INODE, Record, bitmap,
};

/// Formats `file`, whose bytes must all be zero, as an ext4 file system of `size_bytes` rounded down to whole groups.
pub fn format(file: &File, size_bytes: u64, identity: [u8; 16], now_seconds: u32) -> Result<(), CallError> {
    let Some(layout) = Layout::new(size_bytes) else {
        let source = std::io::Error::from(std::io::ErrorKind::InvalidInput);
        return Err(source).context("format ext4", format_args!("{size_bytes} bytes"));
    };
    let write = |block: u32, bytes: &[u8]| {
        file.write_all_at(bytes, u64::from(block) * u64::from(BLOCK))
            .context("pwrite", format_args!("block {block}"))
    };
    file.set_len(u64::from(layout.groups) * GROUP_BYTES).context("ftruncate", size_bytes)?;
    let descriptors = descriptors(layout);
    for group in 0..layout.groups {
        write(layout.block_bitmap(group), &bitmap(layout.used_blocks(group), BLOCKS_PER_GROUP))?;
        write(layout.inode_bitmap(group), &bitmap(Layout::used_inodes(group), INODES_PER_GROUP))?;
        if Layout::has_backup(group) {
            let superblock = superblock(layout, group, identity, now_seconds);
            // The first group keeps its first 1024 bytes free for a boot loader.
            let offset =
                u64::from(Layout::start(group)) * u64::from(BLOCK) + if group == 0 { 1024 } else { 0 };
            file.write_all_at(&superblock.0, offset).context("pwrite", format_args!("superblock {group}"))?;
            write(Layout::start(group) + 1, &descriptors)?;
        }
    }
    let root = layout.root_block();
    write(layout.inode_table(0), &inodes(root, now_seconds))?;
    write(root, &directory(ROOT_INODE, &[(LOST_AND_FOUND_INODE, "lost+found")]))?;
    write(root + 1, &directory(LOST_AND_FOUND_INODE, &[]))?;
    write(root + 2, &journal_superblock(identity))
}

fn descriptors(layout: Layout) -> Vec<u8> {
    let mut table = Record::new(layout.descriptor_blocks * BLOCK);
    for group in 0..layout.groups {
        let at = (group * DESCRIPTOR_SIZE) as usize;
        table.u32(at, layout.block_bitmap(group));
        table.u32(at + 4, layout.inode_bitmap(group));
        table.u32(at + 8, layout.inode_table(group));
        table.u16(at + 12, BLOCKS_PER_GROUP - layout.used_blocks(group));
        table.u16(at + 14, INODES_PER_GROUP - Layout::used_inodes(group));
        table.u16(at + 16, if group == 0 { 2 } else { 0 });
    }
    table.0
}

fn superblock(layout: Layout, group: u32, identity: [u8; 16], now_seconds: u32) -> Record {
    const COMPATIBLE: u32 = 0x4 | 0x8 | 0x20; // journal, extended attributes, indexed directories
    const INCOMPATIBLE: u32 = 0x2 | 0x40; // file types in directories, extents
    const READ_ONLY_COMPATIBLE: u32 = 0x1 | 0x2 | 0x40; // sparse backups, large files, extra inode fields
    let used: u32 = (0..layout.groups).map(|group| layout.used_blocks(group)).sum();
    let mut block = Record::new(1024);
    block.u32(0, layout.groups * INODES_PER_GROUP);
    block.u32(4, layout.groups * BLOCKS_PER_GROUP);
    block.u32(12, layout.groups * BLOCKS_PER_GROUP - used);
    block.u32(16, layout.groups * INODES_PER_GROUP - LOST_AND_FOUND_INODE);
    block.u32(24, 2); // log2(block size) - 10
    block.u32(28, 2); // the same for clusters
    block.u32(32, BLOCKS_PER_GROUP);
    block.u32(36, BLOCKS_PER_GROUP);
    block.u32(40, INODES_PER_GROUP);
    block.u32(48, now_seconds);
    block.u16(54, 0xFFFF); // no forced check after so many mounts
    block.u16(56, 0xEF53); // magic
    block.u16(58, 1); // cleanly unmounted
    block.u16(60, 2); // on an error, go read-only
    block.u32(64, now_seconds);
    block.u32(76, 1); // revision with the features below
    block.u32(84, LOST_AND_FOUND_INODE); // first inode that is not reserved
    block.u16(88, INODE_SIZE);
    block.u16(90, group);
    block.u32(92, COMPATIBLE);
    block.u32(96, INCOMPATIBLE);
    block.u32(100, READ_ONLY_COMPATIBLE);
    block.put(104, &identity);
    block.u32(224, JOURNAL_INODE);
    block.put(236, &identity); // seed of directory hashes
    block.put(252, &[1]); // half-MD4 hashes
    block.u32(264, now_seconds);
    block.u16(348, 32); // bytes of an inode past the first 128 that are in use
    block.u16(350, 32);
    block.u32(352, 1); // directory hashes use signed characters
    block
}

/// Returns the first block of the inode table: the root, the journal and `lost+found`.
fn inodes(root_block: u32, now_seconds: u32) -> Vec<u8> {
    let mut table = Record::new(BLOCK);
    let mut inode = |number: u32, mode: u32, links: u32, first_block: u32, blocks: u32| {
        let at = ((number - 1) * INODE_SIZE) as usize;
        table.u16(at, mode);
        table.u32(at + 4, blocks * BLOCK);
        for time in [8, 12, 16] {
            table.u32(at + time, now_seconds);
        }
        table.u16(at + 26, links);
        table.u32(at + 28, blocks * BLOCK / 512);
        table.u32(at + 32, 0x8_0000); // uses extents
        table.u16(at + 40, 0xF30A); // extent header: magic, one entry of at most four, a leaf
        table.u16(at + 42, 1);
        table.u16(at + 44, 4);
        table.u16(at + 56, blocks);
        table.u32(at + 60, first_block);
        table.u16(at + 128, 32);
    };
    inode(ROOT_INODE, 0o040_755, 3, root_block, 1);
    inode(JOURNAL_INODE, 0o100_600, 1, root_block + 2, JOURNAL_BLOCKS);
    // Inode 11 lies in the same block: 16 inodes fit one.
    inode(LOST_AND_FOUND_INODE, 0o040_700, 2, root_block + 1, 1);
    table.0
}

/// Returns a directory's only block. Its parent is always the root.
fn directory(own: u32, entries: &[(u32, &str)]) -> Vec<u8> {
    let mut block = Record::new(BLOCK);
    let all: Vec<(u32, &str)> =
        [(own, "."), (ROOT_INODE, "..")].into_iter().chain(entries.iter().copied()).collect();
    let mut at = 0;
    for (index, (inode, name)) in all.iter().enumerate() {
        let needed = (8 + name.len()).next_multiple_of(4);
        let length = if index + 1 == all.len() { BLOCK as usize - at } else { needed };
        block.u32(at, *inode);
        block.u16(at + 4, u32::try_from(length).unwrap_or_default());
        block.put(at + 6, &[u8::try_from(name.len()).unwrap_or_default(), 2]);
        block.put(at + 8, name.as_bytes());
        at += length;
    }
    block.0
}

/// Returns the journal's first block; unlike everything else it is big-endian.
fn journal_superblock(identity: [u8; 16]) -> Vec<u8> {
    let mut block = Record::new(BLOCK);
    block.big_endian(0, 0xC03B_3998); // magic
    block.big_endian(4, 4); // a superblock of the second version
    block.big_endian(12, BLOCK);
    block.big_endian(16, JOURNAL_BLOCKS);
    block.big_endian(20, 1); // first block of the log
    block.big_endian(24, 1); // first sequence number; a start of 0 says that the log is empty
    block.put(48, &identity);
    block.big_endian(64, 1); // users
    block.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_below_a_group_are_refused() {
        let file = tempfile();
        assert!(format(&file, GROUP_BYTES - 1, [1; 16], 0).is_err());
    }

    #[test]
    fn e2fsck_finds_nothing_to_mend() {
        for gibibytes in [1_u64, 3, 17] {
            let path = std::env::temp_dir().join(format!("ext4-{}-{gibibytes}", std::process::id()));
            let file = File::create(&path).unwrap();
            format(&file, gibibytes << 30, [7; 16], 1_700_000_000).unwrap();
            let check = std::process::Command::new("e2fsck").arg("-fn").arg(&path).output();
            std::fs::remove_file(&path).unwrap();
            let check = check.expect("e2fsck is missing: apt-get install e2fsprogs");
            assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        }
    }

    fn tempfile() -> File {
        let path = std::env::temp_dir().join(format!("ext4-small-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }
}
