//! What was ordered, and what the host keeps of it on disk.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use fs_err as fs;
use linux::cgroup::Limits;
use serde::{Deserialize, Serialize};
use types::network::{DomainPattern, Ipv4Network};
use types::sandbox::Network;

use crate::error::RunnerError;
use crate::net::Membership;

/// Name of the record in a sandbox's directory.
pub(crate) const RECORD_FILE: &str = "sandbox.json";
/// Stands in the record's place until there is one: a sandbox whose record is lost is another matter.
const HALF_MADE: &[u8] = b"half-made\n";

/// Makes the directory that a sandbox will have.
pub fn make_directory(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::write(path.join(RECORD_FILE), HALF_MADE)
}

/// Name of the writable disk in a sandbox's directory.
pub const DISK_FILE: &str = "disk.ext4";

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
    /// Networks that it may reach, as text; see [`Spec::network`].
    #[serde(default)]
    pub allow_list: Vec<String>,
    /// Names that it may reach, as text.
    #[serde(default)]
    pub domain_allow_list: Vec<String>,
    /// Its name for people; whatever they like.
    #[serde(default)]
    pub name: String,
    /// The sandbox of the same tenant that it is linked to.
    #[serde(default)]
    pub linked: Option<String>,
    /// The volumes that it has.
    #[serde(default)]
    pub volumes: Vec<Mount>,
}

impl Spec {
    /// Returns what the sandbox may reach; nothing, when what is written cannot be read.
    pub fn network(&self) -> Network {
        let read = || {
            Some(Network {
                block_all: self.block_all,
                allow_list: self
                    .allow_list
                    .iter()
                    .map(|text| Ipv4Network::parse(text))
                    .collect::<Option<_>>()?,
                domain_allow_list: self
                    .domain_allow_list
                    .iter()
                    .map(|text| DomainPattern::parse(text))
                    .collect::<Option<_>>()?,
            })
        };
        read().unwrap_or_else(Network::blocked)
    }

    /// Returns with whom the sandbox is linked, and as whom.
    pub fn membership(&self) -> Membership {
        let (organization_id, name) = (self.organization_id.clone(), self.name.clone());
        Membership { organization_id, owner_id: self.linked.clone(), name }
    }

    /// Writes what the sandbox may reach from now on.
    pub fn set_network(&mut self, network: &Network) {
        self.block_all = network.block_all;
        self.allow_list = network.allow_list.iter().map(ToString::to_string).collect();
        self.domain_allow_list = network.domain_allow_list.iter().map(ToString::to_string).collect();
    }

    /// Returns what the processes may use; `processes` is the host's own bound.
    pub fn limits(&self, processes: u32) -> Limits {
        Limits { cpu_thousandths: self.cpu_thousandths, memory_bytes: self.memory_bytes, processes }
    }
}

/// Where a sandbox has a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The volume's UUID.
    pub volume_id: String,
    /// The absolute path inside.
    pub path: String,
    /// The directory of the volume that is shown; all of it without one.
    pub subpath: Option<String>,
    /// Whether it may only be read there.
    pub is_read_only: bool,
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
    /// Why the first process ended, when nobody had asked for it; `None` once it is started again.
    #[serde(default)]
    pub ended: Option<String>,
    /// The object that its files were brought back from; `None` once it is started again.
    #[serde(default)]
    pub restored: Option<String>,
}

impl Record {
    /// Begins the record of a sandbox that does not run yet.
    pub fn new(spec: Spec, index: u32) -> Self {
        Self { spec, index, process: None, daemon_version: String::new(), ended: None, restored: None }
    }
}

/// Names a process for good: ids are used again, start times with them are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id on the host.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// Which boot of the machine that was, as [`linux::process::boot_id`]; 0 in records of versions that did not note it.
    #[serde(default)]
    pub boot_id: u64,
}

impl Process {
    /// Names a process of this boot.
    pub fn new(pid: i32, start_time: u64) -> Self {
        Self { pid, start_time, boot_id: linux::process::boot_id() }
    }

    /// Tells whether it started since the machine did: what it left, it left by itself, and no reboot did.
    pub fn is_of_this_boot(&self) -> bool {
        self.boot_id == linux::process::boot_id()
    }

    /// Tells whether it is still there.
    pub fn is_alive(&self) -> bool {
        (self.boot_id == 0 || self.is_of_this_boot())
            && linux::process::start_time(self.pid) == Some(self.start_time)
    }
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
        self.directory.join(DISK_FILE)
    }

    fn record(&self) -> PathBuf {
        self.directory.join(RECORD_FILE)
    }

    /// Writes the record so that a crash leaves the old or the new one.
    pub fn save(&self, record: &Record) -> Result<(), RunnerError> {
        let text = serde_json::to_vec(record)
            .map_err(|source| RunnerError::Encode { what: "sandbox record", source })?;
        let path = self.record();
        linux::replace::replace_soon(&path, &text, 0o600).map_err(|source| RunnerError::File {
            action: "write",
            path,
            source,
        })
    }

    /// Brings a new sandbox onto the disk: its record, its empty disk and their names. Whoever is told that it exists
    /// finds it again after a power cut. What changes later, its process, is of no use then.
    pub fn sync(&self) -> Result<(), RunnerError> {
        let file = |path: &Path, source| RunnerError::File { action: "write", path: path.to_owned(), source };
        for path in [self.record(), self.disk()] {
            std::fs::File::open(&path)
                .and_then(|opened| opened.sync_all())
                .map_err(|source| file(&path, source))?;
        }
        linux::replace::sync_directory_of(&self.record()).map_err(|source| file(&self.directory, source))?;
        linux::replace::sync_directory_of(&self.directory).map_err(|source| file(&self.directory, source))
    }

    /// Tells whether it was being made when a crash came: nobody was told of it.
    pub fn is_half_made(&self) -> bool {
        fs::read(self.record()).is_ok_and(|text| text == HALF_MADE)
    }

    /// Reads the record; `None` for a sandbox whose creation never finished, and for one whose record is lost.
    pub fn load(&self) -> Result<Option<Record>, RunnerError> {
        match fs::read(self.record()) {
            Ok(text) if text == HALF_MADE => Ok(None),
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

    /// Removes every file of the sandbox. They leave in one step: a crash half-way leaves a sandbox or none.
    pub fn remove(&self) -> Result<(), RunnerError> {
        self.remove_socket()?;
        let file = |action, path: &Path, source| RunnerError::File { action, path: path.to_owned(), source };
        let trash = self.beside(TRASH);
        fs::create_dir_all(trash.parent().unwrap_or(&trash))
            .map_err(|source| file("make directory", &trash, source))?;
        remove_directory(&trash)?;
        match fs::rename(&self.directory, &trash) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Where nothing can be written, what is there can still be taken away.
            Err(_) => remove_directory(&self.directory)?,
            Ok(()) => remove_directory(&trash)?,
        }
        Ok(())
    }

    /// Puts a sandbox aside whose record cannot be read: its disk is there, and somebody may want it.
    pub fn put_aside(&self) -> Result<(), RunnerError> {
        let aside = self.beside(BROKEN);
        remove_directory(&aside)?;
        fs::create_dir_all(aside.parent().unwrap_or(&aside))
            .and_then(|()| fs::rename(&self.directory, &aside))
            .map_err(|source| RunnerError::File { action: "put aside", path: self.directory.clone(), source })
    }

    /// Tells whether the sandbox was put aside.
    pub fn is_aside(&self) -> bool {
        self.beside(BROKEN).is_dir()
    }

    /// Removes what was put aside of it.
    pub fn remove_aside(&self) -> Result<(), RunnerError> {
        remove_directory(&self.beside(BROKEN))
    }

    /// Returns its place in another directory of the data directory.
    fn beside(&self, name: &str) -> PathBuf {
        let data = self.directory.parent().and_then(Path::parent).unwrap_or(Path::new("."));
        data.join(name).join(self.directory.file_name().unwrap_or_default())
    }
}

/// Where files go on their way out; emptied at each start.
pub const TRASH: &str = "trash";
/// Where sandboxes are kept whose record cannot be read.
const BROKEN: &str = "broken";

/// Removes a directory with all that is in it, which need not be there.
pub(crate) fn remove_directory(path: &Path) -> Result<(), RunnerError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(RunnerError::File { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
