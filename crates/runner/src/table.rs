//! Which sandboxes are on this host and which place each has: the one mutable table.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fs_err as fs;
use types::SandboxId;

use crate::error::{RunnerError, chain};
use crate::net;
use crate::sandbox::disk::{self, Disk};
use crate::sandbox::spec::{Home, Process, Record, TRASH, remove_directory};

/// Said of a sandbox whose first process ended while no server was there to see how.
const ENDED_UNWATCHED: &str = "its first process ended while no server was watching";

/// Everything that is here. An operation holds its sandbox's entry from beginning to end, so two never meet.
#[derive(Debug, Default)]
pub(crate) struct Table(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<String, Arc<Mutex<Entry>>>,
}

/// One sandbox.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) home: Home,
    pub(crate) index: u32,
    /// `None` until its creation is finished.
    pub(crate) record: Option<Record>,
    /// The first process, held while it is not known to have ended.
    pub(crate) process: Option<OwnedFd>,
    /// Its disk, held until that has write barriers; the mount ends with the sandbox only once this is gone.
    pub(crate) new_disk: Option<Disk>,
    /// Whether it left the table while somebody waited for it.
    gone: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    /// Reads what an earlier run left below `data_directory`, whose `run` directory is open as `run`: sandboxes that
    /// run are held by their process again, half-made ones are removed. What has a disk and no record is put aside in `broken`;
    /// the second value says so, a sentence for each.
    pub(crate) fn recover(
        data_directory: &Path,
        run: BorrowedFd<'_>,
    ) -> Result<(Self, Vec<String>), RunnerError> {
        let mut inner = Inner::default();
        let mut warnings = Vec::new();
        remove_directory(&data_directory.join(TRASH))?;
        let directory = data_directory.join("sandboxes");
        let listed = |source| RunnerError::File { action: "list", path: directory.clone(), source };
        for entry in fs::read_dir(&directory).map_err(listed)? {
            let Ok(id) = entry.map_err(listed)?.file_name().into_string() else { continue };
            if SandboxId::from_str(&id).is_err() {
                warnings.push(format!("left {} alone: it is no sandbox", directory.join(&id).display()));
                continue;
            }
            let home = Home::new(data_directory, run, &id);
            let loaded = home.load();
            let has_disk = home.disk().exists();
            match loaded {
                Ok(Some(record)) if has_disk || !record.daemon_version.is_empty() => {
                    inner.add(id, Entry::recover(home, record)?);
                }
                // A crash came before it ran: nobody was told of it.
                Ok(_) if !has_disk || home.is_half_made() => home.remove()?,
                Ok(_) => {
                    home.put_aside()?;
                    warnings.push(format!("put sandbox {id} aside in `broken`: its record is missing"));
                }
                Err(error) => {
                    home.put_aside()?;
                    warnings.push(format!("put sandbox {id} aside in `broken`: {}", chain(&error)));
                }
            }
        }
        Ok((Self(Mutex::new(inner)), warnings))
    }

    /// Calls with the entry of a sandbox; `None` when there is none.
    pub(crate) fn with<T>(
        &self,
        id: &str,
        call: impl FnOnce(&mut Entry) -> Result<T, RunnerError>,
    ) -> Result<Option<T>, RunnerError> {
        loop {
            let Some(entry) = locked(&self.0).entries.get(id).cloned() else { return Ok(None) };
            let mut entry = locked(&entry);
            if !entry.gone {
                return call(&mut entry).map(Some);
            }
        }
    }

    /// Calls with the entry of a sandbox, which gets the place `index` when it is new.
    pub(crate) fn with_new<T>(
        &self,
        id: &str,
        index: u32,
        home: impl Fn() -> Home,
        call: impl FnOnce(&mut Entry) -> Result<T, RunnerError>,
    ) -> Result<T, RunnerError> {
        loop {
            let entry = locked(&self.0).reserve(id, index, &home)?;
            let mut entry = locked(&entry);
            if !entry.gone {
                return call(&mut entry);
            }
        }
    }

    /// Takes a sandbox out of the table. The caller holds the entry, and frees its place.
    pub(crate) fn remove(&self, id: &str, entry: &mut Entry) {
        entry.gone = true;
        locked(&self.0).entries.remove(id);
    }

    /// Lists the ids of all sandboxes.
    pub(crate) fn ids(&self) -> Vec<String> {
        locked(&self.0).entries.keys().cloned().collect()
    }

    /// Sets write barriers on the disk of a sandbox that runs, and brings what is new on the host's disk: from here on
    /// it survives a power cut.
    pub(crate) fn set_barriers(&self, id: &str) -> Result<(), RunnerError> {
        // Not under the entry's lock: it takes a while, and nobody shall wait for it.
        let found = self.with(id, |entry| Ok((entry.new_disk.take(), entry.alive(), entry.home.clone())))?;
        let failed =
            |source| RunnerError::Kernel { action: "set the write barriers", id: id.to_owned(), source };
        let set = match found {
            Some((Some(disk), _, home)) => disk.set_barriers().map_err(failed).and_then(|()| home.sync()),
            Some((None, true, home)) => disk::set_barriers_in_use(&home.disk()).map_err(failed),
            _ => Ok(()),
        };
        // Deleted meanwhile, it has nothing to survive.
        if locked(&self.0).entries.contains_key(id) { set } else { Ok(()) }
    }

    /// Lists the places that are taken.
    pub(crate) fn indexes(&self) -> Vec<u32> {
        let entries: Vec<_> = locked(&self.0).entries.values().cloned().collect();
        entries.iter().map(|entry| locked(entry).index).collect()
    }

    /// Lists the sandboxes that run.
    pub(crate) fn running(&self) -> Vec<net::Running> {
        let entries: Vec<_> = locked(&self.0).entries.values().cloned().collect();
        entries.iter().filter_map(|entry| locked(entry).running()).collect()
    }
}

impl Inner {
    fn add(&mut self, id: String, entry: Entry) {
        self.entries.insert(id, Arc::new(Mutex::new(entry)));
    }

    fn reserve(
        &mut self,
        id: &str,
        index: u32,
        home: impl Fn() -> Home,
    ) -> Result<Arc<Mutex<Entry>>, RunnerError> {
        if let Some(entry) = self.entries.get(id) {
            return Ok(entry.clone());
        }
        let entry = Entry { home: home(), index, record: None, process: None, new_disk: None, gone: false };
        self.add(id.to_owned(), entry);
        self.entries.get(id).cloned().ok_or_else(|| RunnerError::Missing { id: id.to_owned() })
    }
}

impl Entry {
    fn recover(home: Home, mut record: Record) -> Result<Self, RunnerError> {
        let process = match record.process {
            Some(process) if process.is_alive() => linux::process::open(process.pid)
                .map_err(|source| RunnerError::Host { action: "take over running sandboxes", source })?,
            _ => None,
        };
        // A reboot ends everybody, which is no sandbox's own doing; on the same boot one of them ended by itself.
        if process.is_none() && record.process.as_ref().is_some_and(Process::is_of_this_boot) {
            record.ended = Some(ENDED_UNWATCHED.to_owned());
            record.process = None;
            home.save(&record)?;
        }
        Ok(Self { home, index: record.index, record: Some(record), process, new_disk: None, gone: false })
    }

    /// Writes the record, and knows it from then on: a write that failed is tried again by whoever asks next.
    pub(crate) fn keep(&mut self, record: Record) -> Result<(), RunnerError> {
        self.home.save(&record)?;
        self.record = Some(record);
        Ok(())
    }

    /// Tells whether the first process runs.
    pub(crate) fn alive(&self) -> bool {
        let ended = self.process.as_ref().map(|pidfd| linux::process::wait(pidfd, 0));
        matches!(ended, Some(Ok(false)))
    }

    /// Names the sandbox for the network when it runs.
    fn running(&self) -> Option<net::Running> {
        let record = self.record.as_ref().filter(|_| self.alive())?;
        let sandbox_id = record.spec.id.clone();
        let (policy, membership) = (record.spec.network(), record.spec.membership());
        Some(net::Running { sandbox_id, index: self.index, policy, membership })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    const ID: &str = "00000000-0000-4000-8000-000000000001";

    fn home(directory: &Path) -> Home {
        Home::new(directory, std::io::stdin().as_fd(), ID)
    }

    #[test]
    fn who_waited_for_a_removed_sandbox_gets_a_fresh_entry() {
        let directory = tempfile::tempdir().unwrap();
        let table = Table::default();
        let (entered, enter) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                table.with_new(
                    ID,
                    2,
                    || home(directory.path()),
                    |entry| {
                        entered.send(()).unwrap();
                        std::thread::sleep(std::time::Duration::from_millis(50));
                        table.remove(ID, entry);
                        Ok(())
                    },
                )
            });
            enter.recv().unwrap();
            let second = table.with_new(ID, 2, || home(directory.path()), |entry| Ok(entry.gone));
            assert!(!second.unwrap());
            first.join().unwrap().unwrap();
        });
        assert_eq!(table.ids(), [ID]);
        assert!(table.with("other", |_| Ok(())).unwrap().is_none());
    }

    #[test]
    fn a_record_that_cannot_be_read_is_put_aside_and_half_made_ones_go() {
        let data = tempfile::tempdir().unwrap();
        let sandboxes = data.path().join("sandboxes");
        let half = "00000000-0000-4000-8000-000000000002";
        for (name, text) in [(ID, Some("")), (half, None), ("lost+found", None)] {
            std::fs::create_dir_all(sandboxes.join(name)).unwrap();
            if let Some(text) = text {
                std::fs::write(sandboxes.join(name).join("sandbox.json"), text).unwrap();
            }
        }
        let run = std::fs::File::open(data.path()).unwrap();
        let (table, warnings) = Table::recover(data.path(), run.as_fd()).unwrap();
        assert!(table.ids().is_empty());
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(data.path().join("broken").join(ID).is_dir());
        assert!(sandboxes.join("lost+found").is_dir() && !sandboxes.join(half).exists());
    }
}
