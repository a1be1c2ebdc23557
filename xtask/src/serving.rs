//! A server in a process of its own: started, awaited, asked to stop, and never forgotten.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::http::Client;
use crate::process;

/// A longer wait than any start takes, so that reaching it means a server that will not come.
const START_TIMEOUT: Duration = Duration::from_mins(1);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A running server that this process started.
#[derive(Debug)]
pub(crate) struct Serving {
    child: Child,
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) log: PathBuf,
    leave_running: bool,
}

impl Serving {
    /// Starts `daytona server` on `port` (0 takes a free one) and waits until it answers.
    pub(crate) fn start(daytona: &Path, data_dir: &Path, port: u16) -> Result<Self> {
        Self::start_with(daytona, data_dir, port, &[])
    }

    /// The same with variables added to its environment.
    pub(crate) fn start_with(
        daytona: &Path,
        data_dir: &Path,
        port: u16,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        fs::create_dir_all(data_dir)?;
        refuse_second(data_dir)?;
        let announcement = data_dir.join("server.json");
        // A file left by an earlier server would be taken for ours.
        let _ = fs::remove_file(&announcement);
        let log = data_dir.join("server.log");
        let child = spawn(daytona, data_dir, port, variables, &log)?;
        let mut serving = Self { child, url: String::new(), key: String::new(), log, leave_running: false };
        serving.url = serving.await_address(&announcement, port)?;
        let key = fs::read_to_string(data_dir.join("admin-api-key"))
            .context("reading the admin key that the server wrote")?;
        key.trim().clone_into(&mut serving.key);
        Ok(serving)
    }

    /// The address under which SDKs ask the control plane.
    pub(crate) fn api_url(&self) -> String {
        format!("{}/api", self.url)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the server to stop and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<()> {
        process::signal(self.pid(), "TERM");
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("the server ended with {status}:{}", process::tail(&self.log, 20));
                }
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the server did not stop within {} s of SIGTERM", STOP_TIMEOUT.as_secs());
    }

    /// Lets the server outlive this process.
    pub(crate) fn leave_running(mut self) {
        self.leave_running = true;
    }

    fn await_address(&mut self, announcement: &Path, port: u16) -> Result<String> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                let said = process::tail(&self.log, 20);
                bail!("the server ended at once with {status}:{said}{}", hint(&said, port));
            }
            if let Some(url) = announced(announcement)
                && Client::new("")
                    .send("GET", &format!("{url}/api/health"), None)
                    .is_ok_and(|a| a.status == 200)
            {
                return Ok(url);
            }
            if Instant::now() > deadline {
                bail!("the server does not answer after a minute:{}", process::tail(&self.log, 20));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Serving {
    /// A server that we started dies with us, whatever went wrong in between, unless it was handed over.
    fn drop(&mut self) {
        if !self.leave_running && matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.stop();
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The command of a server, for whoever wants it in the foreground.
pub(crate) fn command(daytona: &Path, data_dir: &Path, port: u16) -> Command {
    let mut command = Command::new(daytona);
    command.arg("server").arg("--data-dir").arg(data_dir).args(["--port", &port.to_string()]);
    command
}

fn spawn(
    daytona: &Path,
    data_dir: &Path,
    port: u16,
    variables: &[(&str, &str)],
    log: &Path,
) -> Result<Child> {
    use std::os::unix::process::CommandExt as _;
    let file = fs::File::create(log).with_context(|| format!("creating {}", log.display()))?;
    command(daytona, data_dir, port)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        // A group of its own: an interrupt typed at the terminal is for us, not for a server that is to stay.
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {}", daytona.display()))
}

fn refuse_second(data_dir: &Path) -> Result<()> {
    let Some(value) = read_announcement(&data_dir.join("server.json")) else { return Ok(()) };
    let Some(pid) = value.get("pid").and_then(Value::as_u64) else { return Ok(()) };
    let runs = fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("daytona"));
    if runs {
        bail!("a server already runs on {} (process {pid}); stop it with `kill {pid}`", data_dir.display());
    }
    Ok(())
}

fn announced(file: &Path) -> Option<String> {
    Some(read_announcement(file)?.get("url")?.as_str()?.trim_end_matches('/').to_owned())
}

fn read_announcement(file: &Path) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(file).ok()?).ok()
}

fn hint(said: &str, port: u16) -> String {
    if !said.contains("Address already in use") {
        return String::new();
    }
    format!("\n  port {port} is taken; choose another one with `--port N` (0 takes a free one)")
}
