//! A server of the test's own, started from the built program.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Keeps what servers of a directory say.
const LOG: &str = "said.log";

/// A server process. What it leaves running ends with the test that started it.
pub(crate) struct Serving {
    child: Child,
    home: PathBuf,
    host: String,
    key: String,
    /// Whether its sandboxes are to outlive it.
    left: bool,
}

impl Serving {
    /// Imports the tiny image and starts a server on a free port.
    pub(crate) fn start(home: &Path) -> Self {
        import(home, "daytona-default");
        Self::launch(home)
    }

    /// Starts a server on what an earlier one left.
    pub(crate) fn launch(home: &Path) -> Self {
        let state = home.join("server.json");
        let _ = std::fs::remove_file(&state);
        Self::adopt(process(home, &[]), home)
    }

    /// Waits until a server that was started answers; `home` is its directory as this process sees it.
    pub(crate) fn adopt(mut child: Child, home: &Path) -> Self {
        let state = home.join("server.json");
        let deadline = Instant::now() + Duration::from_mins(1);
        let host = loop {
            if let Some(ended) = child.try_wait().unwrap() {
                panic!("the server ended with {ended}: {}", said(home));
            }
            let announced = std::fs::read_to_string(&state).ok();
            let announced = announced.and_then(|text| serde_json::from_str::<Value>(&text).ok());
            if let Some(url) = announced.as_ref().and_then(|state| state.get("url")).and_then(Value::as_str) {
                break url.strip_prefix("http://").unwrap().to_owned();
            }
            assert!(Instant::now() < deadline, "the server does not start");
            std::thread::sleep(Duration::from_millis(2));
        };
        let key = std::fs::read_to_string(home.join("admin-api-key")).unwrap().trim().to_owned();
        Self { child, home: home.to_owned(), host, key, left: false }
    }

    /// Starts a server and kills it after a moment, wherever it is by then.
    pub(crate) fn start_and_kill(home: &Path, moment: Duration) {
        let mut child = process(home, &[]);
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Returns the server's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process that clones for the server, and only that.
    pub(crate) fn kill_spawner(&self) {
        for pid in children(self.child.id()) {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if command.split(|byte| *byte == 0).any(|word| word == b"spawner")
                && let Ok(Some(pidfd)) = linux::process::open(pid)
            {
                linux::process::kill(&pidfd).unwrap();
            }
        }
    }

    /// Asks the server to end and does not wait for it.
    pub(crate) fn ask_to_end(&self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        if let Ok(Some(pidfd)) = linux::process::open(pid) {
            linux::process::terminate(pidfd).unwrap();
        }
    }

    /// Sends one request on a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        ask(&self.host, &self.key, method, path, body)
    }

    /// Creates a sandbox and returns its id.
    pub(crate) fn create(&self) -> String {
        let (status, sandbox) = self.ask("POST", "/api/sandbox", &json!({})).unwrap();
        assert_eq!(status, 200, "{sandbox}");
        sandbox.get("id").and_then(Value::as_str).unwrap().to_owned()
    }

    /// Runs a command and returns its output.
    pub(crate) fn execute(&self, id: &str, command: &str) -> String {
        let path = format!("/toolbox/{id}/process/execute");
        let (status, answer) = self.ask("POST", &path, &json!({ "command": command })).unwrap();
        assert_eq!(status, 200, "{answer}");
        answer.get("result").and_then(Value::as_str).unwrap().trim().to_owned()
    }

    /// Returns where the server is and the key, for threads of their own.
    pub(crate) fn address(&self) -> (String, String) {
        (self.host.clone(), self.key.clone())
    }

    /// Deletes every sandbox that the server lists, and waits until none is left.
    pub(crate) fn delete_all(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let (_, page) =
                self.ask("GET", "/api/sandbox?limit=200&includeErroredDeleted=true", &json!({})).unwrap();
            let items = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            if items.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "still there: {items:?}");
            for id in items.iter().filter_map(|item| item.get("id")?.as_str()) {
                let (status, answer) = self.ask("DELETE", &format!("/api/sandbox/{id}"), &json!({})).unwrap();
                assert!(status == 200 || status == 404 || status == 409, "{answer}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends the server as a crash does.
    pub(crate) fn crash(mut self) -> PathBuf {
        self.left = true;
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.home.clone()
    }

    /// Asks the server to end and waits for it.
    pub(crate) fn stop(mut self) -> PathBuf {
        self.left = true;
        let pid = i32::try_from(self.child.id()).unwrap();
        linux::process::terminate(linux::process::open(pid).unwrap().unwrap()).unwrap();
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "the server ended with {ended}");
        self.home.clone()
    }
}

impl Drop for Serving {
    /// Ends what a failed test left, so that it is in nobody's way.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.left || !self.home.join("ids").exists() {
            return;
        }
        let host = census(&self.home);
        for pid in host.processes.iter().filter_map(|process| process.split(' ').next()?.parse().ok()) {
            if let Ok(Some(pidfd)) = linux::process::open(pid) {
                let _ = linux::process::kill(&pidfd);
                let _ = linux::process::wait(&pidfd, 5000);
            }
        }
        for group in &host.groups {
            let _ = std::fs::remove_dir(group);
        }
    }
}

/// Imports the tiny image under a name.
pub(crate) fn import(home: &Path, name: &str) {
    let archive = testkit::rootfs::tiny(home).unwrap();
    let imported = Command::new(env!("CARGO_BIN_EXE_daytona"))
        .args(["image", "import", "--name", name, "--user", "daytona", "--data-dir"])
        .args([home, &archive])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(imported.success());
}

/// Starts the server's process; what it says goes to a file in its directory.
pub(crate) fn process(home: &Path, settings: &[&str]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(home.join(LOG)).unwrap();
    Command::new(env!("CARGO_BIN_EXE_daytona"))
        .args(["server", "--port", "0", "--log-level", "warn", "--data-dir"])
        .arg(home)
        .args(["--sandbox-network", &network(home)])
        .args(settings)
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Chooses a network for the servers of a directory. Left to choose, a server takes one of ten, and they may all be in use
/// on a machine where other tests run, or were killed.
fn network(home: &Path) -> String {
    let mark = server::instance(&home.canonicalize().unwrap());
    let number = u32::from_str_radix(&mark, 16).unwrap();
    format!("10.{}.{}.0/24", 225 + number % 20, number / 20 % 256)
}

/// Returns the end of what servers of this directory said.
pub(crate) fn said(home: &Path) -> String {
    let logs = [home.join(LOG), home.join("..").join(LOG)];
    let text = logs.iter().find_map(|log| std::fs::read_to_string(log).ok()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Lists the processes that `parent` started.
pub(crate) fn children(parent: u32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |pid: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{parent}"))
    };
    pids.filter(is_child).collect()
}

pub(crate) fn ask(
    host: &str,
    key: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> std::io::Result<(u16, Value)> {
    let stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    testkit::request::request(stream, method, path, key, body)
}

/// Counts what the host holds for the server of `home`.
pub(crate) fn census(home: &Path) -> testkit::census::Census {
    let instance = server::instance(&home.canonicalize().unwrap());
    let links = runner::net::address::Names::of(&instance).link_prefix;
    // The server wrote which of the host's ranges it took; each has this many ids, the first begins there.
    let slot: u32 = std::fs::read_to_string(home.join("ids")).unwrap().trim().parse().unwrap();
    let ids = 4096 * 65_536;
    let group = format!("daytona-{instance}");
    let mut host = testkit::census::Census::take(home, &group, &links, 1_000_000 + slot * ids, ids);
    // Servers of an older version beside this one may use the same ids; theirs are in groups of their own.
    host.processes.retain(|process| {
        let pid = process.split(' ').next().unwrap_or_default();
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        groups.contains(&group) || !groups.contains("/daytona-")
    });
    host
}
