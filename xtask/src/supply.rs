//! A registry for the cases: a real one, with a password and a certificate of its own, and one small image in it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// Who may come in; `tests/e2e/registry.py` says the same.
pub(crate) const USER: &str = "e2e";
pub(crate) const PASSWORD: &str = "registry-password";

/// A registry that runs as long as this lives.
#[derive(Debug)]
pub(crate) struct Registry {
    child: Child,
    /// Its host and port.
    pub(crate) address: String,
    /// The authority that its certificate is of.
    pub(crate) authority: PathBuf,
}

impl Registry {
    /// Starts one with its files in `directory`, and waits until it answers.
    pub(crate) fn start(python: &Path, directory: &Path) -> Result<Self> {
        let address = address();
        let mut command = Command::new(python);
        command.arg(process::root().join("tests/e2e/registry.py")).arg(&address).arg(directory);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let said = child.stdout.take().context("the output of the registry")?;
        let registry = Self { child, address, authority: directory.join("ca.pem") };
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        if line.trim() != "ready" {
            bail!("the registry did not start: {line}");
        }
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Returns a loopback address of this run alone, so that its port is free whatever else happens on this machine.
fn address() -> String {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    format!("127.{}.{middle}.{low}:5557", 100 + high % 100)
}
