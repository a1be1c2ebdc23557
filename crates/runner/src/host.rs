//! A machine that runs sandboxes: makes, starts, stops, removes and looks.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fs_err as fs;
use linux::errno::CallError;
use types::{Clock, Random};

use crate::barrier::Barriers;
use crate::begun::Beginnings;
use crate::cell::Cell;
use crate::error::{MOUNT, RunnerError, chain};
use crate::ground::Ground;
use crate::image::{Image, Store};
use crate::lent::Lent;
use crate::pool::{self, Pool};
use crate::sandbox::disk::{self, Disk};
use crate::sandbox::spec::{Home, Record, Spec};
use crate::settings::Settings;
use crate::steps::Steps;
use crate::stock::Stock;
use crate::table::{Entry, Table};
use crate::volume::Volumes;
use crate::{boot, held, net, place, ruins};

/// What is seen of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Nothing is here.
    Absent,
    /// Its files are here.
    Stopped,
    /// It runs, and all its processes are held.
    Paused,
    /// It runs.
    Started,
}

/// What a look at a sandbox tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// What is there.
    pub presence: Presence,
    /// Why its first process ended, when nobody had asked for it.
    pub ended: Option<String>,
}

/// How often, and how long apart, a create looks for a place on a host that seems full.
const FULL_ATTEMPTS: u32 = 10;
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// A machine that runs sandboxes. All calls block; callers give them a thread that may.
#[derive(Debug)]
pub struct Host {
    pub(crate) settings: Settings,
    /// Goes before the ground that its processes stand on.
    cells: Mutex<Option<Stock<Cell>>>,
    pub(crate) barriers: Barriers,
    pub(crate) begun: Beginnings,
    pool: Pool,
    pub(crate) ground: Arc<Ground>,
    pub(crate) table: Arc<Table>,
    warnings: Vec<String>,
    /// Holds the directory of sockets open: their paths lead through this descriptor.
    run: OwnedFd,
    clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    /// Disks of builds' caches.
    pub(crate) lent: Lent,
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
        for name in ["sandboxes", "run"] {
            let path = settings.data_directory.join(name);
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::create_dir_all(&path)
                .and_then(|()| fs::set_permissions(&path, private))
                .map_err(|source| RunnerError::File { action: "make directory", path, source })?;
        }
        let run = settings.data_directory.join("run");
        let run = fs::File::open(&run)
            .map(|run| OwnedFd::from(run.into_parts().0))
            .map_err(|source| RunnerError::File { action: "open", path: run, source })?;
        let (table, mut warnings) = Table::recover(&settings.data_directory, run.as_fd())?;
        let table = Arc::new(table);
        let ground = Arc::new(Ground::open(&settings, daemon, &table, clock.clone(), random.clone())?);
        sweep(&ground, &table, &settings.data_directory.join("run"))?;
        warnings.extend(held::let_go(&table));
        let pool = Pool::open(
            settings.data_directory.join("pool"),
            settings.ready_disk_bytes,
            settings.ready_disks,
            clock.clone(),
            random.clone(),
        )?;
        let source = ground.clone();
        // Who needs one while there is none makes it, and reports why if that cannot be.
        let cells = Mutex::new(Some(Stock::open(settings.ready_cells, move || Cell::new(&source).ok())));
        let entries = table.clone();
        let barriers = Barriers::start(move |id| entries.set_barriers(id));
        for running in table.running() {
            barriers.soon(&running.sandbox_id);
        }
        let begun = Beginnings::default();
        let lent = Lent::default();
        let mut host = Self {
            settings,
            cells,
            barriers,
            begun,
            pool,
            ground,
            table,
            warnings,
            run,
            clock,
            random,
            lent,
        };
        if let Err(error) = host.collect_images() {
            host.warnings.push(format!("cannot remove images that nobody uses: {}", chain(&error)));
        }
        Ok(host)
    }

    /// Takes what this host keeps for all sandboxes off the machine, when none runs; tells whether it did. Nothing
    /// works afterwards.
    pub fn close(&self) -> Result<bool, RunnerError> {
        drop(self.cells.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.barriers.finish();
        if !self.ground.remove_network()? {
            return Ok(false);
        }
        let group = self.ground.hierarchy.group("", &self.settings.instance);
        group.remove().map_err(|source| RunnerError::Host { action: "remove the control groups", source })?;
        Ok(true)
    }

    /// Lists the ids of all sandboxes of this host.
    pub fn ids(&self) -> Vec<String> {
        self.table.ids()
    }

    /// Returns the images of this host.
    pub fn images(&self) -> &Store {
        &self.ground.images
    }

    /// Returns the volumes of this host.
    pub fn volumes(&self) -> &Volumes {
        &self.ground.volumes
    }

    /// Returns where the daemon of a sandbox listens.
    pub fn socket(&self, id: &str) -> PathBuf {
        self.home(id).socket
    }

    pub(crate) fn home(&self, id: &str) -> Home {
        Home::new(&self.settings.data_directory, self.run.as_fd(), id)
    }

    /// Returns the time since 1970.
    pub(crate) fn now(&self) -> Duration {
        let milliseconds = self.clock.now().as_millisecond();
        Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
    }

    /// Makes and starts a sandbox; returns its daemon's version. One that runs already is left as it is.
    pub fn create(&self, spec: &Spec) -> Result<String, RunnerError> {
        let _uses = self.ground.images.used_if_captured(&spec.image);
        let image = self.image(&spec.image)?;
        if let Some(done) = self.table.with(&spec.id, |entry| self.start_again(entry, spec, &image))? {
            return Ok(done);
        }
        let mut steps = Steps::begin();
        let cell = self.cell().map_err(|error| error.of(&spec.id))?;
        steps.done("cell");
        self.admit(spec, &image, cell, |home, index| self.disk(home, spec.disk_bytes, index))
    }

    /// Makes `cell` the sandbox of `spec` on the disk that `disk` makes in its directory; what fails leaves nothing.
    pub(crate) fn admit(
        &self,
        spec: &Spec,
        image: &Image,
        cell: Cell,
        disk: impl FnOnce(&Home, u32) -> Result<Disk, CallError>,
    ) -> Result<String, RunnerError> {
        self.table.with_new(
            &spec.id,
            cell.index,
            || self.home(&spec.id),
            |entry| {
                if entry.record.is_some() {
                    return self.start_again(entry, spec, image);
                }
                let made = self.make(entry, spec, image, cell, disk);
                if made.is_err() {
                    // A failed boot takes back what it did; here goes what came before and after it.
                    let released = self.ground.release(&spec.id, entry.index);
                    let removed = entry.home.remove();
                    self.table.remove(&spec.id, entry);
                    // A place that could not be cleared is nobody's until the next start.
                    released?;
                    self.ground.places.release(entry.index);
                    removed?;
                }
                made
            },
        )
    }

    /// Starts a sandbox that an earlier create made already. What was asked of its network meanwhile comes first.
    pub(crate) fn start_again(
        &self,
        entry: &mut Entry,
        spec: &Spec,
        image: &Image,
    ) -> Result<String, RunnerError> {
        let differs = entry.record.as_ref().is_some_and(|record| record.spec.network() != spec.network());
        if differs {
            self.set_network_of(&spec.id, entry, &spec.network())?;
        }
        self.start_entry(entry, image)
    }

    /// Takes a prepared process, or prepares one.
    pub(crate) fn cell(&self) -> Result<Cell, RunnerError> {
        let mut attempts = 0;
        loop {
            let ready =
                self.cells.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(Stock::take);
            match ready {
                Some(cell) if cell.is_alive() => return Ok(cell),
                // Killed by somebody on the host; the next one may live.
                Some(_) => {}
                None => match Cell::new(&self.ground) {
                    // The last place may be that of a cell which is being made.
                    Err(RunnerError::Full { .. }) if attempts < FULL_ATTEMPTS => {
                        attempts += 1;
                        std::thread::sleep(FULL_PAUSE);
                    }
                    made => return made,
                },
            }
        }
    }

    /// Forgets a sandbox and gives its place back.
    pub(crate) fn remove(&self, id: &str, entry: &mut Entry) {
        self.table.remove(id, entry);
        self.ground.places.release(entry.index);
    }

    fn make(
        &self,
        entry: &mut Entry,
        spec: &Spec,
        image: &Image,
        mut cell: Cell,
        disk: impl FnOnce(&Home, u32) -> Result<Disk, CallError>,
    ) -> Result<String, RunnerError> {
        cell.leave_place();
        let mut steps = Steps::begin();
        entry.home.remove()?;
        let made = disk(&entry.home, entry.index);
        let made = made.map_err(|source| RunnerError::Kernel {
            action: "make the disk",
            id: spec.id.clone(),
            source,
        })?;
        steps.done("disk");
        let version = self.run(entry, Record::new(spec.clone(), entry.index), image, &made, cell)?;
        entry.new_disk = Some(made);
        self.barriers.later(&spec.id);
        Ok(version)
    }

    /// Makes the directory of a sandbox with its disk: from the pool, or anew when the pool has none of that size.
    fn disk(&self, home: &Home, bytes: u64, index: u32) -> Result<Disk, CallError> {
        self.disk_at(&home.directory, bytes, place::first_id(self.settings.id_base, index))
    }

    /// The same for a directory that is no sandbox's; its files are those of ids from `id_base` on.
    pub(crate) fn disk_at(&self, directory: &Path, bytes: u64, id_base: u32) -> Result<Disk, CallError> {
        if let Some(disk) = self.pool.take(directory, bytes, id_base)? {
            return Ok(disk);
        }
        let disk = pool::make(directory, bytes, &*self.clock, &*self.random)?;
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
            // Who asks for a start wants it to run, whoever paused it.
            self.ground.thaw(&record.spec.id, entry.index)?;
            // Booted before: the caller's answer was lost, or it asks twice. A crash before the daemon had answered for
            // the first time leaves no version; it is the one that this host's daemons have.
            let known = self.ground.daemon_version.get().filter(|_| record.daemon_version.is_empty());
            return Ok(known.cloned().unwrap_or(record.daemon_version));
        }
        self.tidy(entry)?;
        let path = entry.home.disk();
        let mounted = disk::wait_until_released(&path)
            // A resize that a crash interrupted is finished here.
            .and_then(|()| disk::grow(&path, record.spec.disk_bytes))
            .and_then(|()| disk::mount(&path));
        let mounted = mounted.map_err(|source| RunnerError::Kernel {
            action: MOUNT,
            id: record.spec.id.clone(),
            source,
        })?;
        let cell = Cell::of(&self.ground, entry.index).map_err(|error| error.of(&record.spec.id))?;
        self.run(entry, record, image, &mounted, cell)
    }

    fn run(
        &self,
        entry: &mut Entry,
        mut record: Record,
        image: &Image,
        disk: &Disk,
        cell: Cell,
    ) -> Result<String, RunnerError> {
        entry.process = Some(boot::boot(&self.ground, &mut record, &entry.home, image, disk, cell)?);
        let version = record.daemon_version.clone();
        entry.record = Some(record);
        Ok(version)
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

    /// Returns why the firewall's rules are not in force as they should be; `None` when they are.
    pub fn network_trouble(&self) -> Option<String> {
        self.ground.network.trouble()
    }

    /// Returns what preparing the network found and changed, for the log.
    pub fn network_report(&self) -> &net::Report {
        self.ground.network.report()
    }

    /// Calls with the entry of a sandbox that must be here.
    pub(crate) fn with<T>(
        &self,
        id: &str,
        call: impl FnOnce(&mut Entry) -> Result<T, RunnerError>,
    ) -> Result<T, RunnerError> {
        self.table.with(id, call)?.ok_or_else(|| RunnerError::Missing { id: id.to_owned() })
    }

    pub(crate) fn image(&self, name: &str) -> Result<Image, RunnerError> {
        self.ground.images.find_whole(name)
    }
}

/// Removes control groups of what does not run, and whatever is in them: a crash came between a start and its record, or
/// a prepared process outlived its server. Links and rules of what does not run are gone since the network was opened.
fn sweep(ground: &Ground, table: &Table, sockets: &Path) -> Result<(), RunnerError> {
    let running: Vec<u32> = table.running().into_iter().map(|running| running.index).collect();
    for name in ground.hierarchy.list(&ground.group_parent) {
        match place::index_of_group(&name) {
            Some(index) if running.contains(&index) => {}
            Some(index) => ground.lift_limits(&name, index)?,
            None => {}
        }
    }
    let runs = |name: &str| Ok(table.with(name, |entry| Ok(entry.alive()))? == Some(true));
    ruins::sweep_sockets(sockets, runs)
}
