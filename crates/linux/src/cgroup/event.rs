//! What a group uses and how often it hit a limit, read from outside or, through descriptors, from inside.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use crate::cgroup::limit::{Controller, parse_limit, parse_quota};
use crate::errno::{CallError, Context as _};

/// What a group uses, and what happened to it since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Memory in use, with page cache.
    pub memory_bytes: u64,
    /// The most memory that ever was in use; 0 where the kernel does not say.
    pub memory_peak_bytes: u64,
    /// Processes that the kernel killed because memory ran out.
    pub memory_kills: u64,
    /// Processes and threads.
    pub processes: u64,
    /// How often one more process was refused.
    pub process_refusals: u64,
    /// In how many periods it had to wait for processor time.
    pub throttled_periods: u64,
}

/// The files that [`open`] opens, in order: controller, version 1's name, version 2's name.
const FILES: [(&str, &str, &str); 4] = [
    ("memory", "memory.oom_control", "memory.events"),
    ("pids", "pids.events", "pids.events"),
    ("memory", "memory.limit_in_bytes", "memory.max"),
    ("cpu", "cpu.cfs_quota_us", "cpu.max"),
];

pub(super) fn usage(controllers: &[Controller]) -> Usage {
    let mut usage = Usage::default();
    for controller in controllers {
        let number = |name: &str| controller.text(name).trim().parse().unwrap_or_default();
        let counter = |name: &str, key: &str| counter(&controller.text(name), key).unwrap_or_default();
        match (controller.name, controller.is_version_2) {
            ("memory", true) => {
                usage.memory_bytes = number("memory.current");
                usage.memory_peak_bytes = number("memory.peak");
                usage.memory_kills = counter("memory.events", "oom_kill");
            }
            ("memory", false) => {
                usage.memory_bytes = number("memory.usage_in_bytes");
                usage.memory_peak_bytes = number("memory.max_usage_in_bytes");
                usage.memory_kills = counter("memory.oom_control", "oom_kill");
            }
            ("cpu", _) => usage.throttled_periods = counter("cpu.stat", "nr_throttled"),
            _ => {
                usage.processes = number("pids.current");
                usage.process_refusals = counter("pids.events", "max");
            }
        }
    }
    usage
}

/// Opens [`FILES`] for reading; `/dev/null` stands for one that this kernel lacks, so that their number is fixed.
pub(super) fn open(controllers: &[Controller]) -> Result<Vec<OwnedFd>, CallError> {
    let file = |(name, version_1, version_2): (&str, &str, &str)| {
        let controller = controllers.iter().find(|controller| controller.name == name);
        let path = controller.map(|it| it.file(if it.is_version_2 { version_2 } else { version_1 }));
        let opened = path.and_then(|path| File::open(path).ok());
        opened.map_or_else(|| File::open("/dev/null").context("open", "/dev/null"), Ok).map(OwnedFd::from)
    };
    FILES.into_iter().map(file).collect()
}

/// A group as its own processes see it.
#[derive(Debug)]
pub struct Events {
    files: [Option<File>; FILES.len()],
}

impl Events {
    /// How many descriptors [`super::Group::events`] opens.
    pub const DESCRIPTORS: usize = FILES.len();

    /// Takes what [`super::Group::events`] opened, in its order. Whatever is missing tells nothing.
    pub fn new(descriptors: impl IntoIterator<Item = OwnedFd>) -> Self {
        let mut descriptors = descriptors.into_iter();
        Self { files: std::array::from_fn(|_| descriptors.next().map(File::from)) }
    }

    /// Returns how many processes were killed because memory ran out.
    pub fn memory_kills(&self) -> Option<u64> {
        counter(&self.text(0)?, "oom_kill")
    }

    /// Returns how often one more process was refused.
    pub fn process_refusals(&self) -> Option<u64> {
        counter(&self.text(1)?, "max")
    }

    /// Returns how much memory may be in use, `None` when that is not limited.
    pub fn memory_limit_bytes(&self) -> Option<u64> {
        // Version 1 says "unlimited" with the largest number of pages that fits.
        Some(parse_limit(&self.text(2)?)).filter(|bytes| *bytes < 1 << 60)
    }

    /// Returns how much processor time may be used, in thousandths of a processor, `None` when that is not limited.
    pub fn cpu_thousandths(&self) -> Option<u32> {
        Some(parse_quota(&self.text(3)?)).filter(|thousandths| *thousandths < u32::MAX)
    }

    /// Reads one file from its start, whatever was read before; the kernel writes them in one piece.
    fn text(&self, index: usize) -> Option<String> {
        let file = self.files.get(index)?.as_ref()?;
        let mut buffer = [0; 1024];
        let length = file.read_at(&mut buffer, 0).ok().filter(|length| *length > 0)?;
        String::from_utf8(buffer.get(..length)?.to_vec()).ok()
    }
}

/// Finds `key` in lines of `key number`.
fn counter(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let version_1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        let version_2 = "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n";
        assert_eq!(counter(version_1, "oom_kill"), Some(3));
        assert_eq!(counter(version_2, "oom_kill"), Some(1));
        assert_eq!(counter("max 7\n", "max"), Some(7));
        assert_eq!(counter("", "max"), None);
    }

    #[test]
    fn what_is_missing_tells_nothing() {
        let events = Events::new([]);
        assert_eq!((events.memory_kills(), events.process_refusals()), (None, None));
        let null = || OwnedFd::from(File::open("/dev/null").unwrap());
        let events = Events::new([null(), null(), null(), null()]);
        assert_eq!(
            (events.memory_kills(), events.memory_limit_bytes(), events.cpu_thousandths()),
            (None, None, None)
        );
    }
}
