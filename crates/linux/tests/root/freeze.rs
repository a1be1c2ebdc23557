//! Processes are stopped and continued, on every version of control groups that this host has, and file systems are.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use linux::cgroup::{Group, Hierarchy, Limits};
use linux::ext4::freeze::{Frozen, freeze, thaw};
use linux::mount::Attributes;
use linux::{ext4, loopback, mount};
use rustix::fs::{Mode, OFlags};

const LIMITS: Limits = Limits { cpu_thousandths: 1000, memory_bytes: 64 << 20, processes: 20 };
const PATIENCE: Duration = Duration::from_mins(1);

/// A shell in a group of its own, that answers each line.
struct Own {
    hierarchy: Hierarchy,
    parent: String,
    group: Group,
    shell: Child,
}

impl Own {
    fn new(hierarchy: Hierarchy, name: &str) -> Self {
        let parent = format!("linux-freeze-{}-{name}", std::process::id());
        let group = hierarchy.create(&parent, "one", &LIMITS).expect("a group");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "while read line; do echo answer; done"]);
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        for door in group.doors().expect("doors") {
            rustix::io::write(&door, shell.id().to_string().as_bytes()).expect("moved");
        }
        if let Some(directory) = group.version_2() {
            std::fs::write(directory.join("cgroup.procs"), shell.id().to_string()).expect("moved");
        }
        Self { hierarchy, parent, group, shell }
    }

    /// Asks the shell and says whether it answers in time.
    fn ask(&mut self) {
        self.shell.stdin.as_mut().expect("a pipe").write_all(b"x\n").expect("asked");
    }

    fn answers(&mut self) {
        let mut line = String::new();
        let output = self.shell.stdout.as_mut().expect("a pipe");
        BufReader::with_capacity(1, output).read_line(&mut line).expect("an answer");
        assert_eq!(line, "answer\n");
    }

    /// Returns the processor time of the shell so far, in ticks, and its state.
    fn look(&self) -> (u64, String) {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.shell.id())).expect("stat");
        let words: Vec<&str> = text.rsplit_once(") ").expect("fields").1.split(' ').collect();
        let ticks = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok()).expect("ticks");
        (ticks(11) + ticks(12), words.first().expect("a state").to_string())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // What fails here is seen as a group that cannot be removed.
        let _ = (self.shell.kill(), self.group.thaw(), self.shell.wait());
        for _ in 0..200 {
            if self.group.remove().is_ok() && self.hierarchy.group("", &self.parent).remove().is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn holds_and_continues(hierarchy: Hierarchy, name: &str) {
    let mut own = Own::new(hierarchy, name);
    own.ask();
    own.answers();
    assert!(!own.group.is_frozen());
    own.group.freeze(PATIENCE).expect("frozen");
    own.group.freeze(PATIENCE).expect("frozen again");
    assert!(own.group.is_frozen());
    own.ask();
    let (before, _) = own.look();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(own.look().0, before);
    // Somebody who knows nothing of it finds it by its name.
    let found = own.hierarchy.group(&own.parent, "one");
    assert!(found.is_frozen());
    found.thaw().expect("thawed");
    found.thaw().expect("thawed again");
    assert!(!own.group.is_frozen());
    own.answers();
}

#[test]
fn a_group_is_held_and_goes_on() {
    let hierarchy = Hierarchy::detect().expect("mounts");
    if !rustix::process::geteuid().is_root() || !hierarchy.can_freeze() {
        println!("skipped: needs root and a freezer");
        return;
    }
    holds_and_continues(hierarchy, "as-found");
}

#[test]
fn a_group_of_version_1_is_held_and_goes_on() {
    let hierarchy = Hierarchy::detect().expect("mounts").of_version_1_alone();
    if !rustix::process::geteuid().is_root() || !hierarchy.can_freeze() {
        println!("skipped: needs root and the freezer of version 1");
        return;
    }
    holds_and_continues(hierarchy, "version-1");
}

#[test]
fn what_is_not_there_is_not_frozen_and_cannot_be() {
    let group = Hierarchy::detect().expect("mounts").group("linux-freeze-none", "one");
    assert!(!group.is_frozen());
    group.thaw().expect("nothing to thaw");
    assert!(group.freeze(PATIENCE).is_err());
}

#[test]
fn a_file_system_is_held_until_it_is_let_go_by_anybody() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting needs root");
        return;
    }
    let path = std::env::temp_dir().join(format!("freeze-{}", std::process::id()));
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).expect("a file");
    ext4::format(&file, 128 << 20, [3; 16], 0).expect("formatted");
    std::fs::remove_file(&path).expect("removed");
    let device = loopback::attach(&file).expect("a loop device");
    let mounted =
        mount::filesystem("ext4", &[("source", &device.path)], Attributes::empty()).expect("mounted");
    let open = || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&mounted, ".", flags, Mode::empty()).expect("a directory")
    };
    let root = open();
    let write = || {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&root, "file", flags, Mode::from_raw_mode(0o600)).expect("a file");
        rustix::io::write(&file, b"text").expect("written");
    };
    write();
    for by_drop in [true, false] {
        let frozen = Frozen::new(open()).expect("frozen");
        assert!(!ext4::growth::needs_recovery(&device.device).expect("a superblock"), "its journal is empty");
        std::thread::scope(|scope| {
            let writer = scope.spawn(write);
            std::thread::sleep(Duration::from_millis(50));
            assert!(!writer.is_finished(), "it wrote to a frozen file system");
            if by_drop {
                drop(frozen);
            } else {
                frozen.thaw().expect("thawed");
            }
            writer.join().expect("the writer went on");
        });
    }
    // What a crash leaves frozen is let go by whoever finds it.
    freeze(&root).expect("frozen");
    assert!(thaw(&root).expect("thawed"));
    assert!(!thaw(&root).expect("nothing to thaw"));
    write();
}
