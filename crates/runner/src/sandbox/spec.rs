//! What was ordered, and what the host keeps of it on disk.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use fs_err as fs;
use linux::cgroup::Limits;
use serde::{Deserialize, Serialize};

use crate::error::RunnerError;

/// An order for a sandbox. The id is trusted to be a UUID: it names directories, links and groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The sandbox's UUID.
    pub id: String,
    /// The tenant's UUID; told to the daemon.
    pub organization_id: String,
    /// The region's name; told to the daemon.
    pub region: String,
    /// Name of the snapshot; told to the daemon.
    pub snapshot: String,
    /// Name of the image to start from.
    pub image: String,
    /// The user commands run as; empty means the image's.
    pub user: String,
    /// Variables every command gets.
    pub environment: Vec<(String, String)>,
    /// Processor time in thousandths of one processor.
    pub cpu_thousandths: u32,
    /// Memory, with page cache.
    pub memory_bytes: u64,
    /// Size of the writable disk.
    pub disk_bytes: u64,
    /// Whether the network is shut.
    pub block_all: bool,
}

impl Spec {
    /// Returns what the processes may use; `processes` is the host's own bound.
    pub fn limits(&self, processes: u32) -> Limits {
        Limits { cpu_thousandths: self.cpu_thousandths, memory_bytes: self.memory_bytes, processes }
    }
}

/// A sandbox that exists: the order, its place on the host, and its process while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The order.
    pub spec: Spec,
    /// Its place: decides its ids and its address, and no other sandbox has it.
    pub index: u32,
    /// The first process, `None` when stopped.
    pub process: Option<Process>,
    /// Version of the daemon that ran last.
    pub daemon_version: String,
}

/// Names a process for good: ids are used again, start times with them are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id on the host.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
}

/// Where the files of one sandbox are.
#[derive(Debug, Clone)]
pub struct Home {
    /// Holds everything of the sandbox but its socket.
    pub directory: PathBuf,
    /// The daemon's socket. Reached through a descriptor of its directory, since a socket's path has at most 107
    /// bytes and a data directory may be deep.
    pub socket: PathBuf,
}

impl Home {
    /// Names the places of sandbox `id` below the data directory, whose `run` directory is open as `run`.
    pub fn new(data_directory: &Path, run: BorrowedFd<'_>, id: &str) -> Self {
        Self {
            directory: data_directory.join("sandboxes").join(id),
            socket: PathBuf::from(format!("/proc/self/fd/{}/{id}", run.as_raw_fd())),
        }
    }

    /// Returns where the writable disk is.
    pub fn disk(&self) -> PathBuf {
        self.directory.join("disk.ext4")
    }

    fn record(&self) -> PathBuf {
        self.directory.join("sandbox.json")
    }

    /// Writes the record so that a crash leaves the old or the new one.
    pub fn save(&self, record: &Record) -> Result<(), RunnerError> {
        let text = serde_json::to_vec(record)
            .map_err(|source| RunnerError::Encode { what: "sandbox record", source })?;
        let (path, incoming) = (self.record(), self.directory.join("sandbox.incoming"));
        let file = |source| RunnerError::File { action: "write", path: path.clone(), source };
        fs::write(&incoming, text).map_err(file)?;
        fs::rename(&incoming, &path).map_err(file)
    }

    /// Reads the record; `None` for a sandbox whose creation never finished.
    pub fn load(&self) -> Result<Option<Record>, RunnerError> {
        match fs::read(self.record()) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|source| RunnerError::Decode { what: "sandbox record", source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RunnerError::File { action: "read", path: self.record(), source }),
        }
    }

    /// Removes the socket, so that nobody waits at a door that no one opens.
    pub fn remove_socket(&self) -> Result<(), RunnerError> {
        match fs::remove_file(&self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RunnerError::File { action: "remove", path: self.socket.clone(), source: error })
            }
            _ => Ok(()),
        }
    }

    /// Removes every file of the sandbox.
    pub fn remove(&self) -> Result<(), RunnerError> {
        self.remove_socket()?;
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RunnerError::File { action: "remove", path: self.directory.clone(), source: error })
            }
            _ => Ok(()),
        }
    }
}
