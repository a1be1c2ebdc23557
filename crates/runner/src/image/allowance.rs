//! How much an image may unpack to, counted over all its layers while they are unpacked.

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

/// What all files of a layer may claim to hold together, whoever orders it.
const MOST_BYTES: u64 = 64 << 30;
/// What each entry costs besides what it holds: a file has at least a block.
pub(crate) const ENTRY_BYTES: u64 = 4096;
/// The most that may stand before the content of one entry: long names, attributes, maps of holes. All of it is read
/// into memory.
const MOST_HEADER_BYTES: u64 = 1 << 20;
/// The most that may come after the last entry; programs that write to tapes fill up blocks.
const MOST_TAIL_BYTES: u64 = 16 << 20;

/// What is left.
#[derive(Debug)]
pub struct Allowance {
    left: AtomicU64,
    most: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self::new(MOST_BYTES)
    }
}

impl Allowance {
    /// Begins with so many bytes, or with what is the most for anybody.
    pub fn new(bytes: u64) -> Self {
        let most = bytes.min(MOST_BYTES);
        Self { left: AtomicU64::new(most), most }
    }

    /// Takes from what is left, or says that it is used up.
    pub(crate) fn take(&self, bytes: u64) -> io::Result<()> {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| invalid(&format!("files of more than {} together", size(self.most))))
    }
}

/// Writes a size in the largest unit that divides it.
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{} {name}", bytes / unit))
}

/// Lets no more through than the present part of an archive may have.
#[derive(Debug)]
pub(crate) struct Meter<'part, R> {
    inner: R,
    part: &'part Part,
}

/// The present part of an archive, known to who reads it and to the meter below.
#[derive(Debug, Default)]
pub(crate) struct Part {
    read: Cell<u64>,
    most: Cell<Option<u64>>,
}

impl Part {
    /// From here on comes what stands before an entry.
    pub(crate) fn begin_header(&self) {
        self.read.set(0);
        self.most.set(Some(MOST_HEADER_BYTES));
    }

    /// From here on comes its content, whose size is known; returns how much came before.
    pub(crate) fn begin_content(&self) -> u64 {
        self.most.set(None);
        self.read.get()
    }

    /// From here on nothing comes but the end.
    pub(crate) fn begin_tail(&self) {
        self.read.set(0);
        self.most.set(Some(MOST_TAIL_BYTES));
    }
}

impl<'part, R> Meter<'part, R> {
    pub(crate) fn new(inner: R, part: &'part Part) -> Self {
        Self { inner, part }
    }
}

impl<R: Read> Read for Meter<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let all = self.part.read.get().saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        self.part.read.set(all);
        match self.part.most.get() {
            Some(most) if all > most => {
                Err(invalid("more than 1 MiB stands before an entry, or 16 MiB after the last"))
            }
            _ => Ok(read),
        }
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_used_up_once() {
        let allowance = Allowance::new(10);
        assert!(allowance.take(6).is_ok());
        assert!(allowance.take(5).is_err());
        assert!(allowance.take(4).is_ok());
        let refused = Allowance::new(u64::MAX).take(u64::MAX).unwrap_err();
        assert!(refused.to_string().contains("64 GiB"), "{refused}");
        assert!(Allowance::new(3).take(4).unwrap_err().to_string().contains("3 bytes"));
    }
}
