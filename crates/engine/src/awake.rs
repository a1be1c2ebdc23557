//! What keeps a sandbox awake: its work between two looks, and the words for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use types::sandbox::{Desired, Observed, Sandbox};
use types::work::{Work, WorkingProcess};
use types::{SandboxId, Timestamp};

use crate::due::{self, Due};

/// The label by which a sandbox asks to stay awake while it works: `work`, `connections`, both with a comma, or `never`.
pub const KEEP_AWAKE: &str = "daytona.io/keep-awake";
/// Two looks are so far apart at least: processor time is counted in hundredths of a second.
const LEAST_SPAN: SignedDuration = SignedDuration::from_secs(5);
/// A look that is older says nothing about now.
const GREATEST_SPAN: SignedDuration = SignedDuration::from_mins(2);
/// So much of a processor is work; less is waiting.
const WORKING_PERCENT: u64 = 1;

/// Which work keeps a sandbox awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeepAwake {
    /// Processes that use a processor.
    pub work: bool,
    /// Open connections.
    pub connections: bool,
}

impl KeepAwake {
    /// Reads a label; `None` when it says nothing that is known.
    pub fn parse(text: &str) -> Option<Self> {
        let mut keep = Self::default();
        for word in text.split(',') {
            match word.trim() {
                "work" => keep.work = true,
                "connections" => keep.connections = true,
                "never" => {}
                _ => return None,
            }
        }
        Some(keep)
    }

    /// Returns what keeps `sandbox` awake: what its label says, else the server's default.
    #[must_use]
    pub fn of(sandbox: &Sandbox, default: Self) -> Self {
        sandbox.labels.get(KEEP_AWAKE).and_then(|text| Self::parse(text)).unwrap_or(default)
    }

    /// Tells whether nothing does.
    pub const fn is_never(self) -> bool {
        !self.work && !self.connections
    }
}

/// One thing that keeps a sandbox awake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awake {
    /// A stable word: `used`, `work`, `connections`, `copying` or `auto-stop-off`.
    pub reason: &'static str,
    /// What was seen, for a person.
    pub detail: String,
}

/// The last look at each sandbox that is asked to stay awake while it works.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<HashMap<SandboxId, Look>>);

#[derive(Debug)]
struct Look {
    at: Timestamp,
    work: Work,
    /// What worked between the look before and this one; `None` when there was none.
    worked: Option<Vec<Awake>>,
}

impl Looks {
    /// Adds a look and returns what works, `None` while that is not known: it takes two looks.
    pub(crate) fn add(
        &self,
        id: SandboxId,
        keep: KeepAwake,
        work: Work,
        now: Timestamp,
    ) -> Option<Vec<Awake>> {
        let connected = connections(keep, &work);
        let mut looks = self.looks();
        let last = looks.remove(&id).filter(|last| now.duration_since(last.at) <= GREATEST_SPAN);
        let look = match last {
            Some(last) if now.duration_since(last.at) < LEAST_SPAN => last,
            Some(last) => {
                let elapsed = now.duration_since(last.at);
                Look { at: now, worked: Some(working(&last.work, &work, elapsed)), work }
            }
            None => Look { at: now, work, worked: None },
        };
        let worked = if keep.work { look.worked.clone() } else { Some(Vec::new()) };
        looks.insert(id, look);
        if connected.is_empty() {
            return worked;
        }
        Some(connected.into_iter().chain(worked.unwrap_or_default()).collect())
    }

    /// Forgets what is too old to be compared with.
    pub(crate) fn forget_before(&self, now: Timestamp) {
        self.looks().retain(|_, look| now.duration_since(look.at) <= GREATEST_SPAN);
    }

    /// Locks the looks. A panic elsewhere cannot leave them half changed: every change is one call.
    fn looks(&self) -> MutexGuard<'_, HashMap<SandboxId, Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connections(keep: KeepAwake, work: &Work) -> Vec<Awake> {
    let count = work.connections;
    let connected = keep.connections && count > 0;
    let detail =
        if count == 1 { "1 open connection".to_owned() } else { format!("{count} open connections") };
    if connected { vec![Awake { reason: "connections", detail }] } else { Vec::new() }
}

/// Returns the processes that used a processor between two looks, busiest first.
fn working(before: &Work, now: &Work, elapsed: SignedDuration) -> Vec<Awake> {
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or_default().max(1);
    let mut busy: Vec<(u64, &WorkingProcess)> = Vec::new();
    for process in &now.processes {
        let known = before.processes.iter().find(|other| other.pid == process.pid);
        // A smaller count is another process under the same number.
        let start = known.map_or(0, |known| known.cpu_milliseconds);
        let used_ms = process.cpu_milliseconds.checked_sub(start).unwrap_or(process.cpu_milliseconds);
        let percent = used_ms.saturating_mul(100) / elapsed_ms;
        if used_ms.saturating_mul(100) > elapsed_ms.saturating_mul(WORKING_PERCENT) {
            busy.push((percent.max(WORKING_PERCENT), process));
        }
    }
    busy.sort_by_key(|(percent, _)| std::cmp::Reverse(*percent));
    let detail = |(percent, process): (u64, &WorkingProcess)| Awake {
        reason: "work",
        detail: format!("pid {} `{}` used {percent} % of a processor", process.pid, process.command),
    };
    busy.into_iter().map(detail).collect()
}

/// Says what keeps a sandbox awake apart from its work; nothing for one that does not run.
pub fn reasons(sandbox: &Sandbox, now: Timestamp) -> Vec<Awake> {
    if (sandbox.desired, sandbox.observed) != (Desired::Started, Observed::Started) {
        return Vec::new();
    }
    let mut reasons = Vec::new();
    if sandbox.capturing() || sandbox.backing_up() {
        let detail = "its files are being copied: it changes by itself only afterwards".to_owned();
        reasons.push(Awake { reason: "copying", detail });
    }
    match due::next(sandbox) {
        Some((due, at)) => {
            let used = now.duration_since(sandbox.last_activity_at).as_secs().max(0);
            let becomes = match due {
                Due::Pause => "is paused",
                Due::Destroy => "is deleted",
                Due::Touch | Due::Stop | Due::Archive => "stops",
            };
            let detail = format!("last used {used} s ago; {becomes} at {at}");
            reasons.push(Awake { reason: "used", detail });
        }
        None if reasons.is_empty() => {
            let detail = "auto-stop is off: it runs until somebody stops it".to_owned();
            reasons.push(Awake { reason: "auto-stop-off", detail });
        }
        None => {}
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SandboxId = SandboxId::from_u128(1);
    const KEEP: KeepAwake = KeepAwake { work: true, connections: false };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn work(counts: &[(u32, u64)]) -> Work {
        let process = |(pid, cpu_milliseconds): &(u32, u64)| WorkingProcess {
            pid: *pid,
            command: "npm test".to_owned(),
            cpu_milliseconds: *cpu_milliseconds,
        };
        Work { processes: counts.iter().map(process).collect(), connections: 2 }
    }

    #[test]
    fn it_takes_two_looks_to_see_work() {
        let looks = Looks::default();
        assert_eq!(looks.add(ID, KEEP, work(&[(812, 100_000)]), at(0)), None);
        assert_eq!(looks.add(ID, KEEP, work(&[(812, 100_010)]), at(2)), None, "too soon");
        let seen = looks.add(ID, KEEP, work(&[(812, 100_300)]), at(10)).unwrap();
        let detail = "pid 812 `npm test` used 3 % of a processor".to_owned();
        assert_eq!(seen, [Awake { reason: "work", detail }]);
        assert_eq!(looks.add(ID, KEEP, work(&[(812, 100_400)]), at(20)), Some(Vec::new()), "1 % is waiting");
        assert_eq!(looks.add(ID, KEEP, work(&[(812, 999_999)]), at(300)), None, "too long ago");
    }

    #[test]
    fn new_processes_count_from_their_start_and_so_do_others_under_the_same_number() {
        let looks = Looks::default();
        looks.add(ID, KEEP, work(&[(7, 90_000)]), at(0));
        let seen = looks.add(ID, KEEP, work(&[(7, 2_000), (8, 5_000)]), at(10)).unwrap();
        let pids: Vec<_> = seen.iter().map(|awake| awake.detail.split('`').next().unwrap()).collect();
        assert_eq!(pids, ["pid 8 ", "pid 7 "]);
    }

    #[test]
    fn connections_count_at_once_and_only_where_asked_for() {
        let looks = Looks::default();
        let keep = KeepAwake { work: false, connections: true };
        let seen = looks.add(ID, keep, work(&[]), at(0)).unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].detail, "2 open connections");
        let other = SandboxId::from_u128(2);
        assert_eq!(looks.add(other, KeepAwake::default(), work(&[]), at(0)), Some(Vec::new()));
    }

    #[test]
    fn labels_read() {
        let both = KeepAwake { work: true, connections: true };
        for (text, read) in [
            ("work", Some(KEEP)),
            ("connections, work", Some(both)),
            ("never", Some(KeepAwake::default())),
            ("", None),
            ("Work", None),
        ] {
            assert_eq!(KeepAwake::parse(text), read, "{text}");
        }
    }
}
