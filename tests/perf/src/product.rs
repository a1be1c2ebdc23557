//! The product, driven as a user does: over HTTP.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::Measured;
use crate::client::Client;

/// How many commands run in one sandbox for each round of the rest.
const COMMANDS_PER_ROUND: usize = 4;

/// A server of this run alone, in a directory of its own.
#[derive(Debug)]
pub(crate) struct Product {
    server: Child,
    home: PathBuf,
    daytona: PathBuf,
    client: Client,
}

impl Product {
    /// Imports the image, starts the server and waits until it answers.
    pub(crate) fn start(daytona: &Path, image: &Path) -> Result<Self> {
        let home = std::env::temp_dir().join(format!("perf-{}", std::process::id()));
        std::fs::create_dir_all(&home)?;
        let imported = Command::new(daytona)
            .args(["image", "import", "--name", "daytona-default", "--user", "daytona"])
            .args(["--workdir", "/home/daytona", "--data-dir"])
            .args([&home, image])
            .stdout(Stdio::null())
            .status()?;
        ensure!(imported.success(), "daytona image import ended with {imported}");
        let mut server = Command::new(daytona)
            .args(["server", "--port", "0", "--log-level", "warn", "--data-dir"])
            .arg(&home)
            .stdin(Stdio::null())
            .spawn()?;
        let client = match connect(&mut server, &home) {
            Ok(client) => client,
            Err(error) => {
                let _ = server.kill();
                let _ = server.wait();
                return Err(error);
            }
        };
        Ok(Self { server, home, daytona: daytona.to_owned(), client })
    }

    /// Returns where the image's layer is unpacked, for the floor to use the same.
    pub(crate) fn layer(&self) -> Result<PathBuf> {
        let listed = Command::new(&self.daytona)
            .args(["image", "list", "--json", "--data-dir"])
            .arg(&self.home)
            .output()?;
        let images: Value = serde_json::from_slice(&listed.stdout)?;
        let digest =
            images.pointer("/0/layers/0").and_then(Value::as_str).context("no image was imported")?;
        Ok(self.home.join("images/layers").join(digest))
    }

    /// Creates, uses and deletes sandboxes, one at a time.
    pub(crate) fn rounds(&mut self, rounds: usize, measured: &mut Measured) -> Result<()> {
        // One for warmth: the first request of a connection pays for it.
        self.round(&mut Measured::default())?;
        for _ in 0..rounds {
            self.round(measured)?;
        }
        Ok(())
    }

    fn round(&mut self, measured: &mut Measured) -> Result<()> {
        let started = Instant::now();
        let sandbox = self.client.send("POST", "/api/sandbox", &json!({}))?;
        measured.create_started.push(started.elapsed());
        let id = sandbox.get("id").and_then(Value::as_str).context("the sandbox has no id")?.to_owned();
        ensure!(
            sandbox.get("state").and_then(Value::as_str) == Some("started"),
            "it is not started: {sandbox}"
        );
        self.say_hello(&id)?;
        measured.create_first_output.push(started.elapsed());
        for _ in 0..COMMANDS_PER_ROUND {
            let started = Instant::now();
            self.say_hello(&id)?;
            measured.exec.push(started.elapsed());
        }
        let started = Instant::now();
        self.client.send("DELETE", &format!("/api/sandbox/{id}"), &json!({}))?;
        measured.delete.push(started.elapsed());
        Ok(())
    }

    fn say_hello(&mut self, id: &str) -> Result<()> {
        let path = format!("/toolbox/{id}/process/execute");
        let answer = self.client.send("POST", &path, &json!({ "command": "echo hi" }))?;
        ensure!(
            answer.get("result").and_then(Value::as_str) == Some("hi\n"),
            "it printed something else: {answer}"
        );
        Ok(())
    }

    /// Stops the server and removes everything it kept.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.server.id())?;
        if let Some(pidfd) = linux::process::open(pid)? {
            linux::process::terminate(pidfd)?;
        }
        let ended = self.server.wait()?;
        ensure!(ended.success(), "the server ended with {ended}");
        std::fs::remove_dir_all(&self.home).context("remove what the server kept")
    }
}

/// Waits for the server's announcement.
fn connect(server: &mut Child, home: &Path) -> Result<Client> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(ended) = server.try_wait()? {
            bail!("the server ended at once with {ended}");
        }
        if let Ok(text) = std::fs::read_to_string(home.join("server.json")) {
            let state: Value = serde_json::from_str(&text)?;
            let url = state.get("url").and_then(Value::as_str).context("no address in server.json")?;
            let key = std::fs::read_to_string(home.join("admin-api-key"))?;
            return Client::connect(url, key.trim());
        }
        ensure!(Instant::now() < deadline, "the server did not start within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}
