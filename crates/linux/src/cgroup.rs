//! Limits on a group of processes (cgroups(7)): version 1, version 2, and a host that mixes both.

pub mod limit;
pub mod event;
mod freeze;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::errno::{CallError, Context as _};

pub use event::{Events, Usage};
use freeze::Freezer;
use limit::Controller;
pub use limit::Limits;

/// The controllers that limit a sandbox.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The version 1 controller that freezes.
const FREEZER: &str = "freezer";

/// Where each controller of this host lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Version 1 mounts: controller and mount point.
    version_1: Vec<(&'static str, PathBuf)>,
    /// The version 2 mount with its controllers; without any it still tracks, kills and freezes.
    version_2: Option<(PathBuf, Vec<&'static str>)>,
    /// Where version 1 freezes; of use only where there is no version 2, which does it better.
    freezer: Option<PathBuf>,
}

impl Hierarchy {
    /// Reads where this host keeps its controllers.
    pub fn detect() -> Result<Self, CallError> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("read", "/proc/self/mountinfo")?;
        Ok(Self::from_mounts(&mounts, |path| {
            fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default()
        }))
    }

    /// Reads the text of `/proc/self/mountinfo`; `controllers` tells those of a version 2 mount.
    fn from_mounts(mounts: &str, controllers: impl Fn(&Path) -> String) -> Self {
        let mut hierarchy = Self { version_1: Vec::new(), version_2: None, freezer: None };
        for line in mounts.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(point) = left.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut right = right.split(' ');
            match right.next() {
                Some("cgroup") => {
                    let options = right.nth(1).unwrap_or_default();
                    for controller in CONTROLLERS {
                        if options.split(',').any(|option| option == controller) {
                            hierarchy.version_1.push((controller, point.clone()));
                        }
                    }
                    if options.split(',').any(|option| option == FREEZER) {
                        hierarchy.freezer = Some(point);
                    }
                }
                Some("cgroup2") => {
                    let present = controllers(&point);
                    let present = present.split_whitespace();
                    let usable = |name: &str| CONTROLLERS.into_iter().find(|known| *known == name);
                    hierarchy.version_2 = Some((point, present.filter_map(usable).collect()));
                }
                _ => {}
            }
        }
        if hierarchy.version_2.is_some() {
            hierarchy.freezer = None;
        }
        hierarchy
    }

    /// Tells whether groups can be frozen here.
    pub fn can_freeze(&self) -> bool {
        self.version_2.is_some() || self.freezer.is_some()
    }

    /// Forgets version 2, as on a host that has none, so that what such hosts do can be tried on every host.
    #[must_use]
    pub fn of_version_1_alone(mut self) -> Self {
        let (_, point) = self.version_1.first().cloned().unwrap_or_default();
        let freezer = point.parent().map(|mounts| mounts.join(FREEZER));
        self.freezer = freezer.filter(|directory| directory.is_dir());
        self.version_2 = None;
        self
    }

    /// Names the limits that this host cannot enforce.
    pub fn missing(&self) -> Vec<&'static str> {
        let version_2 =
            self.version_2.as_ref().map(|(_, controllers)| controllers.as_slice()).unwrap_or_default();
        let on_1 = |name: &str| self.version_1.iter().any(|(controller, _)| *controller == name);
        CONTROLLERS.into_iter().filter(|name| !on_1(name) && !version_2.contains(name)).collect()
    }

    /// Makes the group `parent/name` with `limits`; an existing one gets the limits anew.
    pub fn create(&self, parent: &str, name: &str, limits: &Limits) -> Result<Group, CallError> {
        for point in self.version_1.iter().map(|(_, point)| point).chain(&self.freezer) {
            make(&point.join(parent).join(name))?;
        }
        if let Some((point, controllers)) = &self.version_2 {
            let outer = point.join(parent);
            make(&outer)?;
            for controller in controllers {
                for ancestor in [point, &outer] {
                    limit::write(&ancestor.join("cgroup.subtree_control"), &format!("+{controller}"))?;
                }
            }
            make(&outer.join(name))?;
        }
        let group = self.group(parent, name);
        limit::apply(&group.controllers, limits)?;
        Ok(group)
    }

    /// Finds the groups below `parent` that exist on any hierarchy.
    pub fn list(&self, parent: &str) -> Vec<String> {
        let points = self
            .version_1
            .iter()
            .map(|(_, point)| point)
            .chain(&self.freezer)
            .chain(self.version_2.iter().map(|(point, _)| point));
        let mut names: Vec<String> = points
            .filter_map(|point| fs::read_dir(point.join(parent)).ok())
            .flat_map(|entries| entries.filter_map(Result::ok))
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Names the group `parent/name` without making it.
    pub fn group(&self, parent: &str, name: &str) -> Group {
        let mut controllers = Vec::new();
        for (controller, point) in &self.version_1 {
            let directory = point.join(parent).join(name);
            controllers.push(Controller { name: controller, directory, is_version_2: false });
        }
        let version_2 = self.version_2.as_ref().map(|(point, present)| {
            let directory = point.join(parent).join(name);
            for controller in present {
                let directory = directory.clone();
                controllers.push(Controller { name: controller, directory, is_version_2: true });
            }
            directory
        });
        let mut version_1: Vec<PathBuf> = Vec::new();
        for controller in controllers.iter().filter(|controller| !controller.is_version_2) {
            if !version_1.contains(&controller.directory) {
                version_1.push(controller.directory.clone());
            }
        }
        let freezer = self.freezer.as_ref().map(|point| point.join(parent).join(name));
        if let Some(directory) = freezer.iter().find(|directory| !version_1.contains(directory)) {
            version_1.push(directory.clone());
        }
        let version_2_freezer = || version_2.clone().map(Freezer::Version2);
        let freezer = freezer.map(Freezer::Version1).or_else(version_2_freezer);
        Group { controllers, version_1, version_2, freezer }
    }
}

/// One group, on every hierarchy that limits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    controllers: Vec<Controller>,
    version_1: Vec<PathBuf>,
    version_2: Option<PathBuf>,
    freezer: Option<Freezer>,
}

impl Group {
    /// Stops every process of the group and waits until all have; one that does not within `timeout` lets all go on.
    /// Fails with `EOPNOTSUPP` on a host that cannot.
    pub fn freeze(&self, timeout: Duration) -> Result<(), CallError> {
        let unknown = || io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        self.freezer.as_ref().ok_or_else(unknown).context("freeze", "control group")?.freeze(timeout)
    }

    /// Lets the processes of the group go on; succeeds when they were not stopped, or there is no group.
    pub fn thaw(&self) -> Result<(), CallError> {
        match self.freezer.as_ref().filter(|freezer| freezer.is_frozen()) {
            Some(freezer) => freezer.thaw(),
            None => Ok(()),
        }
    }

    /// Tells whether the processes of the group are stopped. The kernel remembers it, whoever did it.
    pub fn is_frozen(&self) -> bool {
        self.freezer.as_ref().is_some_and(Freezer::is_frozen)
    }

    /// Returns the version 2 directory, into which a child can be cloned at once.
    pub fn version_2(&self) -> Option<&Path> {
        self.version_2.as_deref()
    }

    /// Reads the limits in force.
    pub fn limits(&self) -> Result<Limits, CallError> {
        limit::read(&self.controllers)
    }

    /// Changes the limits of a group in use, up or down. Memory in use is given back as far as the kernel can without
    /// ending a process; where that is not enough it fails with `EBUSY`. A failure leaves the limits as they were.
    pub fn change(&self, limits: &Limits) -> Result<(), CallError> {
        let before = self.limits()?;
        if before == *limits {
            return Ok(());
        }
        limit::apply(&self.controllers, limits).inspect_err(|_| {
            // What was in force a moment ago can be so again.
            let _ = limit::apply(&self.controllers, &before);
        })
    }

    /// Reads what the group uses and how often it hit its limits.
    pub fn usage(&self) -> Usage {
        event::usage(&self.controllers)
    }

    /// Opens the files in which the group's own processes can read the same; [`Events::new`] takes them. They are
    /// files and not directories: from a directory of the host a process could walk out.
    pub fn events(&self) -> Result<Vec<OwnedFd>, CallError> {
        event::open(&self.controllers)
    }

    /// Opens the version 1 files with which a single-threaded process [`enter`]s the group.
    ///
    /// The kernel checks who opened the file, not who writes: a process without any right on the host can be handed
    /// these. And a thread that moves itself needs no grace period of all processors, which writing somebody else's
    /// id to `cgroup.procs` does: 0.03 ms instead of 10 on a busy machine.
    pub fn doors(&self) -> Result<Vec<OwnedFd>, CallError> {
        let open = |directory: &PathBuf| {
            let path = directory.join("tasks");
            fs::File::options().write(true).open(&path).map(OwnedFd::from).context("open", path.display())
        };
        self.version_1.iter().map(open).collect()
    }

    /// Lists the processes of the group.
    pub fn processes(&self) -> Vec<i32> {
        let directories = self.version_1.iter().chain(&self.version_2);
        let mut ids: Vec<i32> = directories
            .filter_map(|directory| fs::read_to_string(directory.join("cgroup.procs")).ok())
            .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Removes the group, which must be empty of processes; succeeds when it is not there.
    pub fn remove(&self) -> Result<(), CallError> {
        for directory in self.version_1.iter().chain(&self.version_2) {
            match fs::remove_dir(directory) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).context("rmdir", directory.display()),
            }
        }
        Ok(())
    }
}

fn make(directory: &Path) -> Result<(), CallError> {
    fs::create_dir_all(directory).context("mkdir", directory.display())
}

/// Moves the calling thread, the only one of its process, through doors that [`Group::doors`] opened.
pub fn enter(doors: &[OwnedFd]) -> Result<(), CallError> {
    for door in doors {
        rustix::io::write(door, b"0").context("write", "tasks")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 24 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:1 - cgroup cgroup rw,cpu
32 24 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 24 0:29 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
34 24 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const PURE_1: &str = "\
31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 24 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
";
    const LIMITS: Limits = Limits { cpu_thousandths: 1500, memory_bytes: 1 << 30, processes: 512 };
    const SMALLER: Limits = Limits { cpu_thousandths: 500, memory_bytes: 1 << 29, processes: 256 };

    #[test]
    fn finds_controllers_on_every_kind_of_host() {
        let hybrid = Hierarchy::from_mounts(HYBRID, |_| "hugetlb".to_owned());
        assert_eq!(hybrid.version_1.len(), 3);
        assert_eq!(hybrid.version_2, Some((PathBuf::from("/sys/fs/cgroup/unified"), vec![])));
        assert!(hybrid.missing().is_empty());

        let old = Hierarchy::from_mounts(PURE_1, |_| String::new());
        assert_eq!((old.version_1.len(), &old.version_2), (3, &None));
        assert!(!old.can_freeze());
        let freezer = format!("{PURE_1}34 24 0:30 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n");
        let old = Hierarchy::from_mounts(&freezer, |_| String::new());
        assert!(old.can_freeze());
        let directory = PathBuf::from("/sys/fs/cgroup/freezer/a/b");
        let group = old.group("a", "b");
        assert_eq!(group.freezer, Some(Freezer::Version1(directory.clone())));
        assert!(group.version_1.contains(&directory), "who walks into the group walks into this too");
        // Version 2 does it better, where there is one.
        let both = Hierarchy::from_mounts(&format!("{HYBRID}{freezer}"), |_| String::new());
        let directory = PathBuf::from("/sys/fs/cgroup/unified/a/b");
        assert_eq!(both.group("a", "b").freezer, Some(Freezer::Version2(directory)));

        let new = Hierarchy::from_mounts("30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", |_| {
            "cpuset cpu io memory pids".to_owned()
        });
        assert_eq!(new.version_2, Some((PathBuf::from("/sys/fs/cgroup"), vec!["cpu", "memory", "pids"])));
        assert!(new.missing().is_empty());
        assert_eq!(Hierarchy::from_mounts("", |_| String::new()).missing(), CONTROLLERS);
    }

    /// Version 2 controllers do not exist on every machine that runs the tests, so the tree here is a fake one whose
    /// control files are ordinary files.
    #[test]
    fn writes_the_limits_of_version_2() {
        let root = std::env::temp_dir().join(format!("cgroup-{}", std::process::id()));
        let group = root.join("daytona/one");
        fs::create_dir_all(&group).unwrap();
        let files = ["cpu.max", "memory.swap.max", "pids.max", "../cgroup.subtree_control"];
        for file in files.iter().chain(&["../../cgroup.subtree_control"]) {
            fs::write(group.join(file), "").unwrap();
        }
        fs::write(group.join("memory.max"), "max\n").unwrap();
        let hierarchy = Hierarchy {
            version_1: vec![],
            version_2: Some((root.clone(), CONTROLLERS.to_vec())),
            freezer: None,
        };
        hierarchy.create("daytona", "one", &LIMITS).unwrap();
        let read = |file: &str| fs::read_to_string(group.join(file)).unwrap();
        assert_eq!(read("cpu.max"), "150000 100000");
        assert_eq!(read("memory.max"), "1073741824");
        assert_eq!(read("memory.swap.max"), "0");
        assert_eq!(read("pids.max"), "512");
        assert_eq!(hierarchy.list("daytona"), ["one"]);

        let group_of_tests = hierarchy.group("daytona", "one");
        assert_eq!(group_of_tests.limits().unwrap(), LIMITS);
        // More is in use than shall be allowed, and this kernel of files gives nothing back.
        fs::write(group.join("memory.current"), (3_u64 << 28).to_string()).unwrap();
        fs::write(group.join("memory.high"), "max").unwrap();
        let refused = group_of_tests.change(&SMALLER).unwrap_err();
        assert_eq!(refused.errno(), rustix::io::Errno::BUSY.raw_os_error());
        assert_eq!(group_of_tests.limits().unwrap(), LIMITS);
        assert_eq!(fs::read_to_string(group.join("memory.high")).unwrap(), "max");
        fs::write(group.join("memory.current"), "4096").unwrap();
        group_of_tests.change(&SMALLER).unwrap();
        assert_eq!(group_of_tests.limits().unwrap(), SMALLER);
        fs::remove_dir_all(root).unwrap();
    }
}
