//! What all sandboxes of a host stand on: its images, control groups, network, spawner and places.

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use linux::cgroup::{Group, Hierarchy, Limits};
use linux::errno::CallError;
use types::{Clock, Random};

use crate::error::RunnerError;
use crate::image::Store;
use crate::net::Network;
use crate::place::{self, Places};
use crate::sandbox::init::Plan;
use crate::settings::Settings;
use crate::share;
use crate::spawner::Spawner;
use crate::table::Table;
use crate::volume::Volumes;

/// The parts of a host that do not change while it runs.
#[derive(Debug)]
pub struct Ground {
    /// Where layers are.
    pub images: Store,
    /// Where volumes are.
    pub volumes: Volumes,
    /// What limits processes.
    pub hierarchy: Hierarchy,
    /// Below which all groups of this host are.
    pub group_parent: String,
    /// What a process may use before it is known whose it is.
    pub first_limits: Limits,
    /// What links sandboxes.
    pub network: Network,
    /// What clones.
    pub spawner: Spawner,
    /// The sealed daemon.
    pub daemon: OwnedFd,
    /// What it says it is, once one was started.
    pub daemon_version: OnceLock<String>,
    /// Which places are taken.
    pub places: Places,
    /// The first id of the first place.
    pub id_base: u32,
    /// Bound on processes of one sandbox.
    pub processes: u32,
    /// Lines of `/etc/resolv.conf`.
    pub resolvers: Vec<String>,
    /// How long a first process may take to answer.
    pub boot_timeout_ms: u32,
    /// How long the daemon gives processes before it kills them, told to it.
    pub grace_ms: u32,
}

impl Ground {
    /// Prepares the machine for the sandboxes of `table`.
    pub(crate) fn open(
        settings: &Settings,
        daemon: &[u8],
        table: &Table,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, RunnerError> {
        let host = |action: &'static str| move |source| RunnerError::Host { action, source };
        let hierarchy = Hierarchy::detect().map_err(host("find the control groups"))?;
        let missing = hierarchy.missing();
        if !missing.is_empty() {
            return Err(RunnerError::Unlimited { missing: missing.join(", ") });
        }
        share::limit_all(&hierarchy, &settings.instance).map_err(host("limit all sandboxes together"))?;
        let processes =
            share::processes_each(settings.processes).map_err(host("find a fair share of processes"))?;
        let volumes =
            Volumes::open(&settings.data_directory, settings.volume_bytes, clock.clone(), random.clone())?;
        let network = Network::open(&settings.network, &table.running(), clock, random)
            .map_err(|source| RunnerError::NetworkHost { source })?;
        let count = network.places().min(place::places(settings.id_base, settings.id_ranges));
        Ok(Self {
            images: Store::open(&settings.data_directory)?,
            volumes,
            hierarchy,
            group_parent: settings.instance.clone(),
            first_limits: Limits {
                cpu_thousandths: settings.ready_cpu_thousandths,
                memory_bytes: settings.ready_memory_bytes,
                processes,
            },
            network,
            spawner: Spawner::new(settings.spawner.clone()),
            daemon: linux::exec::seal("daytona-daemon", daemon).map_err(host("seal the daemon"))?,
            daemon_version: OnceLock::new(),
            places: Places::new(count, table.indexes()),
            id_base: settings.id_base,
            processes,
            resolvers: settings.resolvers.clone(),
            boot_timeout_ms: settings.boot_timeout_ms,
            grace_ms: settings.grace_ms,
        })
    }

    /// Takes the rules off the machine once no link is left; false while one is. A link dies with its namespace, a
    /// moment after the last process.
    pub fn remove_network(&self) -> Result<bool, RunnerError> {
        let mut attempts = 0;
        loop {
            let removed = self.network.remove().map_err(|source| RunnerError::NetworkHost { source })?;
            if removed || attempts == 100 {
                return Ok(removed);
            }
            attempts += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns what every first process is told.
    pub fn plan(&self) -> Plan {
        Plan { resolvers: self.resolvers.clone(), open_files: 1 << 20 }
    }

    /// Names the control group of a place.
    pub fn group(&self, index: u32) -> Group {
        self.hierarchy.group(&self.group_parent, &place::group_name(index))
    }

    /// Lets the processes of a place go on, if they are held.
    pub fn thaw(&self, id: &str, index: u32) -> Result<(), RunnerError> {
        self.group(index).thaw().map_err(|source| RunnerError::Kernel {
            action: "resume the processes",
            id: id.to_owned(),
            source,
        })
    }

    /// Ends a first process and takes its link and its limits off the host.
    pub fn clear(&self, index: u32, pidfd: &OwnedFd) -> Result<(), RunnerError> {
        end(pidfd, &self.group(index));
        self.release(&place::group_name(index), index)
    }

    /// Takes the link and the limits of a place whose processes are gone off the host.
    pub fn release(&self, id: &str, index: u32) -> Result<(), RunnerError> {
        let detached = self.network.detach(index);
        detached.map_err(|source| RunnerError::Network { id: id.to_owned(), source })?;
        self.lift_limits(id, index)
    }

    /// Removes the control group of a place, ending what is still in it.
    pub fn lift_limits(&self, id: &str, index: u32) -> Result<(), RunnerError> {
        dissolve(&self.group(index)).map_err(|source| RunnerError::Kernel {
            action: "lift the limits",
            id: id.to_owned(),
            source,
        })
    }
}

/// Kills the first process, and with it the whole sandbox, and waits until all of it is gone.
pub fn end(pidfd: &OwnedFd, group: &Group) {
    // Either the process is ours to kill or it is gone already.
    let _ = linux::process::kill(pidfd);
    // Where version 1 holds it, it dies only when it is let go; it does nothing else then.
    let _ = group.thaw();
    let _ = linux::process::wait(pidfd, 10_000);
}

/// How long a control group may stay busy after its processes were killed: one that waits for a disk dies late.
const DISSOLVING: Duration = Duration::from_secs(15);

/// Removes a control group, ending what is still in it.
pub fn dissolve(group: &Group) -> Result<(), CallError> {
    // A group is busy for a moment after its last process.
    let began = Instant::now();
    loop {
        match group.remove() {
            Err(error)
                if error.errno() == rustix::io::Errno::BUSY.raw_os_error()
                    && began.elapsed() < DISSOLVING =>
            {
                for pid in group.processes() {
                    if let Ok(Some(pidfd)) = linux::process::open(pid) {
                        let _ = linux::process::kill(&pidfd);
                    }
                }
                let _ = group.thaw();
                std::thread::sleep(Duration::from_millis(2));
            }
            done => return done,
        }
    }
}
