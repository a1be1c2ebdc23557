//! Sandboxes that cannot go on, repaired where they are.

use std::os::fd::{AsRawFd as _, OwnedFd};

use linux::errno::CallError;
use linux::ext4::{GROUP_BYTES, freeze, growth};
use linux::shortage::shortage;
use types::resource::bytes_as_text;

use crate::error::{MOUNT, RunnerError};
use crate::host::Host;
use crate::resize;
use crate::sandbox::disk;
use crate::sandbox::spec::Spec;
use crate::table::Entry;

/// A full disk gets this part of what was ordered more, and that so many times.
const PART: u64 = 20;
const TIMES: u64 = 2;

/// What a repair did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// By how much the disk has grown.
    pub grown_bytes: u64,
}

impl Host {
    /// Repairs a sandbox where it is: finishes what a crash interrupted, has the kernel play its journal back, and gives a
    /// disk that is full 5 % more of what was ordered, in whole steps of 128 MiB, at most twice. What is wrong beyond
    /// that is said. Starts nothing; one that needs nothing is left as it is.
    pub fn recover(&self, id: &str) -> Result<Recovered, RunnerError> {
        self.with(id, |entry| {
            if !entry.alive() {
                self.note_end(entry)?;
            }
            let record = entry.record.clone();
            let spec = record.ok_or_else(|| RunnerError::Missing { id: id.to_owned() })?.spec;
            let failed = |source| RunnerError::Kernel { action: MOUNT, id: id.to_owned(), source };
            let runs = entry.alive();
            let is_full = if runs { is_full_in_use(entry) } else { is_full_at_rest(entry, &spec) };
            if !is_full.map_err(failed)? {
                return Ok(Recovered { grown_bytes: 0 });
            }
            let present = size(entry).map_err(failed)?;
            let more = next_size(spec.disk_bytes, present).ok_or_else(|| {
                let present = bytes_as_text(present);
                RunnerError::DiskStaysFull { id: id.to_owned(), present }
            })?;
            let larger = Spec { disk_bytes: more, ..spec };
            let grow = if runs { resize::grow_in_use } else { resize::grow_at_rest };
            grow(entry, &larger)?;
            Ok(Recovered { grown_bytes: more - present })
        })
    }
}

fn size(entry: &Entry) -> Result<u64, CallError> {
    use linux::errno::Context as _;
    let path = entry.home.disk();
    let file = fs_err::File::open(&path).map(|file| file.into_parts().0);
    growth::size_bytes(&file.context("open", path.display())?)
}

/// Returns the size that a full disk of `present` bytes gets, of which `ordered` were ordered; `None` when it has grown
/// enough. What it has is looked at, and no count of attempts: a fork of it has the same.
fn next_size(ordered: u64, present: u64) -> Option<u64> {
    Some(present + step(ordered)).filter(|wanted| *wanted <= most_bytes(ordered))
}

fn step(ordered: u64) -> u64 {
    (ordered / PART).div_ceil(GROUP_BYTES) * GROUP_BYTES
}

/// Returns the size that a disk may have of which `ordered` were ordered.
pub(crate) fn most_bytes(ordered: u64) -> u64 {
    growth::rounded(ordered) + TIMES * step(ordered)
}

fn is_full(mounted: &OwnedFd) -> bool {
    shortage(&format!("/proc/self/fd/{}", mounted.as_raw_fd())).is_some()
}

fn is_full_in_use(entry: &Entry) -> Result<bool, CallError> {
    let directory = disk::open_in_use(&entry.home.disk())?;
    // Nobody holds it but who was forgotten: the caller has this entry alone.
    freeze::thaw(&directory)?;
    Ok(is_full(&directory))
}

/// Mounts the disk once, for the journal's sake too.
fn is_full_at_rest(entry: &Entry, spec: &Spec) -> Result<bool, CallError> {
    let path = entry.home.disk();
    disk::wait_until_released(&path)?;
    disk::grow(&path, spec.disk_bytes)?;
    let is_full = disk::mount(&path).map(|mounted| is_full(&mounted.upper))?;
    disk::wait_until_released(&path)?;
    Ok(is_full)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;

    #[test]
    fn a_full_disk_grows_twice_by_five_percent_in_whole_groups() {
        for (ordered, step) in [(GIB, 128 * MIB), (3 * GIB, 256 * MIB), (10 * GIB, 512 * MIB)] {
            assert_eq!(next_size(ordered, ordered), Some(ordered + step));
            assert_eq!(next_size(ordered, ordered + step), Some(ordered + 2 * step));
            assert_eq!(next_size(ordered, ordered + 2 * step), None);
        }
        // Ordered anew, with what it had got above the first order.
        assert_eq!(next_size(3 * GIB, 3 * GIB + 512 * MIB), None);
        assert_eq!(next_size(4 * GIB, 4 * GIB), Some(4 * GIB + 256 * MIB));
    }
}
