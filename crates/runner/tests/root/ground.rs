//! A host of the test's own, and ways to speak to what runs on it.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use runner::host::{Host, Settings};
use runner::image::Description;
use runner::net;
use runner::net::address::Names;
use runner::sandbox::spec::Spec;
use serde_json::{Value, json};
use tempfile::TempDir;
use types::{SandboxId, SystemClock, SystemRandom};

/// A host whose directory goes away with it.
pub(crate) struct Ground {
    host: Option<Host>,
    pub(crate) home: TempDir,
    settings: Settings,
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

/// Tests run side by side: each has its own addresses and names.
static NEXT: AtomicU8 = AtomicU8::new(0);

/// Reads the daemon that `cargo x test` built.
#[expect(clippy::disallowed_methods, reason = "the test runner says where the daemon is")]
pub(crate) fn daemon() -> Vec<u8> {
    let path = std::env::var("DAYTONA_DAEMON")
        .expect("DAYTONA_DAEMON is not set: run these tests with `cargo x test`");
    std::fs::read(path).unwrap()
}

impl Ground {
    /// Makes a host with the tiny image.
    pub(crate) fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let home = tempfile::tempdir().unwrap();
        let instance = format!("{}{number}", std::process::id() % 10_000);
        let settings = Settings {
            data_directory: home.path().canonicalize().unwrap(),
            instance: format!("daytona-{instance}"),
            spawner: vec![env!("CARGO_BIN_EXE_daytona-spawner").to_owned()],
            id_ranges: 16,
            id_base: 3_500_000_000 + u32::from(number) * 65_536 * 16,
            network: net::Settings {
                instance,
                pool: format!("10.249.{number}.0/24").parse().unwrap(),
                ..net::Settings::default()
            },
            resolvers: vec!["nameserver 192.0.2.1".to_owned()],
            ready_disks: 1,
            ready_disk_bytes: 1 << 30,
            processes: 64,
            boot_timeout_ms: 20_000,
            grace_ms: 1_000,
        };
        let host = open(&settings);
        let archive = testkit::rootfs::tiny(home.path()).unwrap();
        import(&host, &archive, "tiny");
        Self { host: Some(host), home, settings }
    }

    /// Lets go of the host as a crash does, and opens it again.
    pub(crate) fn reopen(mut self) -> Self {
        drop(self.host.take());
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
        let stream = UnixStream::connect(self.host().socket(id)).unwrap();
        let body = json!({ "command": command, "timeout": 20 });
        let (status, answer) =
            testkit::request::request(stream, "POST", "/process/execute", "", &body).unwrap();
        assert_eq!(status, 200, "{answer}");
        let code = answer.get("exitCode").and_then(Value::as_i64).unwrap();
        (code, answer.get("result").and_then(Value::as_str).unwrap().trim().to_owned())
    }
}

fn open(settings: &Settings) -> Host {
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
    }
}
