//! All that lives on this host: the one mutable table, and what finds it again after a crash.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fs_err as fs;
use linux::cgroup::Hierarchy;
use linux::errno::CallError;
use types::{Clock, Random};

use crate::boot::{self, Ground};
use crate::error::RunnerError;
use crate::image::{Image, Store};
use crate::net::{self, Network};
use crate::place;
use crate::pool::Pool;
use crate::sandbox::disk::{self, Disk};
use crate::sandbox::spec::{Home, Record, Spec};
use crate::spawner::Spawner;

/// What a host is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Holds images and sandboxes.
    pub data_directory: PathBuf,
    /// Tells two hosts on one machine apart: names groups, tables and links.
    pub instance: String,
    /// The program and arguments that run [`crate::spawner::serve`] on their standard input.
    pub spawner: Vec<String>,
    /// The first host id of the first sandbox; each has 65,536.
    pub id_base: u32,
    /// How many sandboxes there are ids for.
    pub id_ranges: u32,
    /// How links are made.
    pub network: net::Settings,
    /// Lines of `/etc/resolv.conf` inside.
    pub resolvers: Vec<String>,
    /// How many disks to keep ready, and their size.
    pub ready_disks: usize,
    /// Size of the disks that are kept ready.
    pub ready_disk_bytes: u64,
    /// Bound on processes and threads of one sandbox.
    pub processes: u32,
    /// How long a daemon may take to answer.
    pub boot_timeout_ms: u32,
    /// How long processes have between the request to end and the kill.
    pub grace_ms: u32,
}

/// What is seen of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Nothing is here.
    Absent,
    /// Its files are here.
    Stopped,
    /// It runs.
    Started,
}

/// A machine that runs sandboxes. All calls block; callers give them a thread that may.
#[derive(Debug)]
pub struct Host {
    settings: Settings,
    images: Store,
    hierarchy: Hierarchy,
    network: Network,
    spawner: Spawner,
    daemon: OwnedFd,
    pool: Pool,
    table: Mutex<Table>,
    /// Holds the directory of sockets open: their paths lead through this descriptor.
    run: OwnedFd,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<String, Arc<Mutex<Entry>>>,
    indexes: BTreeSet<u32>,
}

/// One sandbox; its lock is held for the whole of an operation, so that two never meet.
#[derive(Debug)]
struct Entry {
    home: Home,
    index: u32,
    record: Option<Record>,
    process: Option<OwnedFd>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    /// Prepares the machine and finds what an earlier run left: running sandboxes are taken over, half-made ones are
    /// removed.
    pub fn open(
        settings: Settings,
        daemon: &[u8],
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, RunnerError> {
        let images = Store::open(&settings.data_directory)?;
        for name in ["sandboxes", "run"] {
            let path = settings.data_directory.join(name);
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::create_dir_all(&path)
                .and_then(|()| fs::set_permissions(&path, private))
                .map_err(|source| RunnerError::File { action: "make directory", path, source })?;
        }
        let host = |action: &'static str| move |source| RunnerError::Host { action, source };
        let hierarchy = Hierarchy::detect().map_err(host("find the control groups"))?;
        let daemon = linux::exec::seal("daytona-daemon", daemon).map_err(host("seal the daemon"))?;
        let run = settings.data_directory.join("run");
        let run = fs::File::open(&run)
            .map(|run| OwnedFd::from(run.into_parts().0))
            .map_err(|source| RunnerError::File { action: "open", path: run, source })?;
        let table = recover(&settings, run.as_fd())?;
        let running: Vec<net::Running> =
            table.entries.values().filter_map(|entry| locked(entry).running()).collect();
        let network = Network::open(&settings.network, &running)
            .map_err(|source| RunnerError::NetworkHost { source })?;
        let spawner = Spawner::new(settings.spawner.clone());
        let pool = settings.data_directory.join("pool");
        let pool = Pool::open(pool, settings.ready_disk_bytes, settings.ready_disks, clock.clone())?;
        let table = Mutex::new(table);
        let opened =
            Self { settings, images, hierarchy, network, spawner, daemon, pool, table, run, clock, random };
        opened.sweep()?;
        Ok(opened)
    }

    /// Takes what this host keeps for all sandboxes off the machine, when none runs; tells whether it did. Nothing
    /// works afterwards.
    pub fn close(&self) -> Result<bool, RunnerError> {
        if !self.network.remove().map_err(|source| RunnerError::NetworkHost { source })? {
            return Ok(false);
        }
        let group = self.hierarchy.group("", &self.settings.instance);
        group.remove().map_err(|source| RunnerError::Host { action: "remove the control groups", source })?;
        Ok(true)
    }

    /// Lists the ids of all sandboxes of this host.
    pub fn ids(&self) -> Vec<String> {
        locked(&self.table).entries.keys().cloned().collect()
    }

    /// Returns the images of this host.
    pub fn images(&self) -> &Store {
        &self.images
    }

    /// Returns where the daemon of a sandbox listens.
    pub fn socket(&self, id: &str) -> PathBuf {
        Home::new(&self.settings.data_directory, self.run.as_fd(), id).socket
    }

    /// Makes and starts a sandbox; returns its daemon's version. One that runs already is left as it is.
    pub fn create(&self, spec: &Spec) -> Result<String, RunnerError> {
        let image = self.image(&spec.image)?;
        let entry = self.reserve(&spec.id)?;
        let mut entry = locked(&entry);
        if entry.record.is_some() {
            return self.start_locked(&mut entry, &image);
        }
        let made = self.make(&mut entry, spec, &image);
        if made.is_err() {
            // What the boot did is undone; what is left is the directory.
            let removed = entry.home.remove();
            self.release(&spec.id, entry.index);
            removed?;
        }
        made
    }

    fn make(&self, entry: &mut Entry, spec: &Spec, image: &Image) -> Result<String, RunnerError> {
        entry.home.remove()?;
        let directory = &entry.home.directory;
        fs::create_dir(directory).map_err(|source| RunnerError::File {
            action: "make directory",
            path: directory.clone(),
            source,
        })?;
        let made = self.disk(&entry.home.disk(), spec.disk_bytes, entry.index);
        let made = made.map_err(|source| RunnerError::Kernel {
            action: "make the disk",
            id: spec.id.clone(),
            source,
        })?;
        let record =
            Record { spec: spec.clone(), index: entry.index, process: None, daemon_version: String::new() };
        self.run(entry, record, image, &made)
    }

    /// Takes a disk from the pool, or makes one when the pool has none of that size.
    fn disk(&self, path: &Path, bytes: u64, index: u32) -> Result<Disk, CallError> {
        let id_base = place::first_id(self.settings.id_base, index);
        if let Some(disk) = self.pool.take(path, bytes, id_base)? {
            return Ok(disk);
        }
        let mut identity = [0; 16];
        self.random.fill(&mut identity);
        disk::format(path, bytes, identity, disk::seconds(&*self.clock))?;
        let disk = disk::mount(path)?;
        disk.give(id_base)?;
        Ok(disk)
    }

    /// Starts a sandbox that is here; returns its daemon's version.
    pub fn start(&self, id: &str) -> Result<String, RunnerError> {
        let entry = self.find(id)?;
        let mut entry = locked(&entry);
        let name = entry.record.as_ref().map(|record| record.spec.image.clone()).unwrap_or_default();
        let image = self.image(&name)?;
        self.start_locked(&mut entry, &image)
    }

    fn start_locked(&self, entry: &mut Entry, image: &Image) -> Result<String, RunnerError> {
        let Some(record) = entry.record.clone() else {
            return Err(RunnerError::Missing { id: entry.home.directory.display().to_string() });
        };
        if entry.alive() {
            // Booted before: the caller's answer was lost, or it asks twice.
            return Ok(record.daemon_version);
        }
        self.tidy(entry)?;
        let path = entry.home.disk();
        let mounted = disk::wait_until_released(&path).and_then(|()| disk::mount(&path));
        let mounted = mounted.map_err(|source| RunnerError::Kernel {
            action: "mount the disk",
            id: record.spec.id.clone(),
            source,
        })?;
        self.run(entry, record, image, &mounted)
    }

    fn run(
        &self,
        entry: &mut Entry,
        mut record: Record,
        image: &Image,
        disk: &Disk,
    ) -> Result<String, RunnerError> {
        let booted = self.ground().boot(&record, &entry.home, image, disk)?;
        record.process = Some(booted.process);
        record.daemon_version.clone_from(&booted.daemon_version);
        entry.home.save(&record).inspect_err(|_| boot::end(&booted.pidfd))?;
        entry.process = Some(booted.pidfd);
        entry.record = Some(record);
        Ok(booted.daemon_version)
    }

    /// Ends every process; with `force` without asking them first. The files stay.
    pub fn stop(&self, id: &str, force: bool) -> Result<(), RunnerError> {
        let entry = self.find(id)?;
        let mut entry = locked(&entry);
        if let Some(pidfd) = entry.process.take() {
            if !force && linux::process::terminate(&pidfd).is_ok() {
                // The daemon keeps the grace itself; a second more and it is taken for stuck.
                let _ = crate::spawner::wait(&pidfd, self.settings.grace_ms.saturating_add(1000));
            }
            boot::end(&pidfd);
        }
        self.tidy(&mut entry)
    }

    /// Removes everything of a sandbox; one that is not here is already removed.
    pub fn destroy(&self, id: &str) -> Result<(), RunnerError> {
        let entry = match self.find(id) {
            Ok(entry) => entry,
            Err(RunnerError::Missing { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut entry = locked(&entry);
        if let Some(pidfd) = entry.process.take() {
            boot::end(&pidfd);
        }
        self.clear(id, entry.index)?;
        entry.record = None;
        entry.home.remove()?;
        self.release(id, entry.index);
        Ok(())
    }

    /// Looks at a sandbox.
    pub fn observe(&self, id: &str) -> Result<Presence, RunnerError> {
        let entry = match self.find(id) {
            Ok(entry) => entry,
            Err(RunnerError::Missing { .. }) => return Ok(Presence::Absent),
            Err(error) => return Err(error),
        };
        let mut entry = locked(&entry);
        if entry.alive() {
            return Ok(Presence::Started);
        }
        if entry.process.take().is_some() {
            self.tidy(&mut entry)?;
        }
        Ok(if entry.record.is_some() { Presence::Stopped } else { Presence::Absent })
    }

    /// Returns a descriptor that becomes readable when the sandbox has ended; `None` when it does not run.
    pub fn process(&self, id: &str) -> Option<OwnedFd> {
        let entry = self.find(id).ok()?;
        let entry = locked(&entry);
        entry.process.as_ref()?.try_clone().ok()
    }

    /// Returns what preparing the network found and changed, for the log.
    pub fn network_report(&self) -> &net::Report {
        self.network.report()
    }

    /// Shuts or opens the network of a sandbox, now and for its next start.
    pub fn set_block_all(&self, id: &str, block_all: bool) -> Result<(), RunnerError> {
        let entry = self.find(id)?;
        let mut entry = locked(&entry);
        let alive = entry.alive();
        let index = entry.index;
        let Entry { home, record, .. } = &mut *entry;
        let Some(record) = record else { return Err(RunnerError::Missing { id: id.to_owned() }) };
        record.spec.block_all = block_all;
        home.save(record)?;
        if alive {
            self.network
                .set_block_all(id, index, block_all)
                .map_err(|source| RunnerError::Network { id: id.to_owned(), source })?;
        }
        Ok(())
    }

    fn ground(&self) -> Ground<'_> {
        Ground {
            images: &self.images,
            hierarchy: &self.hierarchy,
            group_parent: &self.settings.instance,
            network: &self.network,
            spawner: &self.spawner,
            daemon: &self.daemon,
            id_base: self.settings.id_base,
            processes: self.settings.processes,
            resolvers: &self.settings.resolvers,
            boot_timeout_ms: self.settings.boot_timeout_ms,
            grace_ms: self.settings.grace_ms,
        }
    }

    fn image(&self, name: &str) -> Result<Image, RunnerError> {
        self.images.find(name)?.ok_or_else(|| RunnerError::ImageMissing { name: name.to_owned() })
    }

    /// Releases what a sandbox holds only while it runs.
    fn tidy(&self, entry: &mut Entry) -> Result<(), RunnerError> {
        let Some(record) = &mut entry.record else { return Ok(()) };
        let id = record.spec.id.clone();
        if record.process.take().is_some() {
            entry.home.save(record)?;
        }
        entry.home.remove_socket()?;
        self.clear(&id, entry.index)
    }

    /// Removes the host objects of a sandbox whose processes are gone.
    fn clear(&self, id: &str, index: u32) -> Result<(), RunnerError> {
        self.network
            .detach(id, index)
            .map_err(|source| RunnerError::Network { id: id.to_owned(), source })?;
        self.lift_limits(id)
    }

    fn lift_limits(&self, id: &str) -> Result<(), RunnerError> {
        let group = self.hierarchy.group(&self.settings.instance, id);
        // A group is busy for a moment after its last process.
        let mut attempts = 0;
        loop {
            match group.remove() {
                Err(error) if error.errno() == rustix::io::Errno::BUSY.raw_os_error() && attempts < 500 => {
                    attempts += 1;
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                done => {
                    let id = id.to_owned();
                    return done.map_err(|source| RunnerError::Kernel {
                        action: "lift the limits",
                        id,
                        source,
                    });
                }
            }
        }
    }

    /// Removes control groups that no sandbox of this host has: a crash came between making and recording.
    fn sweep(&self) -> Result<(), RunnerError> {
        let parent = &self.settings.instance;
        for name in self.hierarchy.list(parent) {
            if locked(&self.table).entries.contains_key(&name) {
                continue;
            }
            for pid in self.hierarchy.group(parent, &name).processes() {
                if let Ok(Some(pidfd)) = linux::process::open(pid) {
                    boot::end(&pidfd);
                }
            }
            // Links and rules of what does not run are gone since the network was opened.
            self.lift_limits(&name)?;
        }
        Ok(())
    }

    fn find(&self, id: &str) -> Result<Arc<Mutex<Entry>>, RunnerError> {
        let table = locked(&self.table);
        table.entries.get(id).cloned().ok_or_else(|| RunnerError::Missing { id: id.to_owned() })
    }

    /// Returns the sandbox's entry, giving it a place when it is new.
    fn reserve(&self, id: &str) -> Result<Arc<Mutex<Entry>>, RunnerError> {
        let mut table = locked(&self.table);
        if let Some(entry) = table.entries.get(id) {
            return Ok(entry.clone());
        }
        let places = self.places();
        let index = (0..places).find(|index| !table.indexes.contains(index));
        let index = index.ok_or_else(|| RunnerError::Full { id: id.to_owned(), places })?;
        table.indexes.insert(index);
        let home = Home::new(&self.settings.data_directory, self.run.as_fd(), id);
        let entry = Arc::new(Mutex::new(Entry { home, index, record: None, process: None }));
        table.entries.insert(id.to_owned(), entry.clone());
        Ok(entry)
    }

    /// As many places as there are addresses and ids for.
    fn places(&self) -> u32 {
        self.network.places().min(place::places(self.settings.id_base, self.settings.id_ranges))
    }

    fn release(&self, id: &str, index: u32) {
        let mut table = locked(&self.table);
        table.entries.remove(id);
        table.indexes.remove(&index);
    }
}

impl Entry {
    fn alive(&self) -> bool {
        let ended = self.process.as_ref().map(|pidfd| crate::spawner::wait(pidfd, 0));
        matches!(ended, Some(Ok(false)))
    }

    /// Names the sandbox for the network when it runs.
    fn running(&self) -> Option<net::Running> {
        let record = self.record.as_ref().filter(|_| self.alive())?;
        let sandbox_id = record.spec.id.clone();
        Some(net::Running { sandbox_id, index: self.index, block_all: record.spec.block_all })
    }
}

/// Reads what is on disk: sandboxes that run are held by their process again.
fn recover(settings: &Settings, run: BorrowedFd<'_>) -> Result<Table, RunnerError> {
    let mut table = Table::default();
    let directory = settings.data_directory.join("sandboxes");
    let listed = |source| RunnerError::File { action: "list", path: directory.clone(), source };
    for entry in fs::read_dir(&directory).map_err(listed)? {
        let Ok(id) = entry.map_err(listed)?.file_name().into_string() else { continue };
        let home = Home::new(&settings.data_directory, run, &id);
        let Some(record) = home.load()? else {
            home.remove()?;
            continue;
        };
        let process = match record.process {
            Some(process) if linux::process::start_time(process.pid) == Some(process.start_time) => {
                let opened = linux::process::open(process.pid);
                opened
                    .map_err(|source| RunnerError::Host { action: "take over running sandboxes", source })?
            }
            _ => None,
        };
        let index = record.index;
        table.indexes.insert(index);
        table.entries.insert(id, Arc::new(Mutex::new(Entry { home, index, record: Some(record), process })));
    }
    Ok(table)
}
