//! Finds and kills everything that a command has started, whatever it did to hide (proc(5)).

use std::collections::{BTreeSet, HashSet};

use linux::credential::Credentials;
use rustix::process::{Pid, Signal};

/// The variable that marks every process of one execution; children inherit it even when they leave the session.
pub const MARK_VARIABLE: &str = "DAYTONA_EXECUTION_ID";
/// What no process has for its own number, its parent's, its group's or its session's.
pub const NOBODY: i32 = -1;
/// Every round finds at least one new process; a fork bomb is stopped faster than it forks long before this.
const ROUNDS: usize = 256;

/// One execution's processes.
#[derive(Debug, Clone, Copy)]
pub struct Tree<'a> {
    /// The process that was started, leader of its session and process group; [`NOBODY`] once it is collected.
    pub root: i32,
    /// The value of [`MARK_VARIABLE`].
    pub mark: &'a str,
    /// The user that the processes belong to: their environment may be readable to nobody else.
    pub credentials: &'a Credentials,
}

/// Kills every process of the tree.
///
/// A process belongs to it by descent, by session, by process group or by the mark in its environment. All are
/// stopped first, again and again until no new one appears, so that none can start another behind our back; only
/// then are they killed. What escapes is a process that both lost its parent and cleared its environment before the
/// first look.
pub fn kill(tree: Tree<'_>) {
    let mut members = HashSet::from([tree.root]);
    signal(tree.root, Signal::STOP);
    for _ in 0..ROUNDS {
        let found = newcomers(tree, &members);
        if found.is_empty() {
            break;
        }
        for pid in found {
            signal(pid, Signal::STOP);
            members.insert(pid);
        }
    }
    for pid in members {
        signal(pid, Signal::KILL);
    }
}

/// Asks every process of the tree that is not in `asked` to end, and adds it; returns how many there are left.
///
/// Meant to be repeated, as [`ask_everybody`] is.
pub fn ask(tree: Tree<'_>, asked: &mut BTreeSet<i32>) -> usize {
    let members = newcomers(tree, &HashSet::from([NOBODY]));
    ask_each(&members, asked);
    members.len()
}

/// Kills every other process of this sandbox.
pub fn kill_everybody() {
    // In one stroke where that is safe; elsewhere, as in tests, only what descends from this process.
    if linux::child::signal_all(Signal::KILL).is_err() {
        for pid in descendants() {
            signal(pid, Signal::KILL);
        }
    }
}

/// Asks every other process of this sandbox that is not in `asked` to end, and adds it; returns how many are left.
///
/// Meant to be repeated: a process may be started by another that has been asked already.
pub fn ask_everybody(asked: &mut BTreeSet<i32>) -> usize {
    let everybody: Vec<i32> = everybody().into_iter().collect();
    ask_each(&everybody, asked);
    everybody.len()
}

fn ask_each(processes: &[i32], asked: &mut BTreeSet<i32>) {
    for pid in processes {
        if asked.insert(*pid) {
            signal(*pid, Signal::TERM);
            // A stopped process hears nothing until it goes on.
            signal(*pid, Signal::CONT);
        }
    }
}

fn everybody() -> HashSet<i32> {
    if std::process::id() != 1 {
        return descendants();
    }
    processes().iter().map(|process| process.pid).filter(|pid| *pid != 1).collect()
}

fn descendants() -> HashSet<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut members = HashSet::from([own]);
    grow_by_descent(&processes(), &mut members);
    members.remove(&own);
    members
}

/// Returns the processes that belong to the tree and are not members yet.
fn newcomers(tree: Tree<'_>, members: &HashSet<i32>) -> Vec<i32> {
    let processes = processes();
    let mut grown = members.clone();
    for process in &processes {
        if process.session == tree.root || process.group == tree.root {
            grown.insert(process.pid);
        }
    }
    for process in &processes {
        if !grown.contains(&process.pid) && is_marked(process.pid, tree) {
            grown.insert(process.pid);
        }
    }
    grow_by_descent(&processes, &mut grown);
    grown.difference(members).copied().collect()
}

fn grow_by_descent(processes: &[Process], members: &mut HashSet<i32>) {
    loop {
        let before = members.len();
        for process in processes {
            if members.contains(&process.parent) {
                members.insert(process.pid);
            }
        }
        if members.len() == before {
            return;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    session: i32,
}

fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    names
        .filter_map(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
            parse_stat(pid, &String::from_utf8_lossy(&line))
        })
        .collect()
}

/// Reads the fields behind the name, which may itself contain spaces and parentheses.
fn parse_stat(pid: i32, line: &str) -> Option<Process> {
    let (_, fields) = line.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    // A zombie runs nothing and cannot be signalled; it would only make the rounds longer.
    if fields.next()? == "Z" {
        return None;
    }
    let mut number = || fields.next()?.parse().ok();
    Some(Process { pid, parent: number()?, group: number()?, session: number()? })
}

fn is_marked(pid: i32, tree: Tree<'_>) -> bool {
    let path = format!("/proc/{pid}/environ");
    let environment = match std::fs::read(&path) {
        // Root of a sandbox without CAP_SYS_PTRACE may not look at its user's processes; the user itself may.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let Ok(_as_user) = linux::credential::borrow_files(tree.credentials) else { return false };
            std::fs::read(&path)
        }
        other => other,
    };
    let Ok(environment) = environment else { return false };
    environment.split(|byte| *byte == 0).any(|variable| {
        variable
            .strip_prefix(MARK_VARIABLE.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
            .is_some_and(|value| value == tree.mark.as_bytes())
    })
}

fn signal(pid: i32, signal: Signal) {
    // 0 and negative numbers would reach groups, 1 is this sandbox's own daemon.
    if let Some(pid) = Some(pid).filter(|pid| *pid > 1).and_then(Pid::from_raw) {
        // It may be gone already.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse_the_parser() {
        let process = parse_stat(7, "7 (a) (b c) S 1 2 3 0 -1").expect("parsed");
        assert_eq!(process, Process { pid: 7, parent: 1, group: 2, session: 3 });
        assert_eq!(parse_stat(7, "7 (x) Z 1 2 3"), None);
        assert_eq!(parse_stat(7, "garbage"), None);
    }

    #[test]
    fn descent_is_followed_to_the_last_generation_in_any_order() {
        let process = |pid, parent| Process { pid, parent, group: 0, session: 0 };
        let mut members = HashSet::from([10]);
        grow_by_descent(&[process(13, 12), process(12, 11), process(11, 10), process(20, 1)], &mut members);
        assert_eq!(members, HashSet::from([10, 11, 12, 13]));
    }
}
