//! A way for `OpenSSH`'s own programs to a daemon: a port of this machine whose connections are upgraded ones.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::harness::TestDaemon;

pub(super) struct Client {
    port: u16,
    pub(super) directory: TempDir,
}

impl Client {
    pub(super) fn new(daemon: &TestDaemon) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let port = listener.local_addr().expect("address").port();
        let socket = daemon.directory.path().join("daemon.sock");
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let socket = socket.clone();
                std::thread::spawn(move || bridge(client, &socket));
            }
        });
        Self { port, directory: tempfile::tempdir().expect("directory") }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the options that every program needs; the port's is spelled differently by each.
    fn options(&self) -> Vec<String> {
        let hosts = format!("UserKnownHostsFile={}", self.path("known_hosts").display());
        let mut options = vec!["-F".to_owned(), "/dev/null".to_owned()];
        for option in [
            hosts.as_str(),
            // A key that changes is an error from the second connection on.
            "StrictHostKeyChecking=accept-new",
            "BatchMode=yes",
            "LogLevel=ERROR",
            "IdentityFile=/dev/null",
            "IdentityAgent=none",
            "ConnectTimeout=60",
        ] {
            options.extend(["-o".to_owned(), option.to_owned()]);
        }
        options
    }

    /// Prepares `ssh`; the command line comes last.
    pub(super) fn ssh(&self, more: &[&str], command: &str) -> Command {
        let mut ssh = self.program("ssh", &["-p", &self.port.to_string()], more);
        ssh.arg("anybody@127.0.0.1");
        if !command.is_empty() {
            ssh.arg(command);
        }
        ssh.stdin(Stdio::null());
        ssh
    }

    /// Prepares `sftp` or `scp`, whose option for the port is another.
    pub(super) fn program_for_files(&self, name: &str, more: &[&str]) -> Command {
        self.program(name, &["-P", &self.port.to_string()], more)
    }

    fn program(&self, name: &str, port: &[&str], more: &[&str]) -> Command {
        let mut command = Command::new(name);
        command.args(self.options()).args(port).args(more);
        command
    }

    /// Returns the words of an `ssh` on a terminal of its own.
    pub(super) fn words(&self, more: &[&str]) -> Vec<String> {
        let mut words = vec!["ssh".to_owned(), "-p".to_owned(), self.port.to_string()];
        words.extend(self.options());
        words.extend(more.iter().map(|word| (*word).to_owned()));
        words.push("anybody@127.0.0.1".to_owned());
        words
    }

    /// Runs a command line that must end well; returns its output without the last line feed.
    pub(super) fn run(&self, command: &str) -> String {
        let output = output(&mut self.ssh(&[], command));
        assert_eq!(output.status.code(), Some(0), "{command}: {}", errors(&output));
        text(&output.stdout)
    }
}

/// Runs a program of `OpenSSH`.
pub(super) fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; install openssh-client"))
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned()
}

pub(super) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Connects to the daemon and has the connection upgraded.
pub(super) fn upgrade(socket: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).expect("connect");
    stream
        .write_all(b"GET /ssh HTTP/1.1\r\nHost: daemon\r\nConnection: Upgrade\r\nUpgrade: ssh\r\n\r\n")
        .expect("ask");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.extend(byte);
    }
    let head = String::from_utf8(head).expect("UTF-8");
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: ssh\r\n"), "{head}");
    stream
}

fn bridge(client: TcpStream, socket: &Path) {
    client.set_nodelay(true).expect("no delay");
    let daemon = upgrade(socket);
    let (mut from_client, mut to_client) = (client.try_clone().expect("clone"), client);
    let (mut from_daemon, mut to_daemon) = (daemon.try_clone().expect("clone"), daemon);
    let inward = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_daemon);
        let _ = to_daemon.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut from_daemon, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Both);
    let _ = inward.join();
}
