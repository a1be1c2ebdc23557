//! A server of the test's own, started from the built program.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A server process. What it leaves running ends with the test that started it.
pub(crate) struct Serving {
    child: Child,
    home: PathBuf,
    host: String,
    key: String,
}

impl Serving {
    /// Imports the tiny image and starts a server on a free port.
    pub(crate) fn start(home: &Path) -> Self {
        let archive = testkit::rootfs::tiny(home).unwrap();
        let imported = Command::new(env!("CARGO_BIN_EXE_daytona"))
            .args(["image", "import", "--name", "daytona-default", "--user", "daytona", "--data-dir"])
            .args([home, &archive])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(imported.success());
        Self::launch(home)
    }

    /// Starts a server on what an earlier one left.
    pub(crate) fn launch(home: &Path) -> Self {
        let state = home.join("server.json");
        let _ = std::fs::remove_file(&state);
        let mut child = Command::new(env!("CARGO_BIN_EXE_daytona"))
            .args(["server", "--port", "0", "--log-level", "warn", "--data-dir"])
            .arg(home)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        let host = loop {
            if let Some(ended) = child.try_wait().unwrap() {
                panic!("the server ended with {ended}");
            }
            let announced = std::fs::read_to_string(&state).ok();
            let announced = announced.and_then(|text| serde_json::from_str::<Value>(&text).ok());
            if let Some(url) = announced.as_ref().and_then(|state| state.get("url")).and_then(Value::as_str) {
                break url.strip_prefix("http://").unwrap().to_owned();
            }
            assert!(Instant::now() < deadline, "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        };
        let key = std::fs::read_to_string(home.join("admin-api-key")).unwrap().trim().to_owned();
        Self { child, home: home.to_owned(), host, key }
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
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.home.clone()
    }

    /// Asks the server to end and waits for it.
    pub(crate) fn stop(mut self) -> PathBuf {
        let pid = i32::try_from(self.child.id()).unwrap();
        linux::process::terminate(linux::process::open(pid).unwrap().unwrap()).unwrap();
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "the server ended with {ended}");
        self.home.clone()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
    // The server wrote which of the host's places it took; each place has this many ids, the first begins there.
    let slot: u32 = std::fs::read_to_string(home.join("network")).unwrap().trim().parse().unwrap();
    let ids = 4096 * 65_536;
    testkit::census::Census::take(home, &format!("daytona-{instance}"), &links, 1_000_000 + slot * ids, ids)
}
