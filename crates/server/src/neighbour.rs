//! The other servers of this host: which addresses and ids they have, and which of them are dead.
//!
//! Every server keeps a file in one directory, which is empty after a boot, and holds a lock on it while it lives.

use std::fs::File;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::error::ServerError;

/// What one server has. Ranges name their first and last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) data_directory: PathBuf,
    pub(crate) addresses: (u32, u32),
    pub(crate) ids: (u32, u32),
}

/// The directory of entries, as the server called `instance` sees it.
#[derive(Debug)]
pub(crate) struct Registry {
    directory: PathBuf,
    instance: String,
}

/// An entry of this process; others see it as alive for as long as this exists.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: File,
}

impl Registry {
    /// Opens the registry below `directory`, which exists.
    pub(crate) fn open(directory: &Path, instance: &str) -> Result<Self, ServerError> {
        let directory = directory.join("servers");
        fs::create_dir_all(&directory).map_err(|source| ServerError::File {
            action: "make directory",
            path: directory.clone(),
            source,
        })?;
        Ok(Self { directory, instance: instance.to_owned() })
    }

    /// Returns the entries of other servers that live, or whose sandboxes are still there: a killed server comes back
    /// and needs what its sandboxes have.
    pub(crate) fn neighbours(&self) -> Vec<Entry> {
        let others = self.others().into_iter().filter(|(_, file, entry)| alive(file) || has_sandboxes(entry));
        others.map(|(_, _, entry)| entry).collect()
    }

    /// Returns the instances of servers that ended without cleaning up. The entries of those whose data directory is
    /// gone are removed: they will not come back.
    pub(crate) fn dead(&self) -> Vec<String> {
        let mut dead = Vec::new();
        for (instance, file, entry) in self.others() {
            if alive(&file) {
                continue;
            }
            if !entry.data_directory.exists() {
                let _ = fs::remove_file(self.path(&instance));
            }
            dead.push(instance);
        }
        dead
    }

    /// Writes the entry of this server and holds it.
    pub(crate) fn enter(&self, entry: &Entry) -> Result<Held, ServerError> {
        let path = self.path(&self.instance);
        let failed = |action, source| ServerError::File { action, path: path.clone(), source };
        let text = json!({
            "data_directory": entry.data_directory,
            "addresses": [entry.addresses.0, entry.addresses.1],
            "ids": [entry.ids.0, entry.ids.1],
        });
        // Put in place anew, so that nobody reads half of it; the lock is on the new file.
        linux::replace::replace_soon(&path, text.to_string().as_bytes(), 0o600)
            .map_err(|source| failed("write", source))?;
        let lock = File::open(&path).map_err(|source| failed("open", source))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| failed("lock", error.into()))?;
        Ok(Held { _lock: lock })
    }

    /// Reads every readable entry but our own.
    fn others(&self) -> Vec<(String, File, Entry)> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let instances = names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned));
        let read = |instance: String| {
            let path = self.path(&instance);
            let entry = parse(&fs::read(&path).ok()?)?;
            Some((instance, File::open(path).ok()?, entry))
        };
        instances.filter(|instance| *instance != self.instance).filter_map(read).collect()
    }

    fn path(&self, instance: &str) -> PathBuf {
        self.directory.join(format!("{instance}.json"))
    }
}

/// A lock that two may share is refused while the owner holds its own; where it cannot be asked, the owner may live.
fn alive(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockShared).is_err()
}

fn has_sandboxes(entry: &Entry) -> bool {
    fs::read_dir(entry.data_directory.join("sandboxes")).is_ok_and(|mut entries| entries.next().is_some())
}

fn parse(text: &[u8]) -> Option<Entry> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let range = |name: &str| {
        let number = |index: usize| u32::try_from(value.get(name)?.get(index)?.as_u64()?).ok();
        Some((number(0)?, number(1)?))
    };
    let data_directory = PathBuf::from(value.get("data_directory")?.as_str()?);
    Some(Entry { data_directory, addresses: range("addresses")?, ids: range("ids")? })
}
