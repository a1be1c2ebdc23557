//! The product, driven as a user does: over HTTP.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::client::Client;

/// A server of this run alone, in a directory of its own.
#[derive(Debug)]
pub(crate) struct Product {
    server: Child,
    home: PathBuf,
    daytona: PathBuf,
    url: String,
    key: String,
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
            .stdout(Stdio::null())
            .spawn()?;
        match announcement(&mut server, &home) {
            Ok((url, key)) => Ok(Self { server, home, daytona: daytona.to_owned(), url, key }),
            Err(error) => {
                let _ = server.kill();
                let _ = server.wait();
                let _ = std::fs::remove_dir_all(&home);
                Err(error)
            }
        }
    }

    /// Opens a connection to the server.
    pub(crate) fn connect(&self) -> Result<Client> {
        Client::connect(&self.url, &self.key)
    }

    /// Returns the address of the API and the key for it, as SDKs take them.
    pub(crate) fn address(&self) -> (String, &str) {
        (format!("{}/api", self.url), &self.key)
    }

    /// Returns the server's process id.
    pub(crate) fn pid(&self) -> Result<i32> {
        i32::try_from(self.server.id()).context("a process id")
    }

    /// Returns where the server keeps its data.
    pub(crate) fn home(&self) -> &Path {
        &self.home
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

    /// Deletes whatever sandboxes there are: they would outlive the server, and its data.
    pub(crate) fn sweep(&self) -> Result<()> {
        let mut client = self.connect()?;
        let deadline = Instant::now() + Duration::from_mins(1);
        while Instant::now() < deadline {
            let page = client.send("GET", "/api/sandbox?limit=200", &json!({}))?;
            let items = page.get("items").and_then(Value::as_array).context("the list of sandboxes")?;
            if items.is_empty() {
                return Ok(());
            }
            for id in items.iter().filter_map(|item| item.get("id").and_then(Value::as_str)) {
                // One that is going already is gone when it is asked for.
                let _ = delete(&mut client, id);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("sandboxes were still there after a minute")
    }

    /// Stops the server and removes everything it kept.
    pub(crate) fn stop(mut self) -> Result<()> {
        if let Some(pidfd) = linux::process::open(self.pid()?)? {
            linux::process::terminate(pidfd)?;
        }
        let ended = self.server.wait()?;
        ensure!(ended.success(), "the server ended with {ended}");
        std::fs::remove_dir_all(&self.home).context("remove what the server kept")
    }
}

/// Creates a sandbox, which must be started when the answer comes, and returns its id.
pub(crate) fn create(client: &mut Client, order: &Value) -> Result<String> {
    let sandbox = client.send("POST", "/api/sandbox", order)?;
    let id = sandbox.get("id").and_then(Value::as_str).context("the sandbox has no id")?.to_owned();
    ensure!(sandbox.get("state").and_then(Value::as_str) == Some("started"), "it is not started: {sandbox}");
    Ok(id)
}

/// Deletes a sandbox.
pub(crate) fn delete(client: &mut Client, id: &str) -> Result<()> {
    client.send("DELETE", &format!("/api/sandbox/{id}"), &json!({})).map(drop)
}

/// Runs a command and returns what it printed; it must succeed.
pub(crate) fn execute(client: &mut Client, id: &str, command: &str) -> Result<String> {
    let path = format!("/toolbox/{id}/process/execute");
    let answer = client.send("POST", &path, &json!({ "command": command }))?;
    ensure!(answer.get("exitCode").and_then(Value::as_i64) == Some(0), "`{command}` failed: {answer}");
    Ok(answer.get("result").and_then(Value::as_str).context("no result")?.to_owned())
}

/// Waits for the server's announcement and returns its address and key.
fn announcement(server: &mut Child, home: &Path) -> Result<(String, String)> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(ended) = server.try_wait()? {
            bail!("the server ended at once with {ended}");
        }
        if let Ok(text) = std::fs::read_to_string(home.join("server.json")) {
            let state: Value = serde_json::from_str(&text)?;
            let url = state.get("url").and_then(Value::as_str).context("no address in server.json")?;
            let key = std::fs::read_to_string(home.join("admin-api-key"))?;
            return Ok((url.to_owned(), key.trim().to_owned()));
        }
        ensure!(Instant::now() < deadline, "the server did not start within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}
