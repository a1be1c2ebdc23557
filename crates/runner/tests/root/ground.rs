//! A host of the test's own, and ways to speak to what runs on it.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use runner::host::Host;
use runner::image::Description;
use runner::net;
use runner::net::address::Names;
use runner::sandbox::spec::Spec;
use runner::settings::Settings;
use serde_json::{Value, json};
use tempfile::TempDir;
use types::{SandboxId, SystemClock, SystemRandom};

/// A host whose directory goes away with it.
pub(crate) struct Ground {
    host: Option<Host>,
    pub(crate) home: TempDir,
    settings: Settings,
    /// Tells it from the others of this process.
    pub(crate) number: u8,
}

impl Drop for Ground {
    /// Whatever a failed test leaves ends with it.
    fn drop(&mut self) {
        let Some(host) = self.host.take() else { return };
        for id in host.ids() {
            let _ = host.destroy(&id);
        }
        // The kernel takes the links away a moment after their sandboxes.
        for _ in 0..100 {
            if !matches!(host.close(), Ok(false)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

/// How long a command may take, in seconds: some write a gibibyte, and the machine may be busy with others.
const PATIENCE_S: u32 = 300;

/// Tests run side by side: each has its own addresses and names.
static NEXT: AtomicU8 = AtomicU8::new(0);

/// Reads the daemon that `cargo x test` built.
#[expect(clippy::disallowed_methods, reason = "the test runner says where the daemon is")]
pub(crate) fn daemon() -> Vec<u8> {
    let path = std::env::var("DAYTONA_DAEMON")
        .expect("DAYTONA_DAEMON is not set: run these tests with `cargo x test`");
    std::fs::read(path).unwrap()
}

/// Describes the host that test process `process` has as its `number`.
pub(crate) fn settings(home: &Path, process: u32, number: u8) -> Settings {
    let instance = format!("{}{number}", process % 10_000);
    Settings {
        data_directory: home.canonicalize().unwrap(),
        instance: format!("daytona-{instance}"),
        spawner: vec![env!("CARGO_BIN_EXE_daytona-spawner").to_owned()],
        id_ranges: 16,
        // Room for the most places that a test asks for: a census knows processes by their ids.
        id_base: 3_500_000_000 + u32::from(number) * 65_536 * 64,
        network: net::Settings {
            instance,
            pool: format!("10.{}.{number}.0/24", 224 + process % 26).parse().unwrap(),
            resolvers: vec![std::net::Ipv4Addr::new(192, 0, 2, 1)],
            ..net::Settings::default()
        },
        resolvers: vec!["nameserver 192.0.2.1".to_owned()],
        ready_disks: 1,
        ready_disk_bytes: 1 << 30,
        volume_bytes: 1 << 30,
        ready_cells: 0,
        ready_cpu_thousandths: 1000,
        ready_memory_bytes: 1 << 30,
        processes: 64,
        boot_timeout_ms: 20_000,
        grace_ms: 1_000,
    }
}

impl Ground {
    /// Makes a host with the tiny image.
    pub(crate) fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// Makes a host with the tiny image, whose files are in a directory.
    pub(crate) fn at(home: TempDir) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let settings = settings(home.path(), std::process::id(), number);
        let host = open(&settings);
        let archive = testkit::rootfs::tiny(home.path()).unwrap();
        import(&host, &archive, "tiny");
        Self { host: Some(host), home, settings, number }
    }

    /// Lets go of the host as a crash does, and opens it again.
    pub(crate) fn reopen(mut self) -> Self {
        drop(self.host.take());
        self.host = Some(open(&self.settings));
        self
    }

    /// Opens the host anew, to keep so many prepared processes ready.
    pub(crate) fn with_cells(mut self, cells: usize) -> Self {
        self.settings.ready_cells = cells;
        self.reopen()
    }

    /// Opens the host anew, to give processes so long to end.
    pub(crate) fn with_grace(mut self, milliseconds: u32) -> Self {
        self.settings.grace_ms = milliseconds;
        self.reopen()
    }

    /// Opens the host anew, with so many places.
    pub(crate) fn with_places(mut self, places: u32) -> Self {
        self.settings.id_ranges = places;
        self.reopen()
    }

    /// Lists the processes that prepared or running sandboxes began with.
    pub(crate) fn first_processes(&self) -> Vec<i32> {
        let groups = self.census().groups;
        let pids =
            groups.iter().filter_map(|group| std::fs::read_to_string(format!("{group}/cgroup.procs")).ok());
        let pids = pids.flat_map(|text| text.lines().map(|line| line.parse().unwrap()).collect::<Vec<i32>>());
        pids.collect::<std::collections::BTreeSet<i32>>().into_iter().collect()
    }

    /// Lets go of the host, does `between`, and opens it again.
    pub(crate) fn reopen_after(mut self, between: impl FnOnce(&Self)) -> Self {
        drop(self.host.take());
        between(&self);
        self.host = Some(open(&self.settings));
        self
    }

    /// Returns the host.
    pub(crate) fn host(&self) -> &Host {
        self.host.as_ref().unwrap()
    }

    /// Counts what the host holds.
    pub(crate) fn census(&self) -> testkit::census::Census {
        testkit::census::Census::take(
            &self.settings.data_directory,
            &self.settings.instance,
            &Names::of(&self.settings.network.instance).link_prefix,
            self.settings.id_base,
            self.settings.id_ranges * 65_536,
        )
    }

    /// Runs a command in a sandbox and returns its exit code and output.
    pub(crate) fn execute(&self, id: &str, command: &str) -> (i64, String) {
        let (status, answer) = self.ask(id, &json!({ "command": command, "timeout": PATIENCE_S }));
        assert_eq!(status, 200, "{answer}");
        let code = answer.get("exitCode").and_then(Value::as_i64).unwrap();
        (code, answer.get("result").and_then(Value::as_str).unwrap().trim().to_owned())
    }

    /// Runs a command in a directory; one that the daemon refuses has the code -1 and its answer as output.
    pub(crate) fn execute_in(&self, id: &str, directory: Option<&str>, command: &str) -> (i64, String) {
        let (status, answer) =
            self.ask(id, &json!({ "command": command, "timeout": PATIENCE_S, "cwd": directory }));
        match (status, answer.get("exitCode").and_then(Value::as_i64), answer.get("result")) {
            (200, Some(code), Some(said)) => (code, said.as_str().unwrap().trim().to_owned()),
            _ => (-1, answer.to_string()),
        }
    }

    /// Runs a command whose sandbox may end before it does.
    pub(crate) fn try_execute(&self, id: &str, command: &str) -> std::io::Result<(u16, Value)> {
        let stream = UnixStream::connect(self.host().socket(id))?;
        let body = json!({ "command": command, "timeout": 20 });
        testkit::request::request(stream, "POST", "/process/execute", "", &body)
    }

    fn ask(&self, id: &str, body: &Value) -> (u16, Value) {
        let stream = UnixStream::connect(self.host().socket(id)).unwrap();
        testkit::request::request(stream, "POST", "/process/execute", "", body).unwrap()
    }
}

pub(crate) fn open(settings: &Settings) -> Host {
    Host::open(settings.clone(), &daemon(), Arc::new(SystemClock), Arc::new(SystemRandom))
        .map_err(explain)
        .unwrap()
}

/// Imports an archive under a name; commands run as root.
pub(crate) fn import(host: &Host, archive: &Path, name: &str) {
    let description = Description {
        name: name.to_owned(),
        user: String::new(),
        working_directory: "/".to_owned(),
        environment: vec![("PATH".to_owned(), "/bin".to_owned())],
    };
    host.images().import(archive, description).map_err(explain).unwrap();
}

/// Prints an error with its causes.
#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
pub(crate) fn explain(error: runner::error::RunnerError) -> String {
    runner::error::chain(&error)
}

/// Orders a sandbox of the tiny image with a fresh id.
pub(crate) fn order() -> Spec {
    Spec {
        id: SandboxId::random(&SystemRandom).to_string(),
        organization_id: "o".to_owned(),
        region: "us".to_owned(),
        snapshot: "tiny".to_owned(),
        image: "tiny".to_owned(),
        user: String::new(),
        environment: vec![("GREETING".to_owned(), "hello".to_owned())],
        cpu_thousandths: 1000,
        memory_bytes: 256 << 20,
        disk_bytes: 1 << 30,
        block_all: false,
        allow_list: Vec::new(),
        domain_allow_list: Vec::new(),
        name: String::new(),
        linked: None,
        volumes: Vec::new(),
    }
}
