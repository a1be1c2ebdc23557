//! What a sandbox is busy with, seen from outside: nobody inside is asked.

use std::io::Read as _;

use fs_err as fs;
use linux::cgroup::Group;
use types::work::{Work, WorkingProcess};

use crate::error::RunnerError;
use crate::host::Host;

/// How many processes are told of, the busiest first.
const PROCESSES: usize = 256;
/// How much of a command line is told, in bytes.
const COMMAND_BYTES: usize = 200;
/// The daemon's id inside.
const DAEMON: u32 = 1;

impl Host {
    /// Looks at what runs in a sandbox besides its daemon; nothing does in one that does not run. Whoever compares two
    /// looks sees what works and what only waits.
    pub fn work(&self, id: &str) -> Result<Work, RunnerError> {
        let found = self.table.with(id, |entry| {
            let process = entry.record.as_ref().filter(|_| entry.alive()).and_then(|record| record.process);
            Ok(process.map(|process| (entry.index, process.pid)))
        })?;
        let Some((index, first)) = found.flatten() else { return Ok(Work::default()) };
        Ok(Work { processes: processes(&self.ground.group(index)), connections: connections(first) })
    }
}

fn processes(group: &Group) -> Vec<WorkingProcess> {
    let mut processes: Vec<WorkingProcess> = group.processes().into_iter().filter_map(process).collect();
    processes.sort_by(|one, other| {
        other.cpu_milliseconds.cmp(&one.cpu_milliseconds).then(one.pid.cmp(&other.pid))
    });
    processes.truncate(PROCESSES);
    processes
}

/// Looks at one process; `None` for the daemon, for one that has ended, and for one that is gone.
fn process(pid: i32) -> Option<WorkingProcess> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let inside: u32 = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?
        .split_whitespace()
        .last()?
        .parse()
        .ok()?;
    if inside == DAEMON {
        return None;
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (state, cpu_milliseconds) = state_and_time(&stat)?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    Some(WorkingProcess { pid: inside, command: command(pid, &stat), cpu_milliseconds })
}

/// Reads the state and the processor time from `/proc/<pid>/stat`, the time of children that have ended included: a
/// shell that runs one short command after the other is at work.
fn state_and_time(stat: &str) -> Option<(&str, u64)> {
    // The second field is the command in parentheses and may hold anything.
    let (_, after) = stat.rsplit_once(") ")?;
    let mut fields = after.split(' ');
    let state = fields.next()?;
    let ticks: u64 = fields.skip(10).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Some((state, ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1)))
}

/// Returns the command line, or the name of a process that has none. Both are the tenant's own words, of any length.
fn command(pid: i32, stat: &str) -> String {
    let mut words = Vec::new();
    if let Ok(file) = fs::File::open(format!("/proc/{pid}/cmdline")) {
        // A process that is ending has none.
        let _ = file.take(COMMAND_BYTES as u64).read_to_end(&mut words);
    }
    if words.is_empty() {
        let name = stat.split_once(" (").and_then(|(_, rest)| rest.rsplit_once(") ")).map(|(name, _)| name);
        words = name.unwrap_or_default().as_bytes().to_vec();
    }
    printable(&words)
}

fn printable(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let text: String = text.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
    text.trim_end().to_owned()
}

/// Counts the established TCP connections to other machines in the network of the process `pid`.
///
/// The kernel walks through the connections of the whole host for it, so it is asked only where there are any sockets.
fn connections(pid: i32) -> u32 {
    let table = |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let counted = [("sockstat", "tcp"), ("sockstat6", "tcp6")].into_iter().map(|(summary, sockets)| {
        if in_use(&table(summary)) == 0 { 0 } else { established(&table(sockets)) }
    });
    counted.sum()
}

/// Reads how many TCP sockets there are, those that only listen included.
fn in_use(summary: &str) -> u32 {
    let line = summary
        .lines()
        .find_map(|line| line.strip_prefix("TCP: inuse ").or_else(|| line.strip_prefix("TCP6: inuse ")));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Counts lines of `/proc/net/tcp` that are established and do not stay on this machine.
fn established(table: &str) -> u32 {
    const ESTABLISHED: &str = "01";
    // Numbers of the machine's own order: the first byte of an IPv4 address comes last.
    let is_loopback = |address: &str| {
        let address = address.split(':').next().unwrap_or_default();
        address == "00000000000000000000000001000000"
            || (address.len() == 8 && address.ends_with("7F"))
            || (address.starts_with("0000000000000000FFFF0000") && address.ends_with("7F"))
    };
    let counts = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        let remote = fields.next().unwrap_or_default();
        fields.next() == Some(ESTABLISHED) && !is_loopback(remote)
    };
    u32::try_from(table.lines().skip(1).filter(counts).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_ended_children_counts() {
        let stat = "12 (a) b) S 1 12 12 0 -1 4194560 1 2 3 4 100 20 3 7 20 0 1 0 999 0";
        assert_eq!(state_and_time(stat), Some(("S", 1300)));
        assert_eq!(state_and_time("nothing"), None);
    }

    #[test]
    fn command_lines_are_printed_whatever_they_hold() {
        assert_eq!(printable(b"sh\0-c\0echo \x1b[1m\xff\0"), "sh -c echo  [1m\u{fffd}");
    }

    #[test]
    fn connections_to_others_are_counted() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
             0: 00000000:1F90 00000000:0000 0A 0\n\
             1: 0200000A:1F90 0A0A0A0A:0050 01 0\n\
             2: 0100007F:1F90 0100007F:0050 01 0\n\
             3: 0200000A:1F91 0A0A0A0A:0050 06 0\n";
        assert_eq!(established(table), 1);
        let table = "head\n 0: 0000000000000000FFFF00000100007F:01BB 0000000000000000FFFF00000100007F:D431 01 0\n\
             1: 00000000000000000000000001000000:01BB 00000000000000000000000001000000:D431 01 0\n\
             2: B80D0120000000000000000001000000:01BB B80D0120000000000000000002000000:D431 01 0\n";
        assert_eq!(established(table), 1);
        assert_eq!(in_use("sockets: used 3\nTCP: inuse 2 orphan 0 tw 0\n"), 2);
        assert_eq!(in_use("TCP6: inuse 4\nUDP6: inuse 1\n"), 4);
    }
}
