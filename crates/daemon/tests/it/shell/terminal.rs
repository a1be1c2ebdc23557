//! Terminals.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use linux::child::Program;
use linux::terminal::{Pair, Window, open, resize};
use rustix::process::{Pid, Signal, WaitOptions};

use crate::harness::TestDaemon;

use super::client::Client;
use super::{servers, wait_for};

/// An `ssh` on a terminal of its own.
struct Typist {
    screen: OwnedFd,
    seen: String,
    pid: Pid,
}

impl Typist {
    fn start(client: &Client, window: Window) -> Self {
        let Pair { screen, line } = open(window).expect("a terminal");
        let text = |word: &str| CString::new(word).expect("no NUL");
        let path = std::env::var_os("PATH").expect("a search path");
        let ssh = std::env::split_paths(&path).map(|path| path.join("ssh")).find(|path| path.exists());
        let program = Program {
            path: text(ssh.expect("ssh: install openssh-client").to_str().expect("UTF-8")),
            arguments: client.words(&["-e", "none"]).iter().map(|word| text(word)).collect(),
            environment: vec![text("TERM=vt220"), text("HOME=/"), text("PATH=/usr/bin:/bin")],
            directory: None,
            descriptors: vec![line.as_fd(); 3],
            credentials: None,
            is_terminal: true,
        };
        let pid = linux::child::spawn(&program).expect("ssh");
        Self { screen, seen: String::new(), pid }
    }

    fn type_line(&self, line: &str) {
        rustix::io::write(&self.screen, format!("{line}\n").as_bytes()).expect("type");
    }

    /// Reads what is shown until a text appears.
    fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.seen.contains(text) {
            assert!(Instant::now() < deadline, "never `{text}`, but {}", self.seen);
            let mut buffer = [0; 4096];
            match rustix::io::read(&self.screen, &mut buffer) {
                Ok(bytes) if bytes > 0 => self.seen.push_str(&String::from_utf8_lossy(&buffer[..bytes])),
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        let end = self.seen.find(text).expect("just seen") + text.len();
        self.seen.drain(..end);
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
    }
}

#[test]
fn a_shell_has_a_terminal_that_changes_its_size_with_the_clients() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let mut typist = Typist::start(&client, Window { columns: 101, rows: 31 });
    typist.type_line("stty -echo; PS1=; echo re''ady");
    typist.expect("ready");
    typist.type_line("stty size; echo $TERM; test -t 0 && test \"$SSH_TTY\" = \"$(tty)\" && echo the''re");
    typist.expect("31 101");
    typist.expect("vt220");
    typist.expect("there");
    // Typed characters reach programs as signals.
    typist.type_line("trap 'echo interr''upted' INT; echo on''e");
    typist.expect("one");
    rustix::io::write(&typist.screen, b"\x03").expect("type");
    typist.expect("interrupted");
    typist.type_line("trap 'stty size' WINCH; echo tw''o");
    typist.expect("two");
    resize(&typist.screen, Window { columns: 77, rows: 22 }).expect("resize");
    rustix::process::kill_process(typist.pid, Signal::WINCH).expect("tell");
    // bash runs a trap after the command it is at; there is always another one here.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !typist.seen.contains("22 77") {
        assert!(Instant::now() < deadline, "{}", typist.seen);
        typist.type_line("stty size; echo ag''ain");
        typist.expect_keeping("again");
    }
    typist.type_line("exit 5");
    let mut status = None;
    wait_for(|| {
        status = rustix::process::waitpid(Some(typist.pid), WaitOptions::NOHANG).expect("wait");
        status.is_some()
    });
    assert_eq!(status.and_then(|(_, status)| status.exit_status()), Some(5));
    wait_for(|| servers(&daemon).is_empty());
}

impl Typist {
    /// Like [`Self::expect`], but what was shown is still there afterwards.
    fn expect_keeping(&mut self, text: &str) {
        let before = std::mem::take(&mut self.seen);
        let mut shown = String::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !shown.contains(text) {
            assert!(Instant::now() < deadline, "never `{text}`, but {shown}");
            let mut buffer = [0; 4096];
            match rustix::io::read(&self.screen, &mut buffer) {
                Ok(bytes) if bytes > 0 => shown.push_str(&String::from_utf8_lossy(&buffer[..bytes])),
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        self.seen = before + &shown;
    }
}
