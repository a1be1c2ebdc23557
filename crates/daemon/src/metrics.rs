//! Measures what the sandbox uses: processor time, memory, disk.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use daytona_wire::toolbox::system::SystemMetrics;
use linux::cgroup::Events;
use types::Timestamp;

/// Shorter windows would measure the clock's grain.
const SHORTEST_WINDOW_MS: i128 = 250;
/// Clock ticks per second in /proc, the same on every Linux architecture (`proc_pid_stat(5)`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Where the memory controller shows itself, version 2 then 1: usage, statistics, and the cache's name in them.
const MEMORY_FILES: [(&str, &str, &str); 2] = [
    ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file",
    ),
];
const PROCESSOR_FILES: [&str; 2] = ["/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpuacct/cpuacct.usage"];

/// Remembers the last sample, since processor use is a difference.
#[derive(Debug)]
pub struct Meter {
    cpu_count: i64,
    memory_limit_bytes: Option<i64>,
    /// Tell the limits in force, which may have changed since the start.
    events: Arc<Events>,
    last: Mutex<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    moment: Timestamp,
    busy_s: f64,
    used_percent: f64,
}

impl Meter {
    /// Takes the first sample.
    pub fn new(
        cpu_count: Option<u32>,
        memory_bytes: Option<u64>,
        events: Arc<Events>,
        now: Timestamp,
    ) -> Self {
        let cpu_count = cpu_count.map_or_else(
            || {
                std::thread::available_parallelism()
                    .map_or(1, |count| i64::try_from(count.get()).unwrap_or(1))
            },
            i64::from,
        );
        let memory_limit_bytes = memory_bytes.and_then(|bytes| i64::try_from(bytes).ok());
        // The first process of a sandbox comes before all that it measures, and its start is waited for.
        let used_s = if std::process::id() == 1 { 0.0 } else { busy_s() };
        let first = Sample { moment: now, busy_s: used_s, used_percent: 0.0 };
        Self { cpu_count: cpu_count.max(1), memory_limit_bytes, events, last: Mutex::new(first) }
    }

    /// Measures; blocks for as long as reading /proc takes.
    pub fn measure(&self, now: Timestamp) -> SystemMetrics {
        let used_percent = self.sample(now);
        let limit_bytes = self.events.memory_limit_bytes().and_then(|bytes| i64::try_from(bytes).ok());
        let total = limit_bytes.or(self.memory_limit_bytes).or_else(|| meminfo("MemTotal:")).unwrap_or(0);
        let (used, cache) = memory().unwrap_or_else(|| (resident_bytes(), 0));
        let (disk_total, disk_free) = disk();
        SystemMetrics {
            cpu_count: self.cpu_count(),
            cpu_used_pct: (used_percent * 100.0).round() / 100.0,
            disk_free,
            disk_total,
            disk_used: disk_total - disk_free,
            mem_cache: cache,
            mem_total: total,
            mem_used: used,
            timestamp: now.to_string(),
            timestamp_unix: now.as_second(),
        }
    }

    fn cpu_count(&self) -> i64 {
        self.events
            .cpu_thousandths()
            .map_or(self.cpu_count, |thousandths| i64::from(thousandths.div_ceil(1000)))
    }

    fn sample(&self, now: Timestamp) -> f64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let window_ms = (now.as_nanosecond() - last.moment.as_nanosecond()) / 1_000_000;
        if window_ms < SHORTEST_WINDOW_MS {
            return last.used_percent;
        }
        let busy_s = busy_s();
        #[expect(clippy::cast_precision_loss, reason = "windows are seconds, processors are few")]
        let available_s = window_ms as f64 / 1000.0 * self.cpu_count() as f64;
        let used_percent = ((busy_s - last.busy_s) / available_s * 100.0).clamp(0.0, 100.0);
        *last = Sample { moment: now, busy_s, used_percent };
        used_percent
    }
}

/// Returns the processor time used so far, in seconds.
///
/// From the control group where it is visible; else summed over all processes, which as the first process of its
/// namespace the daemon can: those that ended are counted in its own children's time.
fn busy_s() -> f64 {
    let [unified, accounting] = PROCESSOR_FILES.map(read);
    if let Some(microseconds) = unified.as_deref().and_then(|text| field(text, "usage_usec")) {
        return microseconds / 1e6;
    }
    if let Some(nanoseconds) = accounting.as_deref().and_then(|text| text.trim().parse::<f64>().ok()) {
        return nanoseconds / 1e9;
    }
    let ticks: f64 = process_ids()
        .filter_map(|pid| read(format!("/proc/{pid}/stat")))
        .filter_map(|stat| ticks(&stat))
        .sum();
    let ended = read("/proc/self/stat").and_then(|stat| ended_ticks(&stat)).unwrap_or(0.0);
    (ticks + ended) / TICKS_PER_SECOND
}

/// Returns user and system time of one process (`proc_pid_stat(5)`, fields 14 and 15).
fn ticks(stat: &str) -> Option<f64> {
    sum_fields(stat, 11)
}

/// Returns user and system time of a process's children that it has collected (fields 16 and 17).
fn ended_ticks(stat: &str) -> Option<f64> {
    sum_fields(stat, 13)
}

fn sum_fields(stat: &str, skip: usize) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(skip);
    let mut number = || fields.next()?.parse::<f64>().ok();
    Some(number()? + number()?)
}

/// Returns used memory without the cache that can be taken back, and that cache.
fn memory() -> Option<(i64, i64)> {
    MEMORY_FILES.iter().find_map(|(usage, statistics, cache_name)| {
        let usage: i64 = read(usage)?.trim().parse().ok()?;
        #[expect(clippy::cast_possible_truncation, reason = "byte counts are whole and far below 2^53")]
        let cache =
            read(statistics).and_then(|text| field(&text, cache_name)).map_or(0, |cache| cache as i64);
        Some(((usage - cache).max(0), cache))
    })
}

/// Returns the memory of all processes, shared pages counted once per process but not those of files.
fn resident_bytes() -> i64 {
    let page_bytes = i64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let pages: i64 = process_ids()
        .filter_map(|pid| {
            let statm = read(format!("/proc/{pid}/statm"))?;
            let mut fields = statm.split_ascii_whitespace().skip(1).map(str::parse::<i64>);
            Some((fields.next()?.ok()? - fields.next()?.ok()?).max(0))
        })
        .sum();
    pages * page_bytes
}

fn disk() -> (i64, i64) {
    let Ok(status) = rustix::fs::statvfs("/") else { return (0, 0) };
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(status.f_frsize)).unwrap_or(i64::MAX);
    (bytes(status.f_blocks), bytes(status.f_bavail))
}

fn meminfo(name: &str) -> Option<i64> {
    let text = read("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn process_ids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_process_are_found_behind_its_name() {
        let stat = "1 (a b) c) S 0 1 1 0 -1 4194560 1 2 3 4 10 20 300 400 20 0 1";
        assert_eq!((ticks(stat), ended_ticks(stat)), (Some(30.0), Some(700.0)));
        assert_eq!(ticks("1 (a) S"), None);
    }

    #[test]
    fn a_busy_process_shows_and_limits_are_taken_from_the_settings() {
        let start = Timestamp::from_second(1_000).expect("moment");
        let meter = Meter::new(Some(2), Some(1 << 30), Arc::new(Events::new([])), start);
        let first = meter.measure(start);
        assert_eq!((first.cpu_count, first.mem_total, first.cpu_used_pct), (2, 1 << 30, 0.0));
        assert!(first.disk_total >= first.disk_free && first.disk_free > 0 && first.mem_used > 0);
        let spin_until = std::time::Instant::now() + std::time::Duration::from_millis(300);
        while std::time::Instant::now() < spin_until {
            std::hint::spin_loop();
        }
        let later = meter.measure(start + std::time::Duration::from_secs(1));
        assert!(later.cpu_used_pct > 5.0 && later.cpu_used_pct <= 100.0, "{}", later.cpu_used_pct);
        assert_eq!(later.timestamp_unix, 1_001);
    }
}
