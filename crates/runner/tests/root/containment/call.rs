//! System calls: everything that the policy refuses is refused, by the policy.

use std::collections::BTreeMap;

use linux::seccomp::{Call, Filter, Verdict, X32_BIT, X86_64};
use serde_json::Value;

use super::attack::{Arena, attempt_without_filter};

const POLICY: &str = include_str!("../../../policy/seccomp-x86_64.json");
const FILTERS: [&str; 3] = ["known", "refused", "absent"];
const EPERM: i32 = 1;
/// Calls of the kernel's own probes, which it puts into programs itself and exempts from every filter. It ends whoever
/// makes one without having been probed.
const EXEMPT: [u32; 2] = [335, 336];

fn policy() -> Filter {
    Filter::compile(POLICY, &FILTERS).unwrap()
}

fn entries(filter: &str) -> Vec<Value> {
    let policy: Value = serde_json::from_str(POLICY).unwrap();
    policy.pointer(&format!("/{filter}/filter")).and_then(Value::as_array).unwrap().clone()
}

/// Finds the number of a call.
pub(super) fn number(call: &str) -> u32 {
    testkit::syscall::number(call).unwrap()
}

fn line(name: &str, number: u32, arguments: [u64; 6]) -> String {
    let words: Vec<String> = arguments.iter().map(u64::to_string).collect();
    format!("{name}: 64 {number} {}", words.join(" "))
}

/// Every call that the policy refuses, made with all operands' bits set; no call takes them, so nothing happens should
/// one pass.
fn refused_outright() -> (Vec<String>, BTreeMap<String, i32>) {
    let (policy, mut lines, mut expected) = (policy(), Vec::new(), BTreeMap::new());
    for number in (0..700).filter(|number| !EXEMPT.contains(number)) {
        let arguments = [u64::MAX; 6];
        if let Verdict::Refuse { errno } = policy.verdict(&Call { number, architecture: X86_64, arguments }) {
            lines.push(line(&number.to_string(), number, arguments));
            expected.insert(number.to_string(), errno);
        }
    }
    (lines, expected)
}

#[test]
fn every_call_that_the_policy_refuses_or_does_not_know_is_refused_inside() {
    let arena = Arena::new();
    let (lines, expected) = refused_outright();
    for filter in ["refused", "absent"] {
        for entry in entries(filter).iter().filter(|entry| entry.get("args").is_none()) {
            let call = entry.get("syscall").and_then(Value::as_str).unwrap();
            assert!(expected.contains_key(&number(call).to_string()), "{call} is not among the attempts");
        }
    }
    let answers = arena.attempt(&lines);
    for (name, errno) in &expected {
        assert_eq!(answers[name], format!("-{errno}"), "call {name}");
    }
    // Without the filter, the same calls as root of the same kind of namespace fail otherwise, or not at all. Where
    // they fail alike, missing capabilities refuse them as well: two walls.
    let without = attempt_without_filter(&lines);
    let two_walls: Vec<&String> = expected
        .iter()
        .filter(|(name, errno)| without[*name] == format!("-{errno}"))
        .map(|(name, _)| name)
        .filter(|name| expected[*name] == EPERM)
        .collect();
    println!("refused by filter and capabilities both: {two_walls:?}");
    for call in [
        "mount",
        "umount2",
        "fsconfig",
        "open_tree",
        "mount_setattr",
        "bpf",
        "perf_event_open",
        "keyctl",
        "add_key",
        "request_key",
        "io_uring_setup",
        "io_uring_enter",
        "userfaultfd",
        "modify_ldt",
        "clone3",
        "settimeofday",
        "clock_settime",
    ] {
        let name = number(call).to_string();
        assert_ne!(
            without[&name],
            format!("-{}", expected[&name]),
            "the filter is not seen to refuse {call}"
        );
    }
}

/// Returns operands that meet every condition of a rule.
#[expect(clippy::indexing_slicing, clippy::panic, reason = "a rule of another shape is to fail the test")]
fn meeting(rule: &Value) -> [u64; 6] {
    let conditions = rule.get("args").and_then(Value::as_array).unwrap();
    let mut arguments = [0; 6];
    for condition in conditions {
        let index = usize::try_from(condition["index"].as_u64().unwrap()).unwrap();
        let value = condition["val"].as_u64().unwrap();
        match &condition["op"] {
            Value::String(operation) if operation == "eq" => arguments[index] = value,
            // 77 is none of the values that any rule lists.
            Value::String(operation) if operation == "ne" => arguments[index] = 77,
            Value::Object(operation) => arguments[index] = operation["masked_eq"].as_u64().unwrap() & value,
            other => panic!("an operation that this test does not know: {other}"),
        }
    }
    arguments
}

#[test]
fn every_rule_about_operands_is_refused_inside() {
    let arena = Arena::new();
    let (policy, mut lines) = (policy(), Vec::new());
    for (at, rule) in entries("refused").iter().filter(|rule| rule.get("args").is_some()).enumerate() {
        let call = rule["syscall"].as_str().unwrap();
        let asked = Call { number: number(call), architecture: X86_64, arguments: meeting(rule) };
        assert_eq!(policy.verdict(&asked), Verdict::Refuse { errno: EPERM }, "{rule}");
        lines.push(line(&format!("{at}-{call}"), asked.number, asked.arguments));
    }
    assert!(lines.len() > 25);
    for (name, answer) in arena.attempt(&lines) {
        assert_eq!(answer, "-1", "{name}: {lines:?}");
    }
}

#[test]
fn the_calls_that_no_filter_sees_do_nothing() {
    let arena = Arena::new();
    let lines: Vec<String> = EXEMPT.iter().map(|number| line(&number.to_string(), *number, [0; 6])).collect();
    for (name, answer) in arena.attempt(&lines) {
        // A kernel that does not know it says so, or lets the filter say it; one that does finds no probe there, and
        // says that or ends the caller by SIGILL.
        assert!(["-38", "-6", "signal 4"].contains(&answer.as_str()), "call {name}: {answer}");
    }
}

#[test]
fn the_other_tables_of_calls_are_no_way_around() {
    let arena = Arena::new();
    let mut lines: Vec<String> = [20, 24, 5, 21, 120, 310]
        .into_iter()
        .map(|number| format!("int-{number}: 32 {number} 0 0 0"))
        .collect();
    for number in [39, 57, 165, 321, 425] {
        lines.push(format!("x32-{}: x32 {number} - - - - - -", number | X32_BIT));
    }
    for (name, answer) in arena.attempt(&lines) {
        // 31 is SIGSYS: the filter ends who makes a call of another architecture. A kernel without 32-bit calls ends
        // it with SIGSEGV, 11.
        let expected = if name.starts_with("int") { ["signal 31", "signal 11"] } else { ["-38", "-38"] };
        assert!(expected.contains(&answer.as_str()), "{name}: {answer}");
    }
    assert_eq!(arena.execute("echo alive").1, "alive");
}
