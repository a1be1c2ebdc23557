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
}

impl Census {
    /// Looks at the host. `group` is the parent of the control groups, `link_prefix` begins the names of links.
    pub fn take(data_directory: &Path, group: &str, link_prefix: &str) -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self {
            mounts: mounts.lines().map(str::to_owned).collect(),
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
