//! Packs a disk.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;

use rustix::fs::SeekFrom;

use crate::pack::{BLOCK, BLOCK_BYTES, DIGEST_BYTES, END, MOST_FRAME_BYTES, Summary, Tally, header, is_zero};

/// Writes what `disk` holds to `to`; nobody may write to the disk meanwhile. `first_id` is the host id of the
/// sandbox's root, to whom its files belong.
pub fn pack(disk: &File, first_id: u32, to: &mut impl Write) -> io::Result<Summary> {
    let disk_bytes = disk.metadata()?.len();
    if !disk_bytes.is_multiple_of(BLOCK) {
        return Err(invalid("a disk that ends within a block"));
    }
    let header = header(first_id, disk_bytes);
    to.write_all(&header)?;
    let mut frames = Frames {
        tally: Tally::new(&header),
        to,
        plain: vec![0; MOST_FRAME_BYTES],
        packed: vec![0; lz4_flex::block::get_maximum_output_size(MOST_FRAME_BYTES)],
    };
    let mut at = 0;
    while let Some((from, end)) = next_extent(disk, at, disk_bytes)? {
        frames.extent(disk, from, end)?;
        at = end;
    }
    let content_bytes = frames.tally.content_bytes;
    let digest = frames.tally.finish();
    to.write_all(&END.to_le_bytes())?;
    to.write_all(&0_u32.to_le_bytes())?;
    to.write_all(&u32::try_from(DIGEST_BYTES).unwrap_or_default().to_le_bytes())?;
    to.write_all(&digest)?;
    Ok(Summary { digest: types::hex::encode(&digest), first_id, disk_bytes, content_bytes })
}

/// Finds the next part of the file from `at` on that is no hole, as whole blocks.
fn next_extent(disk: &File, at: u64, disk_bytes: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= disk_bytes {
        return Ok(None);
    }
    let from = match rustix::fs::seek(disk, SeekFrom::Data(at)) {
        Ok(from) => from,
        // There is no data up to the end.
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(disk, SeekFrom::Hole(from))?;
    let (from, end) = (from - from % BLOCK, end.next_multiple_of(BLOCK).min(disk_bytes));
    Ok(Some((from.max(at), end)))
}

struct Frames<'to, W> {
    tally: Tally,
    to: &'to mut W,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl<W: Write> Frames<'_, W> {
    /// Writes one part of the disk, which may still hold blocks of zeros.
    fn extent(&mut self, disk: &File, from: u64, end: u64) -> io::Result<()> {
        let mut at = from;
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(MOST_FRAME_BYTES);
            let mut plain = std::mem::take(&mut self.plain);
            let part = plain.get_mut(..length).ok_or_else(|| invalid("a part without room"))?;
            disk.read_exact_at(part, at)?;
            let written = self.part(at, part);
            self.plain = plain;
            written?;
            at += u64::try_from(length).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Writes the runs of blocks in `part` that are not all zeros, a frame each.
    fn part(&mut self, at: u64, part: &[u8]) -> io::Result<()> {
        let (mut run_start, mut position) = (0, 0);
        for block in part.chunks(BLOCK_BYTES) {
            if is_zero(block) {
                self.frame(at, part, run_start..position)?;
                run_start = position + BLOCK_BYTES;
            } else {
                self.tally.block(at + u64::try_from(position).map_err(io::Error::other)?, block);
            }
            position += BLOCK_BYTES;
        }
        self.frame(at, part, run_start..part.len())
    }

    fn frame(&mut self, at: u64, part: &[u8], range: std::ops::Range<usize>) -> io::Result<()> {
        let offset = at + u64::try_from(range.start).map_err(io::Error::other)?;
        let Some(plain) = part.get(range).filter(|plain| !plain.is_empty()) else { return Ok(()) };
        let packed_bytes =
            lz4_flex::block::compress_into(plain, &mut self.packed).map_err(io::Error::other)?;
        // As many bytes as there are on the disk mean that they stand as they are.
        let bytes = self.packed.get(..packed_bytes).filter(|packed| packed.len() < plain.len());
        let bytes = bytes.unwrap_or(plain);
        self.to.write_all(&offset.to_le_bytes())?;
        for length in [plain.len(), bytes.len()] {
            self.to.write_all(&u32::try_from(length).map_err(io::Error::other)?.to_le_bytes())?;
        }
        self.to.write_all(bytes)
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}
