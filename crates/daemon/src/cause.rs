//! Tells why a command ended badly when a limit of the sandbox was the reason, and what to do about it.
//!
//! On the way of a command that ends well this costs two reads of a counter.

use std::sync::Arc;

use linux::cgroup::Events;
use linux::shortage::Shortage;
use types::inspection::Cause;
use types::resource::bytes_as_text;

/// How often limits had been hit at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment {
    memory_kills: u64,
    process_refusals: u64,
}

/// A limit that was hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Which.
    pub cause: Cause,
    /// What was found, with numbers.
    pub evidence: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Returns how often limits have been hit so far.
pub fn moment(events: &Events) -> Moment {
    Moment {
        memory_kills: events.memory_kills().unwrap_or_default(),
        process_refusals: events.process_refusals().unwrap_or_default(),
    }
}

/// Finds the limit that was hit since `before`, for a command that ended badly in `directory`.
///
/// The counters are the sandbox's: of two commands that fail at the same time both are told.
pub async fn explain(events: &Arc<Events>, before: Moment, directory: &str) -> Option<Explanation> {
    let (events, directory) = (Arc::clone(events), directory.to_owned());
    // On a thread of its own: the directory may be on a file system that does not answer.
    let found = tokio::task::spawn_blocking(move || {
        counted(&events, before).or_else(|| ["/", &directory].into_iter().find_map(full))
    });
    found.await.ok().flatten()
}

/// Finds the counter that has moved.
fn counted(events: &Events, before: Moment) -> Option<Explanation> {
    let now = moment(events);
    let kills = now.memory_kills.saturating_sub(before.memory_kills);
    let refusals = now.process_refusals.saturating_sub(before.process_refusals);
    if kills > 0 {
        let limit =
            events.memory_limit_bytes().map(|bytes| format!("; the limit is {}", bytes_as_text(bytes)));
        let processes = if kills == 1 { "1 process was" } else { &format!("{kills} processes were") };
        let evidence = format!("{processes} killed for lack of memory{}", limit.unwrap_or_default());
        return Some(Explanation { cause: Cause::OutOfMemory, evidence, remedy: MEMORY_REMEDY });
    }
    (refusals > 0).then(|| Explanation {
        cause: Cause::ProcessLimit,
        evidence: format!(
            "{refusals} times no process or thread could be started: there are as many as may be"
        ),
        remedy: PROCESS_REMEDY,
    })
}

/// Explains a command that could not even be started, since no process could be.
pub fn no_process() -> Explanation {
    let evidence = "no process could be started: there are as many as may be".to_owned();
    Explanation { cause: Cause::ProcessLimit, evidence, remedy: PROCESS_REMEDY }
}

const MEMORY_REMEDY: &str = "use less memory, or allow more: POST /sandbox/{sandboxId}/resize with `memory`, in the SDKs sandbox.resize()";
const PROCESS_REMEDY: &str = "end processes, or stop and start the sandbox";
const SPACE_REMEDY: &str =
    "delete files, or allow more: POST /sandbox/{sandboxId}/resize with `disk`, in the SDKs sandbox.resize()";

/// Looks whether the file system of `path` is full.
fn full(path: &str) -> Option<Explanation> {
    let (cause, evidence) = match linux::shortage::shortage(path)? {
        Shortage::Space { left_bytes, total_bytes } => {
            let (left, total) = (bytes_as_text(left_bytes), bytes_as_text(total_bytes));
            (Cause::DiskFull, format!("{left} are left of the {total} of {path}"))
        }
        Shortage::Files { total } => {
            (Cause::InodesFull, format!("no more files fit on {path}: all {total} are in use"))
        }
    };
    Some(Explanation { cause, evidence, remedy: SPACE_REMEDY })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_up() {
        let events = Events::new([]);
        assert_eq!(counted(&events, moment(&events)), None);
    }
}
