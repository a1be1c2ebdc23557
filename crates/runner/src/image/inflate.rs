//! Reads an archive as registries have it: compressed with gzip, with zstd, or not at all.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const BUFFER_BYTES: usize = 256 << 10;
/// The most that an archive may ask a reader to remember, as a power of two: 128 MiB, what all tools allow.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Begins to read a file from its start. Its first bytes tell how it is compressed, whatever anybody says: what comes out
/// must have the right digest anyway.
pub(super) fn open(file: &File) -> io::Result<Box<dyn Read + Send + '_>> {
    let mut source = file;
    source.seek(SeekFrom::Start(0))?;
    let mut start = Vec::new();
    source.take(4).read_to_end(&mut start)?;
    source.seek(SeekFrom::Start(0))?;
    let buffered = BufReader::with_capacity(BUFFER_BYTES, source);
    if start.starts_with(&GZIP) {
        return Ok(Box::new(MultiGzDecoder::new(buffered)));
    }
    if start.starts_with(&ZSTD) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(buffered))
}

/// Passes bytes on and takes their digest.
pub(super) struct Hashing<R> {
    pub(super) inner: R,
    pub(super) hash: Sha256,
    pub(super) bytes: u64,
}

impl<R> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// Returns the digest of what was read, as hexadecimal.
    pub(super) fn finish(self) -> String {
        types::hex::encode(&self.hash.finalize())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(u64::try_from(read).unwrap_or_default());
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(content: &[u8]) -> io::Result<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let mut plain = Vec::new();
        open(&file)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn all_three_forms_are_read_in_all_their_parts() {
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(read(&two).unwrap(), b"one two");
        let zstd = |content: &[u8]| zstd::encode_all(content, 1).unwrap();
        assert_eq!(read(&[zstd(b"one "), zstd(b"two")].concat()).unwrap(), b"one two");
        assert_eq!(read(b"plain").unwrap(), b"plain");
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn what_is_cut_or_spoiled_is_no_archive() {
        let noise: Vec<u8> =
            (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for whole in [gzip(&noise), zstd::encode_all(noise.as_slice(), 1).unwrap()] {
            assert!(read(&whole[..whole.len() - 3]).is_err());
            assert!(read(&whole[..whole.len() / 2]).is_err());
            let mut followed = whole.clone();
            followed.extend_from_slice(b"something else");
            assert!(read(&followed).is_err());
        }
        assert!(read(&[0x1f, 0x8b]).is_err());
        assert!(read(&[0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff]).is_err());
    }
}
