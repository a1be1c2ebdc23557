//! What the kernel tells of memory, processor time and the objects of one server.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Clock ticks per second in `/proc`, the same on every Linux architecture (`proc_pid_stat(5)`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns how much memory new programs could have without swapping, in KiB (`proc_meminfo(5)`).
pub(crate) fn available_kib() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    field(&text, "MemAvailable:").context("no MemAvailable in /proc/meminfo")
}

/// Returns the part of the kernel's memory that is neither free nor a program's nor a cache's, line by line, in KiB.
pub(crate) fn kernel_kib() -> Result<Vec<(&'static str, f64)>> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let names = [
        "Slab:",
        "SUnreclaim:",
        "KernelStack:",
        "PageTables:",
        "Percpu:",
        "Buffers:",
        "AnonPages:",
        "Shmem:",
    ];
    Ok(names.into_iter().filter_map(|name| Some((name.trim_end_matches(':'), field(&text, name)?))).collect())
}

/// Returns a process's proportional share of memory, in KiB: a page that is shared counts in parts.
pub(crate) fn proportional_kib(pid: i32) -> Option<f64> {
    field(&std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
}

/// Returns a process's resident memory, in KiB.
pub(crate) fn resident_kib(pid: i32) -> Option<f64> {
    field(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Returns the processor time of a process and of its children that it has collected, in seconds.
pub(crate) fn processor_s(pid: i32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 =
        fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
    Some(ticks / TICKS_PER_SECOND)
}

/// Returns the time that all processors together were busy, in seconds, whoever kept them so.
pub(crate) fn busy_s() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // The fourth and fifth are idle and waiting for disks; the ninth and tenth are counted in the first two.
    let busy = ticks.iter().take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    Ok(busy.map(|(_, ticks)| ticks).sum::<f64>() / TICKS_PER_SECOND)
}

/// Returns the processes below `pid`, itself not among them.
pub(crate) fn descendants(pid: i32) -> Vec<i32> {
    let mut pairs = Vec::new();
    for name in names(Path::new("/proc")) {
        let Ok(child) = name.parse::<i32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{child}/stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(')') else { continue };
        let mut fields = fields.split_whitespace();
        // One that has ended and waits to be collected holds nothing.
        if fields.next() == Some("Z") {
            continue;
        }
        if let Some(parent) = fields.next().and_then(|field| field.parse::<i32>().ok()) {
            pairs.push((parent, child));
        }
    }
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(pairs.iter().filter(|(of, _)| *of == parent).map(|(_, child)| *child));
        next += 1;
    }
    found.split_off(1)
}

/// Returns the daemons among the processes below the server.
pub(crate) fn daemons(server: i32) -> Vec<i32> {
    let is_daemon = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"daytona-daemon\0"))
    };
    descendants(server).into_iter().filter(is_daemon).collect()
}

/// Samples the resident memory of processes until it is stopped.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    highest: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    /// Starts to look, fifty times a second.
    pub(crate) fn start(pids: Vec<i32>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let highest = Arc::new(AtomicU64::new(0));
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&highest));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let sum: f64 = pids.iter().filter_map(|pid| resident_kib(*pid)).sum();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a count of KiB"
                )]
                seen.fetch_max(sum as u64, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { stop, highest, thread }
    }

    /// Stops and returns the most that all of them had together, in KiB.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        self.highest.load(Ordering::Relaxed)
    }
}

/// Counts of the host objects of one server; two of them compare as before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Census {
    mounts: usize,
    links: usize,
    groups: usize,
    loops: usize,
    files: usize,
    processes: usize,
}

/// How the objects of one server are told from everybody else's.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    pub(crate) home: PathBuf,
    pub(crate) server: i32,
    /// The directories of its control groups, which hold one directory for each sandbox.
    pub(crate) groups: Vec<PathBuf>,
    /// What the names of its links begin with.
    pub(crate) link_prefix: String,
}

impl Census {
    pub(crate) fn take(marks: &Marks) -> Self {
        let home = marks.home.display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let links = names(Path::new("/sys/class/net"));
        let is_directory = |path: &PathBuf| path.is_dir();
        Self {
            mounts: mounts.lines().filter(|line| line.contains(&home)).count(),
            links: links.iter().filter(|name| name.starts_with(&marks.link_prefix)).count(),
            groups: marks
                .groups
                .iter()
                .map(|group| {
                    names(group).into_iter().map(|name| group.join(name)).filter(is_directory).count()
                })
                .sum(),
            loops: loops(&home),
            files: ["sandboxes", "run"].iter().map(|part| names(&marks.home.join(part)).len()).sum(),
            processes: descendants(marks.server).len(),
        }
    }
}

fn loops(home: &str) -> usize {
    let files = names(Path::new("/sys/block")).into_iter();
    let files =
        files.filter_map(|name| std::fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).ok());
    files.filter(|file| file.starts_with(home)).collect::<BTreeSet<_>>().len()
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_this_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(available_kib().unwrap() > 0.0);
        assert!(proportional_kib(own).unwrap() > 0.0 && resident_kib(own).unwrap() > 0.0);
        assert!(busy_s().unwrap() > processor_s(own).unwrap());
        assert_eq!(kernel_kib().unwrap().len(), 8);
    }

    #[test]
    fn a_child_is_a_descendant_until_it_has_ended() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(descendants(own).contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!descendants(own).contains(&pid));
    }
}
