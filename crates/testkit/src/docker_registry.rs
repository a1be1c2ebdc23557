//! A real registry, Debian's `docker-registry`, for one test: on a port of its own, its files gone with it.

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// How long it may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// The user whom [`DockerRegistry::with_password`] knows, and the secret.
pub const USER: (&str, &str) = ("somebody", "secret");
/// The same, as the tool `htpasswd` writes it.
const PASSWORDS: &str = "somebody:$2y$05$MGF0qhvoT7Q5UbjJRp481u3w8YYXhLTcx58X6PK3qWe.7crhgR1Cu\n";

/// A registry that runs until it is dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    address: String,
    home: TempDir,
}

impl DockerRegistry {
    /// Starts one that everybody may use, over plain HTTP.
    pub fn open_to_all() -> io::Result<Self> {
        Self::start("", "")
    }

    /// Starts one that wants a name and a password; `tls` names its certificate and key.
    pub fn with_password(tls: Option<(&Path, &Path)>) -> io::Result<Self> {
        let home = tempfile::tempdir()?;
        let passwords = home.path().join("passwords");
        std::fs::write(&passwords, PASSWORDS)?;
        let auth = format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", passwords.display());
        let tls = tls.map_or_else(String::new, |(certificate, key)| {
            format!("  tls:\n    certificate: {}\n    key: {}\n", certificate.display(), key.display())
        });
        Self::start_in(home, &auth, &tls)
    }

    /// Starts one with sections of its configuration, and with lines below its section `http`.
    pub fn start(sections: &str, http: &str) -> io::Result<Self> {
        Self::start_in(tempfile::tempdir()?, sections, http)
    }

    fn start_in(home: TempDir, sections: &str, http: &str) -> io::Result<Self> {
        let configuration = home.path().join("config.yml");
        let files = home.path().join("files");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
             http:\n  addr: 127.0.0.1:0\n  secret: test\n{http}{sections}",
            files.display()
        );
        std::fs::write(&configuration, text)?;
        let mut command = Command::new("docker-registry");
        command
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("docker-registry: {error}; install it, as `cargo x test` does"),
            )
        })?;
        let (tell, told) = mpsc::channel();
        let log = child.stderr.take().ok_or_else(|| io::Error::other("no log"))?;
        // Read to the end: a full pipe would stop it.
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let address =
                    line.split_once("listening on ").map(|(_, rest)| rest.split(['"', ',', ' ']).next());
                if let Some(address) = address.flatten() {
                    let _ = tell.send(address.to_owned());
                }
            }
        });
        if let Ok(address) = told.recv_timeout(PATIENCE) {
            return Ok(Self { child, address, home });
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(io::Error::other("docker-registry did not start"))
    }

    /// Returns `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns where it keeps its files.
    pub fn files(&self) -> PathBuf {
        self.home.path().join("files")
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
