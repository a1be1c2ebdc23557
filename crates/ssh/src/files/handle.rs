//! What a client has open.

use std::ffi::OsString;
use std::fs::{File, ReadDir};
use std::path::PathBuf;

use super::status::Refusal;

/// How many files and directories a client may have open.
pub(super) const HANDLES: usize = 256;

/// Something open.
#[derive(Debug)]
pub(super) enum Open {
    /// A file.
    File(File),
    /// A directory that is being listed.
    Directory(Listing),
}

/// A directory and how far it was told.
#[derive(Debug)]
pub(super) struct Listing {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Names that were read and not told yet, the first at the end.
    pub(super) names: Vec<OsString>,
    /// The rest.
    pub(super) rest: ReadDir,
}

/// All of it; a handle is a place in this table.
#[derive(Debug, Default)]
pub(super) struct Handles(Vec<Option<Open>>);

impl Handles {
    /// Keeps something open and returns its handle.
    pub(super) fn insert(&mut self, open: Open) -> Result<[u8; 4], Refusal> {
        let place = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if place >= HANDLES {
            return Err(Refusal::failure("too many files are open; close one first"));
        }
        match self.0.get_mut(place) {
            Some(free) => *free = Some(open),
            None => self.0.push(Some(open)),
        }
        Ok(u32::try_from(place).unwrap_or(u32::MAX).to_be_bytes())
    }

    /// Returns an open file.
    pub(super) fn file(&self, handle: &[u8]) -> Result<&File, Refusal> {
        match place(handle).and_then(|place| self.0.get(place)) {
            Some(Some(Open::File(file))) => Ok(file),
            _ => Err(unknown()),
        }
    }

    /// Returns an open directory.
    pub(super) fn directory(&mut self, handle: &[u8]) -> Result<&mut Listing, Refusal> {
        match place(handle).and_then(|place| self.0.get_mut(place)) {
            Some(Some(Open::Directory(listing))) => Ok(listing),
            _ => Err(unknown()),
        }
    }

    /// Closes what a handle stands for.
    pub(super) fn close(&mut self, handle: &[u8]) -> Result<(), Refusal> {
        let open = place(handle).and_then(|place| self.0.get_mut(place)).and_then(Option::take);
        open.map(drop).ok_or_else(unknown)
    }
}

fn place(handle: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(handle.try_into().ok()?)).ok()
}

fn unknown() -> Refusal {
    Refusal::failure("nothing is open under this handle")
}
