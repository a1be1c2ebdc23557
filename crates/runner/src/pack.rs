//! A sparse disk as a stream: what has been written to it, compressed, and a digest that tells whether it came back.
//!
//! All numbers are little-endian.
//!
//! ```text
//! header   8  `DAYTDISK`
//!          4  version, 1
//!          4  the host id that was the sandbox's root when the disk was packed
//!          8  size of the disk in bytes, a multiple of 4096
//! frame    8  where its bytes lie on the disk, a multiple of 4096; never before the end of the frame before it
//!          4  how many bytes, from 4096 to 1 MiB, a multiple of 4096
//!          4  how many bytes follow: fewer if they are compressed (one LZ4 block), as many if they are not
//!          …  the bytes
//! end      8  2⁶⁴ − 1
//!          4  0
//!          4  32
//!         32  the digest
//! ```
//!
//! Between frames the disk is zero, and nothing follows the end. The digest is the SHA-256 of the header and then, for
//! each block of 4096 bytes that is not all zeros, of where it lies (8 bytes) and what it holds: it depends on the disk
//! and not on how the disk was cut into frames or compressed. LZ4 rather than something that makes smaller objects,
//! because its decoder is safe Rust: an object storage is not trusted, and the server is root.

pub mod write;
pub mod read;

use sha2::{Digest as _, Sha256};

pub use read::{UnpackError, unpack};
pub use write::pack;

/// Begins every packed disk.
const MAGIC: &[u8; 8] = b"DAYTDISK";
/// Version of the format.
const VERSION: u32 = 1;
/// Size of the header.
const HEADER_BYTES: usize = 24;
/// Size of what stands before a frame's bytes.
const FRAME_HEADER_BYTES: usize = 16;
/// Size of the digest.
const DIGEST_BYTES: usize = 32;
/// What a disk is made of.
const BLOCK_BYTES: usize = 4096;
/// The same, for arithmetic with places on a disk.
const BLOCK: u64 = 4096;
/// The most that a frame holds of the disk.
const MOST_FRAME_BYTES: usize = 1 << 20;
/// Stands in the place of a frame that is none.
const END: u64 = u64::MAX;

/// What is known of a disk that was packed or unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// SHA-256 of what it holds, as lowercase hexadecimal.
    pub digest: String,
    /// The host id that was the sandbox's root when it was packed.
    pub first_id: u32,
    /// Its size.
    pub disk_bytes: u64,
    /// How much of it is not zero.
    pub content_bytes: u64,
}

/// Encodes the header.
fn header(first_id: u32, disk_bytes: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let fields: [&[u8]; 4] =
        [MAGIC, &VERSION.to_le_bytes(), &first_id.to_le_bytes(), &disk_bytes.to_le_bytes()];
    for (byte, value) in header.iter_mut().zip(fields.concat()) {
        *byte = value;
    }
    header
}

/// Takes the digest of a disk, block for block.
#[derive(Debug)]
struct Tally {
    hash: Sha256,
    content_bytes: u64,
}

impl Tally {
    fn new(header: &[u8; HEADER_BYTES]) -> Self {
        Self { hash: Sha256::new_with_prefix(header), content_bytes: 0 }
    }

    /// Takes note of the block at `at`, which is not all zeros.
    fn block(&mut self, at: u64, block: &[u8]) {
        self.hash.update(at.to_le_bytes());
        self.hash.update(block);
        self.content_bytes += BLOCK;
    }

    fn finish(self) -> [u8; DIGEST_BYTES] {
        self.hash.finalize().into()
    }
}

/// Tells whether a block holds nothing.
fn is_zero(block: &[u8]) -> bool {
    const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    block == ZEROS.get(..block.len()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
