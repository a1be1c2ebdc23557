//! A file that is being read out, piece by piece, with a length that is known beforehand.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::OFlags;

use crate::error::DaemonError;

const ACTION: &str = "read";
/// Large enough that a thread's wake-up does not show, small enough to have many at once.
const PIECE_BYTES: u64 = 256 * 1024;
/// Files of /proc and /sys say that they are empty; this much of them is read to find out.
const UNSIZED_BYTES: u64 = 4 * 1024 * 1024;

/// A file on its way out.
#[derive(Debug, Clone)]
pub struct Outgoing {
    path: PathBuf,
    contents: Contents,
}

#[derive(Debug, Clone)]
enum Contents {
    Stored { file: Arc<File>, length_bytes: u64 },
    Read(Bytes),
}

impl Outgoing {
    /// Opens a regular file; anything else might block its reader or never end.
    pub fn open(path: &Path) -> Result<Self, DaemonError> {
        let failed = |error| DaemonError::file(ACTION, path, error);
        let refused = |reason: &str| DaemonError::InvalidPath {
            action: ACTION,
            path: path.to_string_lossy().into_owned(),
            reason: reason.to_owned(),
        };
        let check = |metadata: &std::fs::Metadata| {
            if metadata.is_dir() {
                Err(refused("it is a directory; name files, or pack it with `tar` first"))
            } else if metadata.is_file() {
                Ok(())
            } else {
                Err(refused("it is no regular file; copy what it delivers into one first"))
            }
        };
        check(&std::fs::metadata(path).map_err(failed)?)?;
        // Without waiting, should a pipe have taken the file's place in between.
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        check(&metadata)?;
        let contents = if metadata.len() == 0 {
            let mut read = Vec::new();
            (&file).take(UNSIZED_BYTES).read_to_end(&mut read).map_err(failed)?;
            Contents::Read(read.into())
        } else {
            Contents::Stored { file: Arc::new(file), length_bytes: metadata.len() }
        };
        Ok(Self { path: path.to_owned(), contents })
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of bytes it had when it was opened.
    pub fn length_bytes(&self) -> u64 {
        match &self.contents {
            Contents::Stored { length_bytes, .. } => *length_bytes,
            Contents::Read(bytes) => bytes.len() as u64,
        }
    }

    /// Reads the next piece from `offset`, ending before `end`; a file that has become shorter is an error, because
    /// its length is promised already.
    pub fn read(&self, offset: u64, end: u64) -> Result<Bytes, DaemonError> {
        let wanted = usize::try_from(end.saturating_sub(offset).min(PIECE_BYTES)).unwrap_or(0);
        match &self.contents {
            Contents::Read(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(start..(start + wanted).min(bytes.len())))
            }
            Contents::Stored { file, .. } => {
                let mut piece = Vec::with_capacity(wanted);
                let failed = |error: std::io::Error| DaemonError::file(ACTION, &self.path, error);
                while piece.is_empty() {
                    match rustix::io::pread(&**file, rustix::buffer::spare_capacity(&mut piece), offset) {
                        Ok(0) => return Err(failed(std::io::ErrorKind::UnexpectedEof.into())),
                        Ok(_) | Err(rustix::io::Errno::INTR) => {}
                        Err(error) => return Err(failed(error.into())),
                    }
                }
                // The allocator may have given more room than was asked for.
                piece.truncate(wanted);
                Ok(piece.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_in_pieces_to_its_promised_end() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("file");
        let contents: Vec<u8> = (0..600_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        std::fs::write(&path, &contents).expect("write");
        let outgoing = Outgoing::open(&path).expect("open");
        let mut read = Vec::new();
        while (read.len() as u64) < outgoing.length_bytes() {
            let piece = outgoing.read(read.len() as u64, outgoing.length_bytes()).expect("piece");
            assert!(piece.len() as u64 <= PIECE_BYTES && !piece.is_empty());
            read.extend_from_slice(&piece);
        }
        assert!(read == contents);
        std::fs::write(&path, "shorter").expect("write");
        outgoing.read(100, 600_000).expect_err("the promise cannot be kept");
    }

    #[test]
    fn kernel_files_have_contents_and_the_rest_is_refused() {
        let version = Outgoing::open(Path::new("/proc/version")).expect("open");
        assert!(version.read(0, version.length_bytes()).expect("read").starts_with(b"Linux"));
        for (path, status) in [("/dev/zero", 400), ("/tmp", 400), ("/no/such", 404), ("/etc/passwd/x", 400)] {
            let error = Outgoing::open(Path::new(path)).expect_err(path);
            assert_eq!(error.status_and_code().0, status, "{path}: {error}");
        }
    }
}
