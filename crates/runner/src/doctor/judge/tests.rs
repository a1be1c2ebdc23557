//! One fact is changed at a time on a machine where all is well: one finding changes.

use std::time::Duration;

use super::*;
use crate::doctor::attempt::Sandbox;
use crate::doctor::fact::{SETTINGS, Storage};
use crate::doctor::finding::Mark;

const GIBIBYTE: u64 = 1 << 30;

fn well() -> Facts {
    let good = || Ok("fine".to_owned());
    let plenty = |name: &'static str| {
        (name, if name == "net/ipv4/ip_forward" || name == "kernel/kptr_restrict" { 1 } else { 10_000_000 })
    };
    Facts {
        is_root: true,
        capabilities: u64::MAX,
        architecture: "x86_64".to_owned(),
        kernel: "6.18.44-generic".to_owned(),
        sandbox: Sandbox {
            namespaces: good(),
            inside: good(),
            id_maps: good(),
            disk: good(),
            overlay: good(),
        },
        missing_controllers: Vec::new(),
        controllers: vec![("memory".to_owned(), 2)],
        groups: good(),
        counts_swap: true,
        swap_bytes: GIBIBYTE,
        memory_bytes: 16 * GIBIBYTE,
        packet_filter: good(),
        packet_log: good(),
        firewalls: Ok((Vec::new(), false, false)),
        free_networks: 10,
        open_files: 1 << 20,
        settings: SETTINGS.into_iter().map(plenty).collect(),
        storage: Ok(Storage {
            kind: 0xEF53,
            free_bytes: 100 * GIBIBYTE,
            free_files: 1_000_000,
            total_files: 2_000_000,
            shares_blocks: true,
            write_through: Some(Duration::from_millis(1)),
        }),
        security_modules: "landlock,yama".to_owned(),
        clock: Some(true),
        has_kvm: true,
        vulnerable: Vec::new(),
    }
}

#[test]
fn where_all_is_well_nothing_is_complained_about() {
    for finding in judge(&well()) {
        assert!(matches!(finding.mark, Mark::Good | Mark::Note), "{finding:?}");
        assert!(finding.remedy.is_empty() && !finding.found.is_empty(), "{finding:?}");
    }
}

fn set(facts: &mut Facts, name: &str, value: u64) {
    for setting in facts.settings.iter_mut().filter(|(known, _)| *known == name) {
        setting.1 = value;
    }
}

fn store(facts: &mut Facts, change: impl FnOnce(&mut Storage)) {
    change(facts.storage.as_mut().unwrap());
}

fn bad() -> Outcome {
    Err("operation not permitted".to_owned())
}

/// A change for the worse, the finding that tells, and how bad it is.
type Case = (&'static str, Mark, fn(&mut Facts));

const CASES: [Case; 40] = [
    ("root", Mark::Missing, |facts| facts.is_root = false),
    ("root", Mark::Missing, |facts| facts.capabilities &= !(1 << 21)),
    ("architecture", Mark::Missing, |facts| facts.architecture = "aarch64".to_owned()),
    ("kernel", Mark::Note, |facts| facts.kernel = "6.12.0".to_owned()),
    ("namespaces", Mark::Missing, |facts| facts.sandbox.namespaces = bad()),
    ("inside", Mark::Missing, |facts| facts.sandbox.inside = bad()),
    ("id maps", Mark::Missing, |facts| facts.sandbox.id_maps = bad()),
    ("disks", Mark::Missing, |facts| facts.sandbox.disk = bad()),
    ("overlay", Mark::Missing, |facts| facts.sandbox.overlay = bad()),
    ("control groups", Mark::Missing, |facts| facts.missing_controllers = vec!["pids".to_owned()]),
    ("limits", Mark::Missing, |facts| facts.groups = bad()),
    ("swap", Mark::Weak, |facts| facts.counts_swap = false),
    ("packet filter", Mark::Missing, |facts| facts.packet_filter = bad()),
    ("packet log", Mark::Weak, |facts| facts.packet_log = bad()),
    ("other firewalls", Mark::Missing, |facts| facts.firewalls = Err("no".to_owned())),
    ("other firewalls", Mark::Weak, |facts| facts.firewalls = Ok((Vec::new(), false, true))),
    ("other firewalls", Mark::Weak, |facts| facts.firewalls = Ok((vec!["FORWARD".to_owned()], false, false))),
    ("other firewalls", Mark::Good, |facts| facts.firewalls = Ok((vec!["FORWARD".to_owned()], true, false))),
    ("forwarding", Mark::Note, |facts| set(facts, "net/ipv4/ip_forward", 0)),
    ("forwarding", Mark::Missing, |facts| facts.settings.retain(|(name, _)| *name != "net/ipv4/ip_forward")),
    ("addresses", Mark::Missing, |facts| facts.free_networks = 0),
    ("memory", Mark::Weak, |facts| facts.memory_bytes = GIBIBYTE / 2),
    ("process ids", Mark::Weak, |facts| set(facts, "kernel/pid_max", 32_768)),
    ("user namespaces", Mark::Weak, |facts| set(facts, "user/max_user_namespaces", 0)),
    ("connections", Mark::Weak, |facts| set(facts, "net/netfilter/nf_conntrack_max", 4_096)),
    ("file watches", Mark::Weak, |facts| set(facts, "fs/inotify/max_user_instances", 16)),
    ("user namespaces of others", Mark::Note, |facts| set(facts, "kernel/unprivileged_userns_clone", 0)),
    ("open files of the server", Mark::Weak, |facts| facts.open_files = 1_024),
    ("data directory", Mark::Missing, |facts| facts.storage = Err("read-only file system".to_owned())),
    ("data directory", Mark::Weak, |facts| store(facts, |storage| storage.kind = 0x0102_1994)),
    ("data directory", Mark::Missing, |facts| store(facts, |storage| storage.kind = 0x6969)),
    ("space", Mark::Weak, |facts| store(facts, |storage| storage.free_bytes = 5 * GIBIBYTE)),
    ("space", Mark::Missing, |facts| store(facts, |storage| storage.free_bytes = 1)),
    ("files", Mark::Weak, |facts| store(facts, |storage| storage.free_files = 10)),
    ("copies", Mark::Note, |facts| store(facts, |storage| storage.shares_blocks = false)),
    ("write-through", Mark::Weak, |facts| {
        store(facts, |storage| storage.write_through = Some(Duration::from_millis(90)));
    }),
    ("kernel addresses", Mark::Weak, |facts| {
        set(facts, "kernel/kptr_restrict", 0);
        set(facts, "kernel/perf_event_paranoid", 1);
    }),
    ("processor", Mark::Weak, |facts| facts.vulnerable = vec!["retbleed".to_owned()]),
    ("clock", Mark::Weak, |facts| facts.clock = Some(false)),
    ("virtual machines", Mark::Note, |facts| facts.has_kvm = false),
];

#[test]
fn what_is_wrong_is_told_with_its_remedy_and_nothing_else_changes() {
    let before = judge(&well());
    for (name, mark, worsen) in CASES {
        let mut facts = well();
        worsen(&mut facts);
        let changed: Vec<Finding> =
            judge(&facts).into_iter().filter(|finding| !before.contains(finding)).collect();
        let [finding] = changed.as_slice() else { panic!("{name}: {changed:?}") };
        assert_eq!((finding.name, finding.mark), (name, mark), "{finding:?}");
        assert_eq!(finding.remedy.is_empty(), matches!(mark, Mark::Good | Mark::Note), "{finding:?}");
    }
}

#[test]
fn an_old_kernel_that_cannot_is_missing_something() {
    let mut facts = well();
    facts.kernel = "5.15.0-100-generic".to_owned();
    facts.sandbox.overlay = bad();
    let found = judge(&facts);
    let kernel = found.iter().find(|finding| finding.name == "kernel").unwrap();
    assert_eq!(kernel.mark, Mark::Missing);
}
