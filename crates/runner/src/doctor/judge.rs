//! Facts to findings: pure.

mod bound;
mod storage;

use crate::doctor::attempt::Outcome;
use crate::doctor::fact::Facts;
use crate::doctor::finding::Finding;

/// Capabilities that the server needs, by their number (capabilities(7)).
const NEEDED: [(u32, &str); 11] = [
    (0, "CHOWN"),
    (1, "DAC_OVERRIDE"),
    (3, "FOWNER"),
    (5, "KILL"),
    (6, "SETGID"),
    (7, "SETUID"),
    (12, "NET_ADMIN"),
    (19, "SYS_PTRACE"),
    (21, "SYS_ADMIN"),
    (27, "MKNOD"),
    (31, "SETFCAP"),
];
/// The oldest kernel that makes an overlay of detached layers.
const OLDEST: (u32, u32) = (6, 15);

/// Judges every fact, the most basic first.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![root(facts), architecture(facts), kernel(facts)];
    findings.extend(sandbox(facts));
    findings.extend(groups(facts));
    findings.extend(network(facts));
    findings.extend(bound::judge(facts));
    findings.extend(storage::judge(facts));
    findings.extend(defences(facts));
    findings
}

fn root(facts: &Facts) -> Finding {
    let remedy = "run the server as root of the machine, or give its service every capability listed";
    let lacking: Vec<&str> = NEEDED
        .iter()
        .filter(|(bit, _)| facts.capabilities & (1 << bit) == 0)
        .map(|(_, name)| *name)
        .collect();
    match (facts.is_root, lacking.as_slice()) {
        (true, []) => Finding::good("root", "root, with every capability that is needed"),
        (false, _) => Finding::missing("root", "not root: what follows may fail for that alone", remedy),
        (true, lacking) => Finding::missing("root", format!("without {}", lacking.join(", ")), remedy),
    }
}

fn architecture(facts: &Facts) -> Finding {
    let found = facts.architecture.as_str();
    if found == "x86_64" {
        return Finding::good("architecture", format!("{found}: there is a policy of system calls for it"));
    }
    let remedy = "use an x86-64 machine; the policy of system calls is written for no other yet";
    Finding::missing("architecture", found, remedy)
}

fn kernel(facts: &Facts) -> Finding {
    let mut numbers = facts.kernel.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let found = format!("Linux {}", facts.kernel);
    if version >= OLDEST {
        return Finding::good("kernel", found);
    }
    // Distributions carry newer features back: what was tried below counts for more.
    if facts.sandbox.overlay.is_ok() {
        return Finding::note("kernel", format!("{found}: older than 6.15, and able all the same"));
    }
    Finding::missing("kernel", found, "install Linux 6.15 or newer")
}

/// Judges one attempt that must succeed.
fn required(name: &'static str, outcome: &Outcome, remedy: &str) -> Finding {
    match outcome {
        Ok(found) => Finding::good(name, found),
        Err(reason) => Finding::missing(name, reason, remedy),
    }
}

fn sandbox(facts: &Facts) -> Vec<Finding> {
    let tried = &facts.sandbox;
    vec![
        required(
            "namespaces",
            &tried.namespaces,
            "allow user namespaces (user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1) and start the \
             server outside of containers that forbid them",
        ),
        required(
            "inside",
            &tried.inside,
            "start the server outside of containers that mask /proc or /sys, on a kernel with CONFIG_SECCOMP_FILTER",
        ),
        required(
            "id maps",
            &tried.id_maps,
            "keep the data directory on ext4, XFS or btrfs: its file system must allow mounts with mapped ids",
        ),
        required(
            "disks",
            &tried.disk,
            "load the modules loop and ext4, and leave room in the data directory (modprobe loop ext4)",
        ),
        required("overlay", &tried.overlay, "install Linux 6.15 or newer, with the module overlay"),
    ]
}

fn groups(facts: &Facts) -> Vec<Finding> {
    let remedy = "boot with systemd.unified_cgroup_hierarchy=1, or mount the controllers";
    let listed: Vec<String> =
        facts.controllers.iter().map(|(name, version)| format!("{name} v{version}")).collect();
    let controllers = match facts.missing_controllers.as_slice() {
        [] => Finding::good("control groups", listed.join(", ")),
        missing => {
            Finding::missing("control groups", format!("no controller for {}", missing.join(", ")), remedy)
        }
    };
    let swap = match (facts.counts_swap, facts.swap_bytes) {
        (true, _) => Finding::good("swap", "counted for each sandbox"),
        (false, 0) => Finding::good("swap", "not counted for each sandbox, and there is none"),
        (false, _) => Finding::weak(
            "swap",
            "not counted: a sandbox can go beyond its memory into swap",
            "boot with swapaccount=1, or turn swap off",
        ),
    };
    let limits = required("limits", &facts.groups, "let the server write below /sys/fs/cgroup");
    vec![controllers, limits, swap]
}

fn network(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        required(
            "packet filter",
            &facts.packet_filter,
            "load the modules nf_tables, nft_chain_nat and nf_conntrack (modprobe)",
        ),
        match &facts.packet_log {
            Ok(found) => Finding::good("packet log", found),
            Err(reason) => Finding::weak(
                "packet log",
                format!("refused packets are counted, not listed: {reason}"),
                "load the module nfnetlink_log",
            ),
        },
        firewalls(facts),
    ];
    findings.push(match facts.setting("net/ipv4/ip_forward") {
        Some(1) => Finding::good("forwarding", "on"),
        Some(_) => Finding::note("forwarding", "off; the server turns it on when it starts"),
        None => Finding::missing("forwarding", "this kernel has no IPv4", "use a kernel with CONFIG_INET"),
    });
    findings.push(match facts.free_networks {
        0 => Finding::missing(
            "addresses",
            "none of 10.210.0.0/16 to 10.219.0.0/16 is free",
            "say another private network: --sandbox-network 172.30.0.0/16",
        ),
        free => Finding::good("addresses", format!("{free} of 10 networks for sandboxes are free")),
    });
    findings
}

fn firewalls(facts: &Facts) -> Finding {
    match &facts.firewalls {
        Err(reason) => Finding::missing("other firewalls", reason, "load the module nf_tables"),
        Ok((_, _, true)) => Finding::weak(
            "other firewalls",
            "firewalld decides about forwarded packets too",
            "put the links into a zone that forwards: firewall-cmd --permanent --zone=trusted --add-interface=dt+",
        ),
        Ok((drops, _, _)) if drops.is_empty() => {
            Finding::good("other firewalls", "none drops what sandboxes send")
        }
        Ok((drops, true, _)) => Finding::good(
            "other firewalls",
            format!("{} drops; the server makes an exception in DOCKER-USER", drops.join(", ")),
        ),
        Ok((drops, false, _)) => Finding::weak(
            "other firewalls",
            format!("{} drops what sandboxes send", drops.join(", ")),
            "let that chain accept packets from and to the links of sandboxes, or let its policy accept",
        ),
    }
}

/// What stands beside our own walls, and what weakens them all.
fn defences(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let hides = facts.setting("kernel/kptr_restrict").is_some_and(|value| value > 0)
        || facts.setting("kernel/perf_event_paranoid").is_some_and(|value| value > 1);
    findings.push(if hides {
        Finding::good("kernel addresses", "hidden from sandboxes")
    } else {
        Finding::weak(
            "kernel addresses",
            "/proc/kallsyms shows them to everybody",
            "sysctl -w kernel.kptr_restrict=1",
        )
    });
    findings.push(match facts.vulnerable.as_slice() {
        [] => Finding::good("processor", "every known weakness is mitigated, as far as the kernel tells"),
        open => Finding::weak(
            "processor",
            format!("nothing mitigates {}", open.join(", ")),
            "update the kernel and the processor's microcode, and boot without mitigations=off",
        ),
    });
    findings.push(Finding::note(
        "security modules",
        match facts.security_modules.as_str() {
            "" => "the kernel does not tell; no profile is used".to_owned(),
            modules => format!("{modules}; no profile is used"),
        },
    ));
    findings.push(match facts.clock {
        Some(true) => Finding::good("clock", "kept in step"),
        Some(false) => Finding::weak(
            "clock",
            "nothing keeps it in step, or not yet",
            "run chrony, systemd-timesyncd or ntpd: sandboxes have the host's clock",
        ),
        None => Finding::note("clock", "the kernel does not tell whether it is kept in step"),
    });
    findings.push(Finding::note(
        "virtual machines",
        if facts.has_kvm {
            "/dev/kvm opens; no class uses it yet"
        } else {
            "no /dev/kvm; no class needs it yet"
        },
    ));
    findings
}

#[cfg(test)]
mod tests;
