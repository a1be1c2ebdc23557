//! Network namespaces that live as long as a test, entered by one thread at a time.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Returns whether the test may run; says why when it may not.
pub(crate) fn available(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    let tools = ["ip", "nft"].iter().all(|tool| Command::new(tool).arg("-V").output().is_ok());
    if !root {
        println!("skipped {test}: needs root");
    } else if !tools {
        println!("skipped {test}: needs the programs `ip` (iproute2) and `nft` (nftables)");
    }
    root && tools
}

/// Runs a program and returns what it printed; it must succeed.
pub(crate) fn run(words: &str) -> String {
    let (status, output) = try_run(words);
    assert!(status, "{words}: {output}");
    output
}

/// Runs a program and returns whether it succeeded and what it printed.
pub(crate) fn try_run(words: &str) -> (bool, String) {
    let mut words = words.split_whitespace();
    let output =
        Command::new(words.next().expect("a program")).args(words).output().expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// A network namespace, kept by a sleeping process; gone when dropped.
pub(crate) struct Namespace {
    pub(crate) name: String,
    keeper: Child,
}

impl Namespace {
    pub(crate) fn new(role: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dttest-{}-{number}-{role}", std::process::id());
        run(&format!("ip netns add {name}"));
        let keeper = Command::new("ip")
            .args(["netns", "exec", &name, "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .expect("the keeper starts");
        // `ip` enters the namespace before it becomes `sleep`.
        let exe = format!("/proc/{}/comm", keeper.id());
        while std::fs::read_to_string(&exe).expect("the keeper lives").trim() != "sleep" {
            std::thread::yield_now();
        }
        Self { name, keeper }
    }

    /// A process of the namespace.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.keeper.id()).expect("a pid")
    }

    /// The namespace as an open file.
    pub(crate) fn open(&self) -> File {
        File::open(format!("/proc/{}/ns/net", self.keeper.id())).expect("the namespace exists")
    }

    /// Runs `work` on a thread of its own inside the namespace.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = self.open();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&namespace),
                    Some(LinkNameSpaceType::Network),
                )
                .expect("root may enter");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a program inside the namespace; it must succeed.
    pub(crate) fn command(&self, words: &str) -> String {
        run(&format!("ip netns exec {} {words}", self.name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        let _ = try_run(&format!("ip netns del {}", self.name));
    }
}
