//! Extended attributes as they lie on the device: changes the ids in access lists and file capabilities.

use crate::ext4::layout::BLOCK;

/// Begins a block of attributes, and those that lie in an inode.
const MAGIC: u32 = 0xEA02_0000;
/// Where the first entry of a block is.
const BLOCK_HEADER: usize = 32;
const BLOCK_HASH: usize = 12;
const ENTRY_HEADER: usize = 16;
/// Kinds of names: an access list of a file, one that new files inherit, and what security modules keep.
const ACCESS_LISTS: [u8; 2] = [2, 3];
const SECURITY: u8 = 6;
const CAPABILITY: &[u8] = b"capability";
/// Entries of an access list that name a user or a group.
const NAMED: [u16; 2] = [0x02, 0x08];
/// File capabilities that hold in one user namespace alone, and where they name its root.
const CAPABILITY_REVISION: u32 = 0x0300_0000;
const CAPABILITY_ROOT: usize = 20;

/// Reads a number at an offset.
pub(super) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Reads a number at an offset.
pub(super) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Writes bytes at an offset where they fit.
pub(super) fn write(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Changes the ids in a block of attributes; tells whether any changed. What is no such block is left alone.
pub(super) fn change_block(block: &mut [u8], change: impl Fn(u32) -> Option<u32>) -> bool {
    let is_whole = block.len() == BLOCK as usize && read_u32(block, 0) == Some(MAGIC);
    if !is_whole || !change_entries(block, BLOCK_HEADER, 0, &change) {
        return false;
    }
    let hash = block_hash(block);
    write(block, BLOCK_HASH, &hash.to_le_bytes());
    true
}

/// Changes the ids in the attributes that lie in an inode from `start` on; tells whether any changed.
pub(super) fn change_inode(inode: &mut [u8], start: usize, change: impl Fn(u32) -> Option<u32>) -> bool {
    read_u32(inode, start) == Some(MAGIC) && change_entries(inode, start + 4, start + 4, &change)
}

/// Changes the entries from `first` on, whose values are counted from `origin`.
fn change_entries(
    bytes: &mut [u8],
    first: usize,
    origin: usize,
    change: &impl Fn(u32) -> Option<u32>,
) -> bool {
    let mut changed = false;
    let mut at = first;
    while let Some(entry) = Entry::read(bytes, at, origin) {
        let value = bytes.get_mut(entry.value..entry.value + entry.value_size);
        if value.is_some_and(|value| entry.change(value, change)) {
            if read_u32(bytes, at + 12) != Some(0) {
                let hash = entry.hash(bytes, at);
                write(bytes, at + 12, &hash.to_le_bytes());
            }
            changed = true;
        }
        at = entry.next;
    }
    changed
}

struct Entry {
    kind: u8,
    is_capability: bool,
    name_end: usize,
    value: usize,
    value_size: usize,
    next: usize,
}

impl Entry {
    /// Reads the entry at `at`; `None` at the end, and for what does not lie within `bytes`.
    fn read(bytes: &[u8], at: usize, origin: usize) -> Option<Self> {
        // Four zeros end the list.
        read_u32(bytes, at).filter(|start| *start != 0)?;
        let (name_length, kind) = (usize::from(*bytes.get(at)?), *bytes.get(at + 1)?);
        let value = origin + usize::from(read_u16(bytes, at + 2)?);
        let value_size = usize::try_from(read_u32(bytes, at + 8)?).ok()?;
        let name = at + ENTRY_HEADER;
        let name_end = name + name_length;
        let is_capability = bytes.get(name..name_end)? == CAPABILITY;
        bytes.get(value..value.checked_add(value_size)?)?;
        let next = name_end.next_multiple_of(4);
        Some(Self { kind, is_capability, name_end, value, value_size, next })
    }

    fn change(&self, value: &mut [u8], change: &impl Fn(u32) -> Option<u32>) -> bool {
        match self.kind {
            kind if ACCESS_LISTS.contains(&kind) => change_access_list(value, change),
            SECURITY if self.is_capability => {
                let holds_in_one =
                    read_u32(value, 0).is_some_and(|word| word >> 24 == CAPABILITY_REVISION >> 24);
                holds_in_one && change_id(value, CAPABILITY_ROOT, change)
            }
            _ => false,
        }
    }

    /// Returns what the kernel keeps to compare attributes quickly.
    fn hash(&self, bytes: &[u8], at: usize) -> u32 {
        let name = bytes.get(at + ENTRY_HEADER..self.name_end).unwrap_or_default();
        let named = name.iter().fold(0_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
        let words = self.value_size.div_ceil(4);
        let word = |index: usize| {
            let value = bytes.get(self.value..self.value + self.value_size).unwrap_or_default();
            let mut word = [0; 4];
            let part = value.get(index * 4..value.len().min(index * 4 + 4)).unwrap_or_default();
            word.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            u32::from_le_bytes(word)
        };
        (0..words).map(word).fold(named, |hash, word| hash.rotate_left(16) ^ word)
    }
}

fn change_access_list(value: &mut [u8], change: &impl Fn(u32) -> Option<u32>) -> bool {
    let (mut changed, mut at) = (false, 4);
    while let Some(tag) = read_u16(value, at) {
        if NAMED.contains(&tag) {
            changed |= change_id(value, at + 4, change);
            at += 8;
        } else {
            at += 4;
        }
    }
    changed
}

fn change_id(bytes: &mut [u8], at: usize, change: &impl Fn(u32) -> Option<u32>) -> bool {
    let Some(new) = read_u32(bytes, at).and_then(change) else { return false };
    write(bytes, at, &new.to_le_bytes());
    true
}

fn block_hash(block: &[u8]) -> u32 {
    let (mut hash, mut at) = (0_u32, BLOCK_HEADER);
    while let Some(entry) = Entry::read(block, at, 0) {
        match read_u32(block, at + 12) {
            Some(one) if one != 0 => hash = hash.rotate_left(16) ^ one,
            // One that was never counted makes the whole worth nothing.
            _ => return 0,
        }
        at = entry.next;
    }
    hash
}
