//! Limits of a group in use on the kernel's own control groups, whichever version this host has.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use linux::cgroup::{Events, Group, Hierarchy, Limits};
use linux::child::{self, Exit, Program};

const MIB: u64 = 1 << 20;

/// A group that is removed with its processes.
struct Own {
    hierarchy: Hierarchy,
    parent: String,
    group: Group,
}

impl Own {
    /// Makes a group; says why when it cannot.
    fn new(name: &str, memory_bytes: u64) -> Option<Self> {
        let hierarchy = Hierarchy::detect().expect("mounts");
        if !rustix::process::geteuid().is_root() || !hierarchy.missing().is_empty() {
            println!("skipped {name}: needs root and control groups for {:?}", hierarchy.missing());
            return None;
        }
        let parent = format!("linux-test-{}", std::process::id());
        let limits = Limits { cpu_thousandths: 1000, memory_bytes, processes: 20 };
        let group = hierarchy.create(&parent, name, &limits).expect("a group");
        if group.doors().expect("doors").is_empty() {
            println!(
                "skipped {name}: this host has version 2 alone, where a process must be cloned into its group"
            );
            return None;
        }
        Some(Self { hierarchy, parent, group })
    }

    /// Runs a shell script in the group to its end.
    fn run(&self, script: &str) -> Exit {
        let pid = self.start(script);
        let status = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        let (_, status) = status.expect("wait").expect("ended");
        let signal = || Exit::Signal(status.terminating_signal().unwrap_or(0));
        status.exit_status().map_or_else(signal, Exit::Code)
    }

    fn start(&self, script: &str) -> rustix::process::Pid {
        let doors = self.group.doors().expect("doors");
        let null =
            OwnedFd::from(std::fs::File::options().read(true).write(true).open("/dev/null").expect("null"));
        let mut descriptors = vec![null.as_fd(), null.as_fd(), null.as_fd()];
        descriptors.extend(doors.iter().map(|door| door.as_fd()));
        let walk: Vec<String> = (3..3 + doors.len()).map(|number| format!("echo 0 >&{number}; ")).collect();
        let words = ["sh", "-c", &format!("{}{script}", walk.concat())];
        let program = Program {
            path: c"/bin/sh".into(),
            arguments: words.into_iter().map(|word| CString::new(word).expect("no NUL")).collect(),
            environment: vec![c"PATH=/usr/bin:/bin".into()],
            directory: None,
            descriptors,
            credentials: None,
            is_terminal: false,
        };
        child::spawn(&program).expect("a shell")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for _ in 0..200 {
            for pid in self.group.processes() {
                if let Ok(Some(pidfd)) = linux::process::open(pid) {
                    let _ = linux::process::kill(&pidfd);
                }
                if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                    let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
                }
            }
            if self.group.remove().is_ok() {
                // Another test of this process may still have its own group below the same parent.
                let _ = self.hierarchy.group("", &self.parent).remove();
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn limits_change_in_use_and_what_happens_is_counted() {
    let Some(own) = Own::new("change", 48 * MIB) else { return };
    let events = Events::new(own.group.events().expect("events"));
    assert_eq!(events.memory_limit_bytes(), Some(48 * MIB));
    assert_eq!(
        (events.cpu_thousandths(), events.memory_kills(), events.process_refusals()),
        (Some(1000), Some(0), Some(0))
    );

    assert_ne!(own.run("dd if=/dev/zero of=/dev/null bs=96M count=1"), Exit::Code(0));
    assert_eq!((events.memory_kills(), own.group.usage().memory_kills), (Some(1), 1));

    // Up, down and up again, in the order that each direction needs.
    for memory_bytes in [256 * MIB, 64 * MIB, 512 * MIB] {
        let limits = Limits { cpu_thousandths: 500, memory_bytes, processes: 5 };
        own.group.change(&limits).expect("other limits");
        assert_eq!(own.group.limits().expect("limits"), limits);
        assert_eq!(events.memory_limit_bytes(), Some(memory_bytes));
    }
    assert_eq!(events.cpu_thousandths(), Some(500));
    assert_eq!(own.run("dd if=/dev/zero of=/dev/null bs=96M count=1"), Exit::Code(0));
    assert!(own.group.usage().memory_peak_bytes > 96 * MIB);
    assert_eq!(events.memory_kills(), Some(1));

    // Long enough that all would be there at once, however slowly they are started.
    own.run("for i in 1 2 3 4 5 6 7 8; do sleep 3 & done; wait");
    assert!(events.process_refusals().expect("a counter") > 0);
    assert_eq!(events.process_refusals(), Some(own.group.usage().process_refusals));
    // So little that a machine busy with others gives it, too; and room beside what those left that slept.
    own.group.change(&Limits { cpu_thousandths: 20, memory_bytes: 64 * MIB, processes: 64 }).expect("less");
    own.run("timeout 1 sh -c 'while :; do :; done'");
    assert!(own.group.usage().throttled_periods > 0, "{:?}", own.group.usage());
}

#[test]
fn memory_in_use_is_given_back_or_kept_but_nobody_is_killed_for_it() {
    let Some(own) = Own::new("busy", 512 * MIB) else { return };
    let events = Events::new(own.group.events().expect("events"));
    let before = own.group.limits().expect("limits");
    // Memory of a file goes when it must.
    let file = std::env::temp_dir().join(format!("cgroup-cache-{}", std::process::id()));
    own.run(&format!("head -c {} /dev/zero > {}", 128 * MIB, file.display()));
    assert!(own.group.usage().memory_bytes > 64 * MIB, "{:?}", own.group.usage());
    own.group.change(&Limits { memory_bytes: 32 * MIB, ..before }).expect("the cache is given back");
    assert!(own.group.usage().memory_bytes <= 32 * MIB);
    std::fs::remove_file(file).expect("remove");
    own.group.change(&before).expect("as before");

    // Memory of a process does not: there is no swap for it.
    let pid = own.start("x=$(yes 0123456789 | head -c 100000000); sleep 60");
    while own.group.usage().memory_bytes < 96 * MIB {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let refused = own.group.change(&Limits { memory_bytes: 32 * MIB, cpu_thousandths: 100, processes: 3 });
    assert_eq!(refused.expect_err("it is in use").errno(), rustix::io::Errno::BUSY.raw_os_error());
    assert_eq!(own.group.limits().expect("limits"), before);
    assert_eq!(events.memory_kills(), Some(0));
    let pidfd = linux::process::open(pid.as_raw_nonzero().get()).expect("open").expect("it lives");
    assert!(!linux::process::wait(&pidfd, 0).expect("wait"));
}
