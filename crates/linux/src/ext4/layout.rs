//! Where the parts of the file system lie, and its structures as bytes.

pub(super) const BLOCK: u32 = 4096;
pub(super) const BLOCKS_PER_GROUP: u32 = 32_768;
pub(super) const INODES_PER_GROUP: u32 = 8192;
pub(super) const INODE_SIZE: u32 = 256;
pub(super) const INODE_TABLE_BLOCKS: u32 = INODES_PER_GROUP * INODE_SIZE / BLOCK;
pub(super) const DESCRIPTOR_SIZE: u32 = 32;
pub(super) const JOURNAL_BLOCKS: u32 = 4096;
pub(super) const ROOT_INODE: u32 = 2;
pub(super) const JOURNAL_INODE: u32 = 8;
pub(super) const LOST_AND_FOUND_INODE: u32 = 11;

/// The smallest file system this formatter makes, and the unit that sizes are rounded down to.
pub const GROUP_BYTES: u64 = BLOCK as u64 * BLOCKS_PER_GROUP as u64;

/// Where the parts of the file system lie, in blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) groups: u32,
    pub(super) descriptor_blocks: u32,
}

impl Layout {
    pub(super) fn new(size_bytes: u64) -> Option<Self> {
        let groups =
            u32::try_from(size_bytes / GROUP_BYTES).ok().filter(|groups| (1..=65_536).contains(groups))?;
        Some(Self { groups, descriptor_blocks: (groups * DESCRIPTOR_SIZE).div_ceil(BLOCK) })
    }

    /// Tells whether group `group` starts with a copy of the superblock and the descriptors.
    pub(super) fn has_backup(group: u32) -> bool {
        let power_of = |base: u32| {
            let mut power = base;
            while power < group {
                power = power.saturating_mul(base);
            }
            power == group
        };
        group <= 1 || power_of(3) || power_of(5) || power_of(7)
    }

    pub(super) fn start(group: u32) -> u32 {
        group * BLOCKS_PER_GROUP
    }

    pub(super) fn block_bitmap(self, group: u32) -> u32 {
        let backup = if Self::has_backup(group) { 1 + self.descriptor_blocks } else { 0 };
        Self::start(group) + backup
    }

    pub(super) fn inode_bitmap(self, group: u32) -> u32 {
        self.block_bitmap(group) + 1
    }

    pub(super) fn inode_table(self, group: u32) -> u32 {
        self.block_bitmap(group) + 2
    }

    /// The root directory's block; `lost+found` and the journal follow it.
    pub(super) fn root_block(self) -> u32 {
        self.inode_table(0) + INODE_TABLE_BLOCKS
    }

    pub(super) fn used_blocks(self, group: u32) -> u32 {
        let contents = if group == 0 { 2 + JOURNAL_BLOCKS } else { 0 };
        self.inode_table(group) + INODE_TABLE_BLOCKS - Self::start(group) + contents
    }

    pub(super) fn used_inodes(group: u32) -> u32 {
        if group == 0 { LOST_AND_FOUND_INODE } else { 0 }
    }
}

/// Bytes of one on-disk structure, filled field by field at the offsets that the format names.
pub(super) struct Record(pub(super) Vec<u8>);

impl Record {
    pub(super) fn new(size: u32) -> Self {
        Self(vec![0; size as usize])
    }

    pub(super) fn put(&mut self, offset: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(offset..offset + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    pub(super) fn u16(&mut self, offset: usize, value: u32) {
        self.put(offset, &u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes());
    }

    pub(super) fn u32(&mut self, offset: usize, value: u32) {
        self.put(offset, &value.to_le_bytes());
    }

    pub(super) fn big_endian(&mut self, offset: usize, value: u32) {
        self.put(offset, &value.to_be_bytes());
    }
}

/// Returns one block with the first `used` bits set, and all from `valid` on, which stand for nothing.
pub(super) fn bitmap(used: u32, valid: u32) -> Vec<u8> {
    let mut bits = vec![0_u8; BLOCK as usize];
    for (index, byte) in bits.iter_mut().enumerate() {
        let first = u32::try_from(index).unwrap_or(u32::MAX) * 8;
        // Bits below `used` from the low end, bits from `valid` on from the high end.
        let low = used.saturating_sub(first).min(8);
        let high = 8 - valid.saturating_sub(first).min(8);
        *byte = ones(low) | !ones(8 - high);
    }
    bits
}

/// Returns a byte whose lowest `count` bits are set.
fn ones(count: u32) -> u8 {
    u8::try_from((1_u32 << count) - 1).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_lie_at_powers_of_three_five_and_seven() {
        let with: Vec<u32> = (0..60).filter(|group| Layout::has_backup(*group)).collect();
        assert_eq!(with, [0, 1, 3, 5, 7, 9, 25, 27, 49]);
    }
}
