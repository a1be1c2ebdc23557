//! What is so on this host, without a judgement.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use linux::cgroup::Hierarchy;
use types::network::Ipv4Network;

use crate::doctor::attempt::{self, Outcome, Sandbox, Scratch};
use crate::net;

/// Settings of the kernel that set bounds, by their path below `/proc/sys`.
pub(super) const SETTINGS: [&str; 16] = [
    "kernel/pid_max",
    "kernel/threads-max",
    "kernel/kptr_restrict",
    "kernel/perf_event_paranoid",
    "kernel/unprivileged_userns_clone",
    "user/max_user_namespaces",
    "user/max_net_namespaces",
    "user/max_mnt_namespaces",
    "fs/file-max",
    "fs/inotify/max_user_instances",
    "fs/aio-max-nr",
    "net/ipv4/ip_forward",
    "net/netfilter/nf_conntrack_max",
    "net/core/somaxconn",
    "vm/max_map_count",
    "vm/overcommit_memory",
];

/// The file system that will hold the data.
#[derive(Debug, Clone, Default)]
pub(super) struct Storage {
    /// Its kind, as `statfs(2)` numbers it.
    pub(super) kind: u64,
    pub(super) free_bytes: u64,
    pub(super) free_files: u64,
    pub(super) total_files: u64,
    pub(super) shares_blocks: bool,
    pub(super) write_through: Option<Duration>,
}

/// Everything that is judged.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) is_root: bool,
    /// Effective capabilities, as bits.
    pub(super) capabilities: u64,
    pub(super) architecture: String,
    pub(super) kernel: String,
    pub(super) sandbox: Sandbox,
    /// Names of the limits that no control group of this host enforces.
    pub(super) missing_controllers: Vec<String>,
    /// Which version of control groups has each controller.
    pub(super) controllers: Vec<(String, u8)>,
    pub(super) groups: Outcome,
    /// Whether the kernel counts swap for each group.
    pub(super) counts_swap: bool,
    pub(super) swap_bytes: u64,
    pub(super) memory_bytes: u64,
    pub(super) packet_filter: Outcome,
    pub(super) packet_log: Outcome,
    pub(super) firewalls: Result<(Vec<String>, bool, bool), String>,
    /// How many of the ten networks for sandboxes are free.
    pub(super) free_networks: u8,
    pub(super) open_files: u64,
    pub(super) settings: Vec<(&'static str, u64)>,
    pub(super) storage: Result<Storage, String>,
    /// The security modules that are on, as the kernel lists them; empty when it does not say.
    pub(super) security_modules: String,
    /// Whether the clock is kept in step.
    pub(super) clock: Option<bool>,
    /// What `/dev/kvm` says to being opened.
    pub(super) has_kvm: bool,
    /// Weaknesses of the processor that nothing mitigates.
    pub(super) vulnerable: Vec<String>,
}

impl Facts {
    /// Looks at this host and tries what can be tried.
    pub(super) fn gather(data_directory: &Path) -> Self {
        // First of all, while there certainly is one thread.
        let scratch = Scratch::new(data_directory);
        let sandbox = scratch.as_ref().map_or_else(|reason| untried(reason), attempt::sandbox);
        let status = read("/proc/self/status");
        let mounts = read("/proc/self/mountinfo");
        let hierarchy = Hierarchy::detect();
        let missing = hierarchy.as_ref().map(Hierarchy::missing).unwrap_or_default();
        let memory = read("/proc/meminfo");
        Self {
            is_root: rustix::process::geteuid().is_root(),
            capabilities: field(&status, "CapEff:")
                .and_then(|text| u64::from_str_radix(text, 16).ok())
                .unwrap_or(0),
            architecture: std::env::consts::ARCH.to_owned(),
            kernel: read("/proc/sys/kernel/osrelease"),
            sandbox,
            missing_controllers: missing.into_iter().map(str::to_owned).collect(),
            controllers: controllers(&mounts),
            groups: attempt::groups(),
            counts_swap: counts_swap(&mounts),
            swap_bytes: kibibytes(&memory, "SwapTotal:"),
            memory_bytes: kibibytes(&memory, "MemTotal:"),
            packet_filter: attempt::packet_filter(),
            packet_log: attempt::packet_log(),
            firewalls: attempt::other_firewalls(),
            free_networks: free_networks(),
            open_files: open_files(),
            settings: SETTINGS.into_iter().filter_map(setting).collect(),
            storage: scratch.and_then(|scratch| storage(&scratch)),
            security_modules: read("/sys/kernel/security/lsm"),
            clock: linux::clock::is_synchronized(),
            has_kvm: std::fs::File::options().read(true).write(true).open("/dev/kvm").is_ok(),
            vulnerable: vulnerable(),
        }
    }

    /// Returns a setting of the kernel, `None` when it has none of that name.
    pub(super) fn setting(&self, name: &str) -> Option<u64> {
        self.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

fn untried(reason: &str) -> Sandbox {
    let not = || Err(format!("not tried: {reason}"));
    Sandbox { namespaces: not(), inside: not(), id_maps: not(), disk: not(), overlay: not() }
}

/// Reads a small file of the kernel; what cannot be read is empty.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn kibibytes(text: &str, name: &str) -> u64 {
    let number = field(text, name).and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    number.unwrap_or(0).saturating_mul(1024)
}

fn setting(name: &'static str) -> Option<(&'static str, u64)> {
    read(&format!("/proc/sys/{name}")).split_whitespace().next()?.parse().ok().map(|value| (name, value))
}

/// Reads which version of control groups has each controller, from the text of `/proc/self/mountinfo`.
fn controllers(mounts: &str) -> Vec<(String, u8)> {
    let mut found = Vec::new();
    for (point, kind, options) in group_mounts(mounts) {
        let names = if kind == "cgroup2" { read(&format!("{point}/cgroup.controllers")) } else { options };
        for name in names.split([' ', ',']) {
            if matches!(name, "cpu" | "memory" | "pids" | "io" | "blkio" | "freezer") {
                found.push((name.to_owned(), if kind == "cgroup2" { 2 } else { 1 }));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Lists mounts of control groups: where, of which version, and with which options.
fn group_mounts(mounts: &str) -> Vec<(String, String, String)> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let point = left.split(' ').nth(4)?;
        let mut right = right.split(' ');
        let kind = right.next().filter(|kind| kind.starts_with("cgroup"))?;
        Some((point.to_owned(), kind.to_owned(), right.nth(1).unwrap_or_default().to_owned()))
    };
    mounts.lines().filter_map(parse).collect()
}

fn counts_swap(mounts: &str) -> bool {
    group_mounts(mounts).iter().any(|(point, _, _)| {
        let has = |file: &str| Path::new(point).join(file).exists();
        // Version 2 has no such file in its first group, but in every group below it.
        has("memory.memsw.limit_in_bytes")
            || std::fs::read_dir(point).is_ok_and(|mut entries| {
                entries.any(|entry| entry.is_ok_and(|entry| entry.path().join("memory.swap.max").exists()))
            })
    })
}

fn free_networks() -> u8 {
    let is_free = |second: &u8| {
        let pool = Ipv4Network::around(Ipv4Addr::new(10, *second, 0, 0), 16);
        net::is_free(pool, "doctor").unwrap_or(false)
    };
    u8::try_from((210..220).filter(is_free).count()).unwrap_or(0)
}

fn open_files() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.maximum.unwrap_or(u64::MAX)
}

fn storage(scratch: &Scratch) -> Result<Storage, String> {
    let found = rustix::fs::statfs(scratch.path()).map_err(|error| error.to_string())?;
    let block_bytes = u64::try_from(found.f_bsize).unwrap_or(4096);
    Ok(Storage {
        kind: u64::try_from(found.f_type).unwrap_or(0),
        free_bytes: found.f_bavail.saturating_mul(block_bytes),
        free_files: found.f_ffree,
        total_files: found.f_files,
        shares_blocks: attempt::shares_blocks(scratch),
        write_through: attempt::write_through(scratch).ok(),
    })
}

fn vulnerable() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            std::fs::read_to_string(entry.path()).is_ok_and(|text| text.starts_with("Vulnerable"))
        })
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_read_from_mounts() {
        let mounts = "30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                      31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 25 0:28 / /nowhere rw - cgroup2 cgroup2 rw\n33 25 0:29 / /tmp rw - tmpfs tmpfs rw\n";
        assert_eq!(controllers(mounts), [("cpu".to_owned(), 1), ("memory".to_owned(), 1)]);
        assert_eq!(group_mounts(mounts).len(), 3);
    }

    #[test]
    fn sizes_of_memory_are_read() {
        assert_eq!(kibibytes("MemTotal:       2048 kB\nSwapTotal: 0 kB", "MemTotal:"), 2 << 20);
        assert_eq!(kibibytes("", "MemTotal:"), 0);
    }

    #[test]
    fn a_clean_look_at_this_machine_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let facts = Facts::gather(&place.path().join("not/there/yet"));
        assert!(!facts.kernel.is_empty() && facts.memory_bytes > 0);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
