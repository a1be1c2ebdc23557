//! Counts what a host holds, so that a test can say that nothing was left behind.

use std::collections::BTreeSet;
use std::path::Path;

/// The host objects that sandboxes are made of. Two of them compare as before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// Lines of `/proc/self/mountinfo`.
    pub mounts: BTreeSet<String>,
    /// Network links of the instance.
    pub links: BTreeSet<String>,
    /// Control groups of the instance, on every hierarchy.
    pub groups: BTreeSet<String>,
    /// Files below the data directory that loop devices show.
    pub loops: BTreeSet<String>,
    /// What lies below the directories of sandboxes and sockets.
    pub files: BTreeSet<String>,
    /// Processes whose user namespace maps ids of the instance, with their names. Zombies that somebody of ours should
    /// collect count; those that the machine's first process has inherited are ended, and its to collect when it likes.
    pub processes: BTreeSet<String>,
}

impl Census {
    /// Looks at the host. `group` is the parent of the control groups, `link_prefix` begins the names of links,
    /// sandboxes of the instance have the `ids` ids from `id_base` on.
    pub fn take(data_directory: &Path, group: &str, link_prefix: &str, id_base: u32, ids: u32) -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self {
            // Sandboxes have none of these; tests that run beside this one may mount one to put a host on it, or name
            // a namespace.
            mounts: mounts
                .lines()
                .filter(|line| ![" - xfs ", " - btrfs ", " - nsfs "].iter().any(|kind| line.contains(kind)))
                .map(str::to_owned)
                .collect(),
            links: names(Path::new("/sys/class/net"))
                .into_iter()
                .filter(|name| name.starts_with(link_prefix))
                .collect(),
            groups: groups(Path::new("/sys/fs/cgroup"), group, 3),
            loops: loops(data_directory),
            files: ["sandboxes", "run"]
                .into_iter()
                .flat_map(|part| {
                    names(&data_directory.join(part)).into_iter().map(move |name| format!("{part}/{name}"))
                })
                .collect(),
            processes: processes(Path::new("/proc"), id_base, ids),
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Finds directories below a group named for the instance.
fn groups(directory: &Path, instance: &str, depth: u32) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in names(directory) {
        let path = directory.join(&name);
        if !path.is_dir() || path.is_symlink() {
            continue;
        }
        if name == instance {
            let inner = names(&path).into_iter().filter(|inner| path.join(inner).is_dir());
            found.extend(inner.map(|inner| path.join(inner).display().to_string()));
        } else if depth > 1 {
            found.extend(groups(&path, instance, depth - 1));
        }
    }
    found
}

fn loops(data_directory: &Path) -> BTreeSet<String> {
    let prefix = data_directory.display().to_string();
    names(Path::new("/sys/block"))
        .into_iter()
        .filter_map(|name| std::fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).ok())
        .map(|file| file.trim().to_owned())
        .filter(|file| file.starts_with(&prefix) && !file.contains("/pool/"))
        .collect()
}

/// Finds processes by the map of their user namespace, which is the only thing that they cannot change about themselves.
fn processes(proc: &Path, id_base: u32, ids: u32) -> BTreeSet<String> {
    let is_process = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    names(proc)
        .into_iter()
        .filter(is_process)
        .filter(|process| {
            // A process that ended meanwhile has no map, and is not there.
            let map = std::fs::read_to_string(proc.join(process).join("uid_map")).unwrap_or_default();
            is_of_instance(&map, id_base, ids)
        })
        .filter(|process| {
            let status = std::fs::read_to_string(proc.join(process).join("status")).unwrap_or_default();
            !(status.contains("\nState:\tZ") && status.contains("\nPPid:\t1\n"))
        })
        .map(|process| {
            let name = std::fs::read_to_string(proc.join(&process).join("comm")).unwrap_or_default();
            format!("{process} {}", name.trim())
        })
        .collect()
}

/// Tells whether a map leads into the range; its lines are the first id inside, the first outside, and a count.
fn is_of_instance(map: &str, id_base: u32, ids: u32) -> bool {
    let outside = map.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<u32>().ok());
    outside.into_iter().any(|base| base.checked_sub(id_base).is_some_and(|offset| offset < ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_known_by_their_ids() {
        let of_host = "         0          0 4294967295\n";
        assert!(!is_of_instance(of_host, 1_000_000, 65_536));
        assert!(!is_of_instance("", 0, u32::MAX), "one that ended has no map");
        for (base, is_ours) in [(999_999, false), (1_000_000, true), (1_065_535, true), (1_065_536, false)] {
            let map = format!("         0 {base:>10}      65536\n");
            assert_eq!(is_of_instance(&map, 1_000_000, 65_536), is_ours, "{base}");
        }
        // This process is found by its own map, whatever the machine it runs on maps.
        let own = std::fs::read_to_string("/proc/self/uid_map").unwrap();
        let base = own.split_whitespace().nth(1).unwrap().parse().unwrap();
        let found = processes(Path::new("/proc"), base, 1);
        let prefix = format!("{} ", std::process::id());
        assert!(found.iter().any(|process| process.starts_with(&prefix)), "{found:?}");
    }
}
