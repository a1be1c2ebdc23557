//! A part of a log that is kept or let go as a whole.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::session::allowance::Grant;

/// How long a part in memory is at most.
pub const MEMORY_BYTES: usize = 32 * 1024;
/// How long a part in a file is at most.
pub const FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Where files without a name are made: the first that takes one.
const DIRECTORIES: [&str; 2] = ["/var/tmp", "/tmp"];

/// A part of a log, made of whole records.
#[derive(Debug)]
pub struct Segment {
    /// Where it begins in the log.
    pub start: u64,
    /// How much had been printed to each stream before it.
    pub before: [u64; 2],
    /// How long it is.
    pub length: u64,
    /// Where it is kept.
    pub place: Place,
    /// What it may take.
    pub grant: Grant,
    /// What lets it have a file.
    pub file_grant: Option<Grant>,
}

/// Where a part of a log is kept.
#[derive(Debug)]
pub enum Place {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file that has no name.
    File(Arc<File>),
}

impl Segment {
    /// Starts empty; the log decides where it begins.
    pub const fn new(place: Place, grant: Grant, file_grant: Option<Grant>) -> Self {
        Self { start: 0, before: [0; 2], length: 0, place, grant, file_grant }
    }

    /// Where it ends in the log.
    pub const fn end(&self) -> u64 {
        self.start + self.length
    }

    /// Returns whether a record fits.
    pub fn has_room(&self, bytes: usize) -> bool {
        let limit = match self.place {
            // A single record may be longer than what many small ones may come to.
            Place::Memory(_) if self.length == 0 => return true,
            Place::Memory(_) => MEMORY_BYTES as u64,
            Place::File(_) => FILE_BYTES,
        };
        self.length + bytes as u64 <= limit
    }
}

/// Makes a file that has no name; blocks.
pub fn nameless_file() -> std::io::Result<File> {
    let mut outcome = Err(std::io::ErrorKind::NotFound.into());
    for directory in DIRECTORIES {
        outcome = nameless_file_in(Path::new(directory));
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn nameless_file_in(directory: &Path) -> std::io::Result<File> {
    // Not every file system can make a file that never had a name (open(2)).
    let flags = i32::try_from((OFlags::TMPFILE | OFlags::CLOEXEC).bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options.custom_flags(flags).open(directory).or_else(|_| {
        let random = types::random::hex_token(&types::random::SystemRandom, 16);
        let path = directory.join(format!(".daytona-log-{random}"));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    })
}
