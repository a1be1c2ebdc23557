//! From what was seen of a process to the layers around it: pure.

use linux::capability::KEPT;
use linux::cgroup::Limits;
use types::inspection::Layer;
use types::sandbox::Network;

/// The namespaces that every sandbox has of its own.
pub(super) const NAMESPACES: [&str; 7] = ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup"];
/// How many ids a sandbox has.
const IDS: u64 = crate::place::IDS_PER_SANDBOX as u64;
/// How many filters of system calls every process of a sandbox has at least: one of the spawner, two of its own.
const FILTERS: u64 = 3;
/// What must be covered, where the kernel has it, and what must be read-only, inside.
pub(super) const COVERED: [&str; 5] =
    ["/proc/kcore", "/proc/keys", "/proc/sysrq-trigger", "/proc/kmsg", "/sys/firmware"];
const READ_ONLY: [&str; 2] = ["/proc/sys", "/sys"];

/// What was seen of a first process, as the kernel wrote it.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    pub(super) status: String,
    pub(super) id_map: String,
    pub(super) mounts: String,
    /// Those of [`COVERED`] that this kernel does not have.
    pub(super) absent: Vec<&'static str>,
    /// Namespaces that are the server's too.
    pub(super) shared_namespaces: Vec<&'static str>,
    pub(super) program: String,
    pub(super) is_sealed: bool,
    /// The limits that are in force.
    pub(super) limits: Result<Limits, String>,
    /// Whether the limited group holds the process.
    pub(super) is_limited: bool,
    pub(super) ordered: Limits,
    pub(super) root_bytes: Option<u64>,
    pub(super) disk_bytes: u64,
    pub(super) has_link: bool,
    /// Whether the rules that packets of sandboxes pass through are installed.
    pub(super) rules: Result<(), String>,
    pub(super) trouble: Option<String>,
    pub(super) policy: Network,
}

/// Judges every layer, the outermost last.
pub(super) fn layers(evidence: &Evidence) -> Vec<Layer> {
    vec![
        user_namespace(evidence),
        namespaces(evidence),
        capabilities(evidence),
        calls(evidence),
        root(evidence),
        kernel_files(evidence),
        disk(evidence),
        limits(evidence),
        network(evidence),
        daemon(evidence),
    ]
}

fn layer(name: &str, in_force: bool, detail: impl Into<String>) -> Layer {
    Layer { name: name.to_owned(), in_force, detail: detail.into() }
}

impl Evidence {
    /// Reads a field of `/proc/<pid>/status`.
    fn status(&self, name: &str) -> Option<&str> {
        let line = self.status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim)
    }

    fn bits(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.status(name)?, 16).ok()
    }

    /// Finds the topmost mount at a path: its options and its kind.
    fn mount(&self, path: &str) -> Option<(&str, &str)> {
        let is_there = |line: &&str| {
            line.split_once(" - ").is_some_and(|(left, _)| left.split(' ').nth(4) == Some(path))
        };
        let line = self.mounts.lines().rfind(is_there)?;
        let (left, right) = line.split_once(" - ")?;
        Some((left.split(' ').nth(5)?, right.split(' ').next()?))
    }
}

fn has_option(options: &str, wanted: &str) -> bool {
    options.split(',').any(|option| option == wanted)
}

fn user_namespace(evidence: &Evidence) -> Layer {
    let lines: Vec<Vec<u64>> = evidence
        .id_map
        .lines()
        .map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).collect())
        .collect();
    let name = "user namespace";
    match lines.as_slice() {
        [map] => match map.as_slice() {
            [0, base, count] if *base >= IDS && *count <= IDS => {
                layer(name, true, format!("root inside is {base} outside; {count} ids of its own"))
            }
            _ => layer(name, false, format!("its ids are mapped otherwise: {map:?}")),
        },
        _ => layer(name, false, "its ids are not mapped as one range"),
    }
}

fn namespaces(evidence: &Evidence) -> Layer {
    let own: Vec<&str> =
        NAMESPACES.into_iter().filter(|name| !evidence.shared_namespaces.contains(name)).collect();
    match evidence.shared_namespaces.as_slice() {
        [] => layer("namespaces", true, format!("of its own: {}", own.join(", "))),
        shared => layer("namespaces", false, format!("shared with the host: {}", shared.join(", "))),
    }
}

fn capabilities(evidence: &Evidence) -> Layer {
    let name = "capabilities";
    let most = KEPT.bits();
    let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    let excess = sets.into_iter().find_map(|set| match evidence.bits(set) {
        None => Some(format!("{set} cannot be read")),
        Some(bits) if bits & !most != 0 => Some(format!("{set} has {:#x} too much", bits & !most)),
        Some(_) => None,
    });
    match excess {
        None => layer(name, true, format!("{} at most, in its own user namespace", most.count_ones())),
        Some(excess) => layer(name, false, excess),
    }
}

fn calls(evidence: &Evidence) -> Layer {
    let mode = evidence.status("Seccomp").unwrap_or("?");
    let filters = evidence.status("Seccomp_filters").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let holds = mode == "2" && filters >= FILTERS;
    layer("system calls", holds, format!("mode {mode}, {filters} filters"))
}

fn root(evidence: &Evidence) -> Layer {
    let name = "root file system";
    match evidence.mount("/") {
        Some((options, "overlay")) if has_option(options, "nodev") => {
            layer(name, true, "an overlay of its own, without devices; nothing of the host's is mounted")
        }
        Some((options, kind)) => layer(name, false, format!("{kind} with {options}")),
        None => layer(name, false, "its mounts cannot be read"),
    }
}

fn kernel_files(evidence: &Evidence) -> Layer {
    let name = "kernel files";
    let open =
        COVERED.into_iter().find(|path| evidence.mount(path).is_none() && !evidence.absent.contains(path));
    let writable = READ_ONLY
        .into_iter()
        .find(|path| !evidence.mount(path).is_some_and(|(options, _)| has_option(options, "ro")));
    match (open, writable) {
        (None, None) => layer(name, true, "what tells of the host is covered, what changes it is read-only"),
        (Some(path), _) => layer(name, false, format!("{path} is not covered")),
        (None, Some(path)) => layer(name, false, format!("{path} can be written")),
    }
}

fn disk(evidence: &Evidence) -> Layer {
    let Some(bytes) = evidence.root_bytes else {
        return layer("disk", false, "the size of its file system cannot be read");
    };
    let mebibytes = |bytes: u64| bytes >> 20;
    let found = format!("a file system of {} MiB of its own", mebibytes(bytes));
    if bytes > 0 && bytes <= evidence.disk_bytes {
        return layer("disk", true, found);
    }
    layer("disk", false, format!("{found}, where {} MiB were ordered", mebibytes(evidence.disk_bytes)))
}

fn limits(evidence: &Evidence) -> Layer {
    let name = "limits";
    match &evidence.limits {
        Err(reason) => layer(name, false, reason.clone()),
        Ok(_) if !evidence.is_limited => layer(name, false, "its process is outside of its control group"),
        Ok(found) => {
            let Limits { cpu_thousandths, memory_bytes, processes } = found;
            let text = format!(
                "{}.{:03} processors, {} MiB of memory, {processes} processes",
                cpu_thousandths / 1000,
                cpu_thousandths % 1000,
                memory_bytes >> 20
            );
            if *found == evidence.ordered {
                return layer(name, true, text);
            }
            layer(name, false, format!("{text}, where {:?} were ordered", evidence.ordered))
        }
    }
}

fn network(evidence: &Evidence) -> Layer {
    let name = "network";
    let policy = &evidence.policy;
    let text = match (policy.block_all, policy.allow_list.len(), policy.domain_allow_list.len()) {
        (true, _, _) => "a link of its own, and nothing passes".to_owned(),
        (false, 0, 0) => "a link of its own; what is public can be reached".to_owned(),
        (false, networks, names) => {
            format!("a link of its own; {networks} networks and {names} names can be reached")
        }
    };
    let fault = match (&evidence.rules, evidence.has_link, &evidence.trouble) {
        (Err(reason), _, _) => Some(format!("the rules of the packet filter are not installed: {reason}")),
        (_, false, _) => Some("its link is not there".to_owned()),
        (_, _, Some(trouble)) => Some(trouble.clone()),
        (Ok(()), true, None) => None,
    };
    fault.map_or_else(|| layer(name, true, text), |fault| layer(name, false, fault))
}

fn daemon(evidence: &Evidence) -> Layer {
    let name = "daemon";
    if !evidence.program.starts_with("/memfd:daytona-daemon") {
        return layer(name, false, "its first process runs another program");
    }
    if !evidence.is_sealed {
        return layer(name, false, "its program can be changed");
    }
    layer(name, true, "its program is sealed memory, and listens where only the host can reach it")
}

#[cfg(test)]
mod tests;
