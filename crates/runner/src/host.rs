//! A machine that runs sandboxes: makes, starts, stops, removes and looks.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
use crate::table::{Entry, Table};

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
    table: Table,
    warnings: Vec<String>,
    /// Holds the directory of sockets open: their paths lead through this descriptor.
    run: OwnedFd,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
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
        let missing = hierarchy.missing();
        if !missing.is_empty() {
            return Err(RunnerError::Unlimited { missing: missing.join(", ") });
        }
        let daemon = linux::exec::seal("daytona-daemon", daemon).map_err(host("seal the daemon"))?;
        let run = settings.data_directory.join("run");
        let run = fs::File::open(&run)
            .map(|run| OwnedFd::from(run.into_parts().0))
            .map_err(|source| RunnerError::File { action: "open", path: run, source })?;
        let (table, warnings) = Table::recover(&settings.data_directory, run.as_fd())?;
        let network = Network::open(&settings.network, &table.running())
            .map_err(|source| RunnerError::NetworkHost { source })?;
        let spawner = Spawner::new(settings.spawner.clone());
        let pool = settings.data_directory.join("pool");
        let pool =
            Pool::open(pool, settings.ready_disk_bytes, settings.ready_disks, clock.clone(), random.clone())?;
        let opened = Self {
            settings,
            images,
            hierarchy,
            network,
            spawner,
            daemon,
            pool,
            table,
            warnings,
            run,
            clock,
            random,
        };
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
        self.table.ids()
    }

    /// Returns the images of this host.
    pub fn images(&self) -> &Store {
        &self.images
    }

    /// Returns where the daemon of a sandbox listens.
    pub fn socket(&self, id: &str) -> PathBuf {
        self.home(id).socket
    }

    fn home(&self, id: &str) -> Home {
        Home::new(&self.settings.data_directory, self.run.as_fd(), id)
    }

    /// Makes and starts a sandbox; returns its daemon's version. One that runs already is left as it is.
    pub fn create(&self, spec: &Spec) -> Result<String, RunnerError> {
        let image = self.image(&spec.image)?;
        self.table.with_new(
            &spec.id,
            self.places(),
            || self.home(&spec.id),
            |entry| {
                if entry.record.is_some() {
                    return self.start_entry(entry, &image);
                }
                let made = self.make(entry, spec, &image);
                if made.is_err() {
                    // A failed boot takes back what it did; here goes what came before and after it.
                    let removed = self.clear(&spec.id, entry.index).and_then(|()| entry.home.remove());
                    self.table.remove(&spec.id, entry);
                    removed?;
                }
                made
            },
        )
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
        self.with(id, |entry| {
            let name = entry.record.as_ref().map(|record| record.spec.image.clone()).unwrap_or_default();
            self.start_entry(entry, &self.image(&name)?)
        })
    }

    fn start_entry(&self, entry: &mut Entry, image: &Image) -> Result<String, RunnerError> {
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
        self.with(id, |entry| {
            if let Some(pidfd) = entry.process.take() {
                if !force && linux::process::terminate(&pidfd).is_ok() {
                    // The daemon keeps the grace itself; a second more and it is taken for stuck.
                    let _ = linux::process::wait(&pidfd, self.settings.grace_ms.saturating_add(1000));
                }
                boot::end(&pidfd);
            }
            self.tidy(entry)
        })
    }

    /// Removes everything of a sandbox; one that is not here is already removed.
    pub fn destroy(&self, id: &str) -> Result<(), RunnerError> {
        let destroyed = self.table.with(id, |entry| {
            if let Some(pidfd) = entry.process.take() {
                boot::end(&pidfd);
            }
            self.clear(id, entry.index)?;
            entry.record = None;
            entry.home.remove()?;
            self.table.remove(id, entry);
            Ok(())
        });
        destroyed.map(Option::unwrap_or_default)
    }

    /// Looks at a sandbox.
    pub fn observe(&self, id: &str) -> Result<Presence, RunnerError> {
        let seen = self.table.with(id, |entry| {
            if entry.alive() {
                return Ok(Presence::Started);
            }
            if entry.process.take().is_some() {
                self.tidy(entry)?;
            }
            Ok(if entry.record.is_some() { Presence::Stopped } else { Presence::Absent })
        });
        seen.map(|seen| seen.unwrap_or(Presence::Absent))
    }

    /// Returns a descriptor that becomes readable when the sandbox has ended; `None` when it does not run.
    pub fn process(&self, id: &str) -> Option<OwnedFd> {
        let process =
            self.table.with(id, |entry| Ok(entry.process.as_ref().and_then(|it| it.try_clone().ok())));
        process.ok().flatten().flatten()
    }

    /// Returns what was put aside or left alone when the host was opened, for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns what preparing the network found and changed, for the log.
    pub fn network_report(&self) -> &net::Report {
        self.network.report()
    }

    /// Shuts or opens the network of a sandbox, now and for its next start.
    pub fn set_block_all(&self, id: &str, block_all: bool) -> Result<(), RunnerError> {
        self.with(id, |entry| {
            let alive = entry.alive();
            let Entry { home, record, index, .. } = entry;
            let Some(record) = record else { return Err(RunnerError::Missing { id: id.to_owned() }) };
            record.spec.block_all = block_all;
            home.save(record)?;
            if alive {
                let set = self.network.set_block_all(id, *index, block_all);
                set.map_err(|source| RunnerError::Network { id: id.to_owned(), source })?;
            }
            Ok(())
        })
    }

    /// Calls with the entry of a sandbox that must be here.
    fn with<T>(
        &self,
        id: &str,
        call: impl FnOnce(&mut Entry) -> Result<T, RunnerError>,
    ) -> Result<T, RunnerError> {
        self.table.with(id, call)?.ok_or_else(|| RunnerError::Missing { id: id.to_owned() })
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
        boot::dissolve(&group).map_err(|source| RunnerError::Kernel {
            action: "lift the limits",
            id: id.to_owned(),
            source,
        })
    }

    /// Removes control groups of what does not run, and whatever is in them: a crash came between a start and its
    /// record. Links and rules of what does not run are gone since the network was opened.
    fn sweep(&self) -> Result<(), RunnerError> {
        for name in self.hierarchy.list(&self.settings.instance) {
            let runs = self.table.with(&name, |entry| Ok(entry.alive()))?;
            if runs != Some(true) {
                self.lift_limits(&name)?;
            }
        }
        Ok(())
    }

    /// As many places as there are addresses and ids for.
    fn places(&self) -> u32 {
        self.network.places().min(place::places(self.settings.id_base, self.settings.id_ranges))
    }
}
