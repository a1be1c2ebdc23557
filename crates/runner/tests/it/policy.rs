//! Policies are data: every entry has a reason, and what must never pass is written down here once more, so that an edit
//! of a policy cannot open it unnoticed.

use std::collections::BTreeMap;

use linux::seccomp::{Call, Filter, I386, Verdict, X32_BIT, X86_64};
use serde_json::Value;

const SECCOMP: &str = include_str!("../../policy/seccomp-x86_64.json");
const EGRESS: &str = include_str!("../../policy/egress.json");
const FILTERS: [&str; 3] = ["known", "refused", "absent"];

/// Calls that no sandbox may make, whatever their operands.
const NEVER: [&str; 54] = [
    "acct",
    "add_key",
    "adjtimex",
    "bpf",
    "clock_adjtime",
    "clock_settime",
    "clone3",
    "create_module",
    "delete_module",
    "fanotify_init",
    "fanotify_mark",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "listmount",
    "lookup_dcookie",
    "memfd_secret",
    "migrate_pages",
    "modify_ldt",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setns",
    "settimeofday",
    "statmount",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "uselib",
    "userfaultfd",
    "vhangup",
    "_sysctl",
];

fn entries(filter: &str) -> Vec<Value> {
    let policy: Value = serde_json::from_str(SECCOMP).unwrap();
    policy.pointer(&format!("/{filter}/filter")).and_then(Value::as_array).unwrap().clone()
}

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Finds the number of a call.
pub(crate) fn number(call: &str) -> u32 {
    testkit::syscall::number(call).unwrap()
}

fn policy() -> Filter {
    Filter::compile(SECCOMP, &FILTERS).unwrap()
}

#[test]
fn every_entry_of_the_call_policy_has_a_reason() {
    let mut known = BTreeMap::new();
    for filter in FILTERS {
        for entry in entries(filter) {
            let call = text(&entry, "syscall");
            assert!(text(&entry, "comment").len() >= 12, "{filter} {call} has no reason");
            assert!(number(call) < 1024, "{call}");
            if filter == "known" {
                let before = known.insert(call.to_owned(), entry.clone());
                assert!(before.is_none() && entry.get("args").is_none(), "{call} is known twice, or in part");
            } else {
                assert!(known.contains_key(call), "{call} is refused and not known");
            }
        }
    }
}

#[test]
fn every_denied_network_has_a_reason() {
    let policy: Value = serde_json::from_str(EGRESS).unwrap();
    let denied = policy.get("denied").and_then(Value::as_array).unwrap();
    assert!(denied.len() >= 16);
    for entry in denied {
        assert!(text(entry, "network").contains('/'), "{entry}");
        assert!(text(entry, "reason").len() >= 12, "{entry} has no reason");
    }
}

#[test]
fn what_must_never_pass_does_not_pass_with_any_operand() {
    let policy = policy();
    for call in NEVER {
        for operand in [0, 1, u64::from(u32::MAX), u64::MAX, 1 << 32] {
            let asked = Call { number: number(call), architecture: X86_64, arguments: [operand; 6] };
            assert!(matches!(policy.verdict(&asked), Verdict::Refuse { .. }), "{call} with {operand:#x}");
        }
    }
}

#[test]
fn the_list_of_what_never_passes_is_whole() {
    let mut refused: Vec<String> = Vec::new();
    for filter in ["refused", "absent"] {
        let whole = entries(filter).into_iter().filter(|entry| entry.get("args").is_none());
        refused.extend(whole.map(|entry| text(&entry, "syscall").to_owned()));
    }
    for call in refused {
        assert!(NEVER.contains(&call.as_str()), "{call} is refused: add it to the list of this test");
    }
}

#[test]
fn other_tables_of_calls_are_no_way_around() {
    let policy = policy();
    for number in 0..1024 {
        let of = |number: u32, architecture: u32| {
            policy.verdict(&Call { number, architecture, arguments: [0; 6] })
        };
        assert_eq!(of(number, I386), Verdict::Kill, "32-bit call {number}");
        assert_eq!(of(number | X32_BIT, X86_64), Verdict::Refuse { errno: 38 }, "x32 call {number}");
    }
}

#[test]
fn operands_are_judged() {
    let policy = policy();
    let passes = |call: &str, first: &[u64]| {
        let mut arguments = [0; 6];
        arguments[..first.len()].copy_from_slice(first);
        policy.verdict(&Call { number: number(call), architecture: X86_64, arguments }) == Verdict::Allow
    };
    // Each namespace alone and beside harmless flags; without one, processes and threads start.
    for flag in [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        assert!(!passes("unshare", &[flag]) && !passes("unshare", &[flag | 0x200]), "unshare {flag:#x}");
        assert!(!passes("clone", &[flag | 0x11]), "clone {flag:#x}");
    }
    assert!(!passes("unshare", &[0x80]), "a time namespace");
    assert!(passes("unshare", &[0x600]) && passes("clone", &[0x11]) && passes("clone", &[0x3d_0f00]));
    let sockets: [(&[u64], bool); 18] = [
        (&[1, 1, 0], true),
        (&[2, 1, 6], true),
        (&[10, 2, 17], true),
        (&[2, 3, 1], true),
        (&[2, 0x8_0001, 0], true),
        (&[2, 1, 262], true),
        (&[16, 3, 0], true),
        (&[16, 3, 4], true),
        (&[16, 3, 9], true),
        (&[16, 3, 12], false),
        (&[16, 3, 6], false),
        (&[16, 3, 21], false),
        (&[2, 1, 132], false),
        (&[10, 0x8_0005, 0], false),
        (&[2, 6, 33], false),
        (&[17, 3, 0], false),
        (&[38, 5, 0], false),
        (&[40, 1, 0], false),
    ];
    for (operands, expected) in sockets {
        assert_eq!(passes("socket", operands), expected, "socket {operands:?}");
    }
    assert!(!passes("setsockopt", &[3, 6, 31]) && passes("setsockopt", &[3, 6, 1]));
    assert!(!passes("ioctl", &[0, 0x5412]) && passes("ioctl", &[0, 0x5401]));
    assert!(!passes("ioctl", &[0, 0xffff_ffff_0000_5412]), "the kernel reads 32 bits of the request");
    assert!(passes("personality", &[0xffff_ffff]) && !passes("personality", &[0x10_0000]));
    assert!(
        !passes("prlimit64", &[1, 0, 8])
            && passes("prlimit64", &[1, 0, 0])
            && passes("prlimit64", &[0, 0, 8])
    );
}
