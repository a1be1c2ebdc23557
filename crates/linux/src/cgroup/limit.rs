//! Reads and writes limits, those of groups in use included.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::errno::{CallError, Context as _};

/// What a group may use at most; the largest value of each type is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Processor time, in thousandths of one processor.
    pub cpu_thousandths: u32,
    /// Memory with page cache, and no swap beyond it.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub processes: u32,
}

/// A controller of one group, and where its files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Controller {
    pub(super) name: &'static str,
    pub(super) directory: PathBuf,
    pub(super) is_version_2: bool,
}

impl Controller {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Reads a file of the controller, empty when this kernel has none of that name.
    pub(super) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }
}

/// The kernel's default period for processor time, in microseconds.
const PERIOD_MICROSECONDS: u64 = 100_000;
/// How often memory is asked back before a lower limit is refused.
const RECLAIM_ROUNDS: u32 = 3;

/// Writes limits, the one that may be refused first.
pub(super) fn apply(controllers: &[Controller], limits: &Limits) -> Result<(), CallError> {
    let (memory, other): (Vec<_>, Vec<_>) =
        controllers.iter().partition(|controller| controller.name == "memory");
    for controller in memory {
        if controller.is_version_2 {
            apply_memory_version_2(controller, limits.memory_bytes)?;
        } else {
            apply_memory_version_1(controller, limits.memory_bytes)?;
        }
    }
    let quota = u64::from(limits.cpu_thousandths) * PERIOD_MICROSECONDS / 1000;
    let quota = |unlimited| word(limits.cpu_thousandths == u32::MAX, quota, unlimited);
    for controller in other {
        match (controller.name, controller.is_version_2) {
            ("cpu", true) => {
                write(&controller.file("cpu.max"), &format!("{} {PERIOD_MICROSECONDS}", quota("max")))?;
            }
            ("cpu", false) => {
                // For every write here the kernel looks at all groups, and new ones have this period.
                let period = PERIOD_MICROSECONDS.to_string();
                if controller.text("cpu.cfs_period_us").trim() != period {
                    write(&controller.file("cpu.cfs_period_us"), &period)?;
                }
                write(&controller.file("cpu.cfs_quota_us"), &quota("-1"))?;
            }
            _ => {
                let processes = word(limits.processes == u32::MAX, limits.processes.into(), "max");
                write(&controller.file("pids.max"), &processes)?;
            }
        }
    }
    Ok(())
}

/// Writes a limit as the kernel reads it.
fn word(is_unlimited: bool, value: u64, unlimited: &str) -> String {
    if is_unlimited { unlimited.to_owned() } else { value.to_string() }
}

/// Version 1 keeps two limits, memory and memory with swap, and the first may never be above the second. It refuses
/// with `EBUSY` what it cannot free memory for.
fn apply_memory_version_1(controller: &Controller, bytes: u64) -> Result<(), CallError> {
    let before = parse_limit(&controller.text("memory.limit_in_bytes"));
    let both = controller.file("memory.memsw.limit_in_bytes");
    let memory = controller.file("memory.limit_in_bytes");
    let text = word(bytes == u64::MAX, bytes, "-1");
    if bytes >= before {
        write_if_offered(&both, &text)?;
        return write(&memory, &text);
    }
    write(&memory, &text)?;
    write_if_offered(&both, &text).inspect_err(|_| {
        // What the limit was a moment ago can be taken back.
        let _ = write(&memory, &before.to_string());
    })
}

/// Version 2 never refuses: it ends processes until the rest fits. So the memory is asked back first, with a mark
/// above which it only slows down, and the limit follows when there is room for it.
fn apply_memory_version_2(controller: &Controller, bytes: u64) -> Result<(), CallError> {
    let file = controller.file("memory.max");
    let before = parse_limit(&controller.text("memory.max"));
    let high = controller.file("memory.high");
    let used = || controller.text("memory.current").trim().parse().unwrap_or(0_u64);
    if bytes < before && used() > bytes {
        let mut rounds = RECLAIM_ROUNDS;
        while rounds > 0 && used() > bytes {
            write_if_offered(&high, &bytes.to_string())?;
            rounds -= 1;
        }
        write_if_offered(&high, "max")?;
        if used() > bytes {
            let busy = io::Error::from_raw_os_error(libc::EBUSY);
            return Err(busy).context("write", format_args!("{bytes} to {}", file.display()));
        }
    }
    write(&file, &word(bytes == u64::MAX, bytes, "max"))?;
    write_if_offered(&controller.file("memory.swap.max"), "0")
}

/// Reads the limits in force; what is unlimited is as much as the type can say.
pub(super) fn read(controllers: &[Controller]) -> Result<Limits, CallError> {
    let mut limits = Limits { cpu_thousandths: u32::MAX, memory_bytes: u64::MAX, processes: u32::MAX };
    for controller in controllers {
        let name = match (controller.name, controller.is_version_2) {
            ("cpu", true) => "cpu.max",
            ("cpu", false) => "cpu.cfs_quota_us",
            ("memory", true) => "memory.max",
            ("memory", false) => "memory.limit_in_bytes",
            _ => "pids.max",
        };
        let path = controller.file(name);
        let text = fs::read_to_string(&path).context("read", path.display())?;
        match controller.name {
            "cpu" => limits.cpu_thousandths = parse_quota(&text),
            "memory" => limits.memory_bytes = parse_limit(&text),
            _ => limits.processes = u32::try_from(parse_limit(&text)).unwrap_or(u32::MAX),
        }
    }
    Ok(limits)
}

/// Reads a number, or `max`.
pub(super) fn parse_limit(text: &str) -> u64 {
    text.trim().parse().unwrap_or(u64::MAX)
}

/// Reads `150000 100000` of version 2 or `150000` of version 1, the period being the one that is always written;
/// `max` and -1 are no limit.
pub(super) fn parse_quota(text: &str) -> u32 {
    let mut words = text.split_whitespace().map(str::parse::<u64>);
    let Some(Ok(quota)) = words.next() else { return u32::MAX };
    let period = words.next().and_then(Result::ok).unwrap_or(PERIOD_MICROSECONDS).max(1);
    u32::try_from(quota.saturating_mul(1000) / period).unwrap_or(u32::MAX)
}

/// Writes a control file.
pub(super) fn write(file: &Path, value: &str) -> Result<(), CallError> {
    // Opened without `O_CREAT`: a control file that the kernel lacks must fail, not become an ordinary file. But one
    // that is ordinary, in a test, must not keep the end of what was there.
    let opened = fs::File::options().write(true).truncate(true).open(file);
    opened
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
        .context("write", format_args!("{value} to {}", file.display()))
}

/// Writes where the kernel offers the file: swap accounting is a boot option of many kernels.
fn write_if_offered(file: &Path, value: &str) -> Result<(), CallError> {
    if file.exists() { write(file, value) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_thousandths_of_a_processor() {
        for (text, thousandths) in [
            ("150000 100000\n", 1500),
            ("150000\n", 1500),
            ("25000 50000", 500),
            ("max 100000", u32::MAX),
            ("-1\n", u32::MAX),
            ("", u32::MAX),
            ("1 0", 1000),
        ] {
            assert_eq!(parse_quota(text), thousandths, "{text}");
        }
        assert_eq!(
            (parse_limit("4096\n"), parse_limit("max\n"), parse_limit("")),
            (4096, u64::MAX, u64::MAX)
        );
    }
}
