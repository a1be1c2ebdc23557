//! Bounds of the machine that many sandboxes together run into.

use crate::doctor::fact::Facts;
use crate::doctor::finding::Finding;

/// A bound: the setting, what is too little, what it bounds, and how many of it a sandbox takes.
struct Bound {
    setting: &'static str,
    name: &'static str,
    least: u64,
    what: &'static str,
}

/// Judged for a thousand sandboxes.
const BOUNDS: [Bound; 9] = [
    Bound { setting: "kernel/pid_max", name: "process ids", least: 131_072, what: "processes at once" },
    Bound { setting: "kernel/threads-max", name: "threads", least: 65_536, what: "threads at once" },
    Bound {
        setting: "user/max_user_namespaces",
        name: "user namespaces",
        least: 2_000,
        what: "one for each sandbox",
    },
    Bound {
        setting: "user/max_net_namespaces",
        name: "network namespaces",
        least: 2_000,
        what: "one for each sandbox",
    },
    Bound {
        setting: "user/max_mnt_namespaces",
        name: "mount namespaces",
        least: 2_000,
        what: "one for each sandbox",
    },
    Bound {
        setting: "fs/file-max",
        name: "open files",
        least: 1_000_000,
        what: "open files of the whole machine",
    },
    Bound {
        setting: "fs/inotify/max_user_instances",
        name: "file watches",
        least: 128,
        what: "instances for each user, and each sandbox counts apart",
    },
    Bound {
        setting: "net/netfilter/nf_conntrack_max",
        name: "connections",
        least: 131_072,
        what: "tracked at once, by all sandboxes together",
    },
    Bound {
        setting: "net/core/somaxconn",
        name: "waiting connections",
        least: 1_024,
        what: "for one listener",
    },
];

/// Descriptors that the server may hold for a thousand sandboxes.
const SERVER_FILES: u64 = 16_384;
/// Below this, not even a few sandboxes fit.
const LEAST_MEMORY_BYTES: u64 = 1 << 30;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![memory(facts)];
    if facts.setting("kernel/unprivileged_userns_clone") == Some(0) {
        findings.push(Finding::note(
            "user namespaces of others",
            "off for who is not root, which the server does not mind",
        ));
    }
    for bound in &BOUNDS {
        // What the kernel does not tell, a module that is not loaded yet for one, cannot be judged.
        let Some(value) = facts.setting(bound.setting) else { continue };
        findings.push(if value >= bound.least {
            Finding::good(bound.name, format!("{value} {}", bound.what))
        } else {
            Finding::weak(
                bound.name,
                format!("{value} {}: few for a thousand sandboxes", bound.what),
                format!("sysctl -w {}={}", bound.setting.replace('/', "."), bound.least),
            )
        });
    }
    findings.push(if facts.open_files >= SERVER_FILES {
        Finding::good("open files of the server", format!("{} allowed", facts.open_files))
    } else {
        Finding::weak(
            "open files of the server",
            format!("{} allowed: few for a thousand sandboxes", facts.open_files),
            format!("start it with ulimit -n {SERVER_FILES}, or LimitNOFILE={SERVER_FILES} in its unit"),
        )
    });
    findings
}

fn memory(facts: &Facts) -> Finding {
    let found = format!("{} MiB", facts.memory_bytes >> 20);
    if facts.memory_bytes >= LEAST_MEMORY_BYTES {
        return Finding::good("memory", found);
    }
    Finding::weak("memory", found, "give the machine 1 GiB or more")
}
