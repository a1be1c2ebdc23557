//! Numbers of system calls, by their names.

use linux::seccomp::{Call, Filter, Verdict, X86_64};

/// Finds the number of a call by asking a filter that knows this call alone; `None` for a name that is no call's.
pub fn number(call: &str) -> Option<u32> {
    let alone = format!(
        r#"{{"one": {{"mismatch_action": {{"errno": 1}}, "match_action": "allow", "filter": [{{"syscall": "{call}"}}]}}}}"#
    );
    let filter = Filter::compile(&alone, &["one"]).ok()?;
    let allows = |number: &u32| {
        filter.verdict(&Call { number: *number, architecture: X86_64, arguments: [0; 6] }) == Verdict::Allow
    };
    (0..1024).find(allows)
}
