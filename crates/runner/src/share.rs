//! What sandboxes may take of the machine, each and together, so that the rest is always the host's own.

use linux::cgroup::{Hierarchy, Limits};
use linux::errno::{CallError, Context as _};

/// One sandbox gets this part of the host's process ids at most.
const PROCESSES_EACH: u32 = 16;
/// More ids than this make no difference: other resources end first.
const PROCESSES_ENOUGH: u32 = 1 << 22;
/// The host keeps this part of its memory.
const MEMORY_KEPT: u64 = 16;

/// Returns how many processes one sandbox may have, of the `wanted` that are configured.
pub fn processes_each(wanted: u32) -> Result<u32, CallError> {
    Ok(wanted.min(process_ids()? / PROCESSES_EACH))
}

/// Limits all sandboxes of a host together, whose groups are below `parent`.
pub fn limit_all(hierarchy: &Hierarchy, parent: &str) -> Result<(), CallError> {
    match hierarchy.create("", parent, &together(process_ids()?, memory_bytes()?)) {
        // Those of an earlier run have more already, and shall not die for it; no more can be had by others.
        Err(error) if error.errno() == rustix::io::Errno::BUSY.raw_os_error() => Ok(()),
        made => made.map(drop),
    }
}

fn together(process_ids: u32, memory_bytes: u64) -> Limits {
    Limits {
        cpu_thousandths: u32::MAX,
        memory_bytes: memory_bytes - memory_bytes / MEMORY_KEPT,
        processes: process_ids - process_ids / 4,
    }
}

/// Reads how many processes and threads the host can have.
fn process_ids() -> Result<u32, CallError> {
    let path = "/proc/sys/kernel/pid_max";
    let text = std::fs::read_to_string(path).context("read", path)?;
    Ok(text.trim().parse().unwrap_or(PROCESSES_ENOUGH).min(PROCESSES_ENOUGH))
}

fn memory_bytes() -> Result<u64, CallError> {
    let path = "/proc/meminfo";
    let text = std::fs::read_to_string(path).context("read", path)?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    let kibibytes = kibibytes.and_then(|number| number.trim().parse::<u64>().ok());
    kibibytes
        .map(|number| number << 10)
        .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidData))
        .context("read", "MemTotal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_keeps_a_part_of_everything() {
        let limits = together(32_768, 16 << 30);
        assert_eq!((limits.memory_bytes, limits.processes), (15 << 30, 24_576));
        assert_eq!(limits.cpu_thousandths, u32::MAX);
        assert!(processes_each(u32::MAX).unwrap() * PROCESSES_EACH <= process_ids().unwrap());
        assert_eq!(processes_each(64).unwrap(), 64);
        assert!(memory_bytes().unwrap() > 1 << 28);
    }
}
