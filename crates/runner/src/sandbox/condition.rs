//! What a sandbox has run into, read from its control group and its disk, and why its first process ended.

use std::os::fd::OwnedFd;

use linux::cgroup::Group;
use linux::child::Exit;
use linux::shortage::Shortage;
use types::inspection::{Cause, Condition};
use types::resource::bytes_as_text;

use crate::sandbox::spec::Spec;

/// Tells which limits of its group a sandbox has hit since it started.
pub(crate) fn of_group(group: &Group, spec: &Spec) -> Vec<Condition> {
    let usage = group.usage();
    let mut conditions = Vec::new();
    if usage.memory_kills > 0 {
        let evidence = format!(
            "processes were killed for lack of memory; the limit is {}, the most ever in use was {}, now it is {}",
            bytes_as_text(spec.memory_bytes),
            bytes_as_text(usage.memory_peak_bytes),
            bytes_as_text(usage.memory_bytes)
        );
        let remedy =
            "use less memory, or allow more: POST /sandbox/{sandboxId}/resize with `memory`".to_owned();
        conditions.push(Condition { cause: Cause::OutOfMemory, evidence, remedy, count: usage.memory_kills });
    }
    if usage.process_refusals > 0 {
        let limit = group.limits().map(|limits| format!("; the limit is {}", limits.processes));
        let evidence = format!(
            "processes or threads could not be started{}, now there are {}",
            limit.unwrap_or_default(),
            usage.processes
        );
        let remedy = "end processes, or stop and start the sandbox".to_owned();
        let count = usage.process_refusals;
        conditions.push(Condition { cause: Cause::ProcessLimit, evidence, remedy, count });
    }
    conditions
}

/// Tells whether the disk of a running sandbox is full, `None` when it is not or cannot be looked at.
///
/// Looks at its root, which is the kernel's own link to the overlay and nothing that the sandbox could have put there.
pub(crate) fn of_disk(pid: i32) -> Option<Condition> {
    let (cause, evidence) = match linux::shortage::shortage(&format!("/proc/{pid}/root"))? {
        Shortage::Space { left_bytes, total_bytes } => {
            let (left, total) = (bytes_as_text(left_bytes), bytes_as_text(total_bytes));
            (Cause::DiskFull, format!("{left} are left on its disk of {total}"))
        }
        Shortage::Files { total } => {
            (Cause::InodesFull, format!("no more files fit on its disk: all {total} are in use"))
        }
    };
    let remedy = "delete files, or allow more: POST /sandbox/{sandboxId}/resize with `disk`".to_owned();
    Some(Condition { cause, evidence, remedy, count: 1 })
}

/// How long the parent of a process that ended may take to note it, in milliseconds; it does nothing else.
const COLLECTED_WITHIN_MS: u32 = 100;

/// Says why the first process of a sandbox, which nobody had asked to end, did. `group` must still be there.
pub(crate) fn ended(process: &OwnedFd, spec: &Spec, group: &Group) -> String {
    // Its parent may not have looked yet; without an answer the reason only has fewer words.
    let _collected = linux::process::wait_collected(process, COLLECTED_WITHIN_MS);
    let how = match linux::process::ending(process) {
        Some(Exit::Signal(signal)) => format!("its daemon was killed by signal {signal}"),
        Some(Exit::Code(code)) => format!("its daemon ended with code {code}"),
        // Kernels before 6.15 tell that only to the parent.
        None => "its daemon ended".to_owned(),
    };
    let said = of_group(group, spec).into_iter().map(|condition| {
        let times =
            if condition.count == 1 { "once".to_owned() } else { format!("{} times", condition.count) };
        format!("; {times} {}; {}", condition.evidence, condition.remedy)
    });
    let said: String = said.collect();
    let next = if said.is_empty() { "; whatever ran in it may have done that" } else { "" };
    format!("{how}{said}{next}; start the sandbox to go on, its files are kept")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_gone_has_no_disk() {
        assert_eq!(of_disk(i32::MAX), None);
    }
}
