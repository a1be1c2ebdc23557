//! Copies a file by sharing its blocks where the file system can (`ioctl_ficlone(2)`), else its data without the holes
//! (lseek(2), `SEEK_DATA`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::errno::{CallError, Context as _};

/// How much is read at once: what fits the cache next to a processor, twice, is compared several times faster.
const CHUNK: usize = 64 << 10;

/// Makes `to` share all blocks of `from`; whatever it held is gone. False, with nothing changed, where the file system
/// cannot do that.
pub fn share(from: &File, to: &File) -> Result<bool, CallError> {
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => Ok(false),
        Err(error) => Err(error).context("ioctl FICLONE", "file"),
    }
}

/// Copies the data of `from` into the empty file `to`, holes as holes; returns how many bytes that were.
pub fn copy(from: &File, to: &File) -> Result<u64, CallError> {
    let length = length(from)?;
    to.set_len(length).context("ftruncate", length)?;
    let mut copied = 0;
    for_each_extent(from, |start, end| {
        let (mut read, mut written) = (start, start);
        while read < end {
            let wanted = usize::try_from(end - read).unwrap_or(usize::MAX);
            let count = rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), wanted);
            if count.context("copy_file_range", read)? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).context("copy_file_range", read);
            }
        }
        copied += end - start;
        Ok(())
    })?;
    Ok(copied)
}

/// Makes `to`, an earlier [`copy`] of `from`, equal to it again by writing what differs; returns how many bytes that were.
/// Comparing is much faster than writing.
pub fn correct(from: &File, to: &File) -> Result<u64, CallError> {
    let length = length(from)?;
    to.set_len(length).context("ftruncate", length)?;
    let (mut wanted, mut present) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut corrected = 0;
    let mut compare = |start: u64, end: u64| {
        let mut at = start;
        while at < end {
            let size = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            let (Some(wanted), Some(present)) = (wanted.get_mut(..size), present.get_mut(..size)) else {
                return Err(io::Error::from(io::ErrorKind::InvalidInput)).context("compare", at);
            };
            from.read_exact_at(wanted, at).context("pread", at)?;
            to.read_exact_at(present, at).context("pread", at)?;
            if wanted != present {
                to.write_all_at(wanted, at).context("pwrite", at)?;
                corrected += end.min(at + size as u64) - at;
            }
            at += size as u64;
        }
        Ok(())
    };
    for_each_extent(from, &mut compare)?;
    // Data there that is a hole here was given back meanwhile.
    for_each_extent(to, &mut compare)?;
    Ok(corrected)
}

fn length(file: &File) -> Result<u64, CallError> {
    Ok(file.metadata().context("fstat", "file")?.len())
}

/// Calls with the start and the end of every run of data of the file.
fn for_each_extent(
    file: &File,
    mut call: impl FnMut(u64, u64) -> Result<(), CallError>,
) -> Result<(), CallError> {
    let mut at = 0;
    loop {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            // Past the last data.
            Err(Errno::NXIO) => return Ok(()),
            start => start.context("lseek SEEK_DATA", at)?,
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).context("lseek SEEK_HOLE", start)?;
        call(start, end)?;
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn file(name: &str) -> File {
        let path = std::env::temp_dir().join(format!("share-{}-{name}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    fn content(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(length(file).unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn blocks(file: &File) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        file.metadata().unwrap().blocks()
    }

    #[test]
    fn a_copy_has_the_data_and_the_holes() {
        let (from, to) = (file("from"), file("to"));
        from.set_len(64 * MIB).unwrap();
        for (at, byte) in [(0, 1), (5 * MIB + 3, 2), (63 * MIB, 3)] {
            from.write_all_at(&[byte; 5000], at).unwrap();
        }
        let copied = copy(&from, &to).unwrap();
        assert!((15_000..MIB).contains(&copied), "{copied}");
        assert!(content(&from) == content(&to));
        assert!(blocks(&to) * 512 < MIB);
        // Nothing differs yet; then a change, a new extent, and one that became a hole.
        assert_eq!(correct(&from, &to).unwrap(), 0);
        from.write_all_at(&[9; 10], 2000).unwrap();
        from.write_all_at(&[8; 10], 30 * MIB).unwrap();
        let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&from, flags, 63 * MIB, MIB).unwrap();
        assert!(correct(&from, &to).unwrap() > 0);
        assert!(content(&from) == content(&to));
    }

    #[test]
    fn what_cannot_be_shared_is_left_as_it_is() {
        let (from, to) = (file("shared-from"), file("shared-to"));
        from.write_all_at(&[7; 8192], 0).unwrap();
        if share(&from, &to).unwrap() {
            assert!(content(&from) == content(&to));
        } else {
            assert_eq!(length(&to).unwrap(), 0);
        }
    }
}
