//! Unpacks a disk that nobody trusts until its digest is known.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use crate::pack::{
    BLOCK, BLOCK_BYTES, DIGEST_BYTES, END, FRAME_HEADER_BYTES, HEADER_BYTES, MAGIC, MOST_FRAME_BYTES,
    Summary, Tally, VERSION, is_zero,
};

/// Why a disk could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// What was read is no packed disk, or is not the one that was meant.
    #[error("{0}")]
    Damaged(String),
    /// It could not be read.
    #[error("read it")]
    Read(#[source] io::Error),
    /// The disk could not be written.
    #[error("write the disk")]
    Write(#[source] io::Error),
}

fn damaged(reason: impl Into<String>) -> UnpackError {
    UnpackError::Damaged(reason.into())
}

/// Writes the packed disk that `from` reads to `disk`, an empty file; it becomes at most `most_bytes` large. What was
/// written is worth nothing unless this returns, and then it is what had `digest` when it was packed.
///
/// Holds two frames in memory, whatever `from` says of itself.
pub fn unpack(
    from: &mut impl Read,
    disk: &File,
    most_bytes: u64,
    digest: &str,
) -> Result<Summary, UnpackError> {
    let mut header = [0; HEADER_BYTES];
    fill(from, &mut header)?;
    let (first_id, disk_bytes) = read_header(&header, most_bytes)?;
    disk.set_len(disk_bytes).map_err(UnpackError::Write)?;
    let mut frames = Frames {
        tally: Tally::new(&header),
        from,
        packed: vec![0; MOST_FRAME_BYTES],
        plain: vec![0; MOST_FRAME_BYTES],
        end: 0,
        disk_bytes,
    };
    while frames.next(disk)? {}
    let mut told = [0; DIGEST_BYTES];
    fill(frames.from, &mut told)?;
    let rest = frames.from.read(&mut [0]).map_err(UnpackError::Read)?;
    if rest > 0 {
        return Err(damaged("it goes on after its end"));
    }
    let content_bytes = frames.tally.content_bytes;
    let found = frames.tally.finish();
    let summary = Summary { digest: types::hex::encode(&found), first_id, disk_bytes, content_bytes };
    if found != told {
        return Err(damaged(format!(
            "its content has the digest {}, its end says otherwise",
            summary.digest
        )));
    }
    if summary.digest != digest {
        return Err(damaged(format!("its digest is {}, that of the backup is {digest}", summary.digest)));
    }
    Ok(summary)
}

/// Reads the header: the first id and the size of the disk.
fn read_header(header: &[u8; HEADER_BYTES], most_bytes: u64) -> Result<(u32, u64), UnpackError> {
    let fields = || {
        let (magic, rest) = header.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let (first_id, rest) = rest.split_first_chunk::<4>()?;
        let disk_bytes = rest.first_chunk::<8>()?;
        Some((
            magic,
            u32::from_le_bytes(*version),
            u32::from_le_bytes(*first_id),
            u64::from_le_bytes(*disk_bytes),
        ))
    };
    let (magic, version, first_id, disk_bytes) = fields().ok_or_else(|| damaged("it has no header"))?;
    if magic != MAGIC {
        return Err(damaged("it is no packed disk"));
    }
    if version != VERSION {
        return Err(damaged(format!("it has version {version} of the format, this server reads {VERSION}")));
    }
    if disk_bytes > most_bytes || !disk_bytes.is_multiple_of(BLOCK) {
        return Err(damaged(format!("its disk has {disk_bytes} bytes, the sandbox's has {most_bytes}")));
    }
    Ok((first_id, disk_bytes))
}

/// Fills a buffer; an object that ends too early is damaged.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<(), UnpackError> {
    from.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it ends before its end"),
        _ => UnpackError::Read(error),
    })
}

struct Frames<'from, R> {
    tally: Tally,
    from: &'from mut R,
    packed: Vec<u8>,
    plain: Vec<u8>,
    /// Where the last frame ended on the disk.
    end: u64,
    disk_bytes: u64,
}

impl<R: Read> Frames<'_, R> {
    /// Reads the next frame onto the disk; false when there is none.
    fn next(&mut self, disk: &File) -> Result<bool, UnpackError> {
        let mut header = [0; FRAME_HEADER_BYTES];
        fill(self.from, &mut header)?;
        let fields = || {
            let (at, rest) = header.split_first_chunk::<8>()?;
            let (plain, rest) = rest.split_first_chunk::<4>()?;
            let packed = rest.first_chunk::<4>()?;
            let length = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).ok();
            Some((u64::from_le_bytes(*at), length(plain)?, length(packed)?))
        };
        let (at, plain_bytes, packed_bytes) = fields().ok_or_else(|| damaged("a frame without a header"))?;
        if at == END {
            let is_end = plain_bytes == 0 && packed_bytes == DIGEST_BYTES;
            return if is_end { Ok(false) } else { Err(damaged("its end is no end")) };
        }
        let end = at.checked_add(u64::try_from(plain_bytes).unwrap_or(u64::MAX));
        let end = end.filter(|end| at >= self.end && at.is_multiple_of(BLOCK) && *end <= self.disk_bytes);
        let end =
            end.ok_or_else(|| damaged(format!("a frame at {at} lies outside its disk, or before another")))?;
        let is_whole = (BLOCK_BYTES..=MOST_FRAME_BYTES).contains(&plain_bytes)
            && plain_bytes.is_multiple_of(BLOCK_BYTES)
            && (1..=plain_bytes).contains(&packed_bytes);
        if !is_whole {
            return Err(damaged(format!("a frame of {packed_bytes} bytes for {plain_bytes}")));
        }
        self.end = end;
        let packed = self.packed.get_mut(..packed_bytes).ok_or_else(|| damaged("a frame too large"))?;
        fill(self.from, packed)?;
        let plain = if packed_bytes == plain_bytes {
            &*packed
        } else {
            let plain = self.plain.get_mut(..plain_bytes).ok_or_else(|| damaged("a frame too large"))?;
            match lz4_flex::block::decompress_into(packed, plain) {
                Ok(length) if length == plain_bytes => &*plain,
                Ok(_) => return Err(damaged(format!("the frame at {at} holds less than it says"))),
                Err(error) => return Err(damaged(format!("the frame at {at} cannot be unpacked: {error}"))),
            }
        };
        let mut place = at;
        for block in plain.chunks(BLOCK_BYTES) {
            if !is_zero(block) {
                self.tally.block(place, block);
            }
            place += BLOCK;
        }
        disk.write_all_at(plain, at).map_err(UnpackError::Write)?;
        Ok(true)
    }
}
