//! From a prepared directory to a process that answers: the hot path.
//!
//! What the host does (the link) runs beside what the files need (ids, overlay), because either takes about as
//! long as the other. Each step's undo stands beside it; a failed boot leaves nothing.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use linux::cgroup::{Group, Hierarchy};
use linux::errno::{CallError, Context as _};

use crate::error::RunnerError;
use crate::image::{Image, Store};
use crate::net::{Attachment, Network};
use crate::place;
use crate::sandbox::disk::Disk;
use crate::sandbox::init::{Inherited, Plan, Step};
use crate::sandbox::spec::{Home, Process, Record, Spec};
use crate::sandbox::undo::Undo;
use crate::spawner::{Spawned, Spawner};

/// The parts of a host that booting needs.
#[derive(Debug)]
pub struct Ground<'a> {
    /// Where layers are.
    pub images: &'a Store,
    /// What limits processes.
    pub hierarchy: &'a Hierarchy,
    /// Below which all groups of this host are.
    pub group_parent: &'a str,
    /// What links sandboxes.
    pub network: &'a Network,
    /// What clones.
    pub spawner: &'a Spawner,
    /// The sealed daemon.
    pub daemon: &'a OwnedFd,
    /// The first id of the first place.
    pub id_base: u32,
    /// Bound on processes of one sandbox.
    pub processes: u32,
    /// Lines of `/etc/resolv.conf`.
    pub resolvers: &'a [String],
    /// How long the daemon may take to answer.
    pub boot_timeout_ms: u32,
    /// How long the daemon gives processes before it kills them, told to it.
    pub grace_ms: u32,
}

/// A sandbox that answers.
#[derive(Debug)]
pub struct Booted {
    /// Becomes readable when the sandbox has ended.
    pub pidfd: OwnedFd,
    /// What names the process after a restart of the server.
    pub process: Process,
    /// What the daemon says it is.
    pub daemon_version: String,
}

impl Ground<'_> {
    /// Starts the sandbox of `record` on its mounted disk and waits until its daemon answers.
    pub fn boot(
        &self,
        record: &Record,
        home: &Home,
        image: &Image,
        disk: &Disk,
    ) -> Result<Booted, RunnerError> {
        let id = &record.spec.id;
        let failed = |action: &'static str| {
            move |source: CallError| RunnerError::Kernel { action, id: id.clone(), source }
        };
        let mut undo = Undo::default();

        home.remove_socket()?;
        let bound = UnixListener::bind(&home.socket);
        let listener = bound.map_err(|source| RunnerError::File {
            action: "listen at",
            path: home.socket.clone(),
            source,
        })?;
        undo.push(|| drop(home.remove_socket()));

        let limits = record.spec.limits(self.processes);
        let group =
            self.hierarchy.create(self.group_parent, id, &limits).map_err(failed("limit the processes"))?;
        undo.push({
            let group = group.clone();
            move || drop(dissolve(&group))
        });
        let group_directory = match group.version_2() {
            Some(path) => Some(open(path).map_err(failed("open the control group"))?),
            None => None,
        };

        let (ours, theirs) = linux::socket::pair().map_err(failed("open the control socket"))?;
        let inherited = Inherited {
            control: theirs,
            listener: listener.into(),
            daemon: self.daemon.try_clone().context("dup", "daemon").map_err(failed("share the daemon"))?,
            settings: self.settings(&record.spec, image)?,
            doors: group.doors().map_err(failed("open the control groups"))?,
        };
        let base = place::first_id(self.id_base, record.index);
        let spawned = self.spawner.spawn(base, self.plan(record), &inherited, group_directory.as_ref())?;
        drop(inherited);
        let (pid, pidfd) = (spawned.pid, spawned.pidfd.try_clone());
        let pidfd = pidfd.context("dup", "pidfd").map_err(failed("keep the process"))?;
        undo.push(move || end(&pidfd));

        let link = std::thread::scope(|scope| {
            let outside = scope.spawn(|| {
                let attached = self.network.attach(id, record.index, pid, record.spec.block_all);
                attached.map_err(|source| RunnerError::Network { id: id.clone(), source })
            });
            let root = self.root(image, disk, &spawned).map_err(failed("build the root file system"));
            let sent =
                root.and_then(|root| send(&ours, &Step::Root, Some(&root)).map_err(failed("send the root")));
            let link: Result<Attachment, RunnerError> = outside
                .join()
                .unwrap_or_else(|_| Err(RunnerError::Worker { action: "connecting", id: id.clone() }));
            sent.and(link)
        });
        undo.push(|| drop(self.network.detach(id, record.index)));
        let link = link.map_err(|error| self.last_words(id, &ours).unwrap_or(error))?;
        // A child that gave up does not listen any more; what it said before is the reason.
        let sent = send(&ours, &Step::Go { link: link.clone() }, None).map_err(failed("start the daemon"));
        let daemon_version = self.answer(id, &ours)?;
        sent?;
        // Without this the first packet of a sandbox on a busy host is lost, and waits a second to be sent again.
        self.network.settle(&link).map_err(|source| RunnerError::Network { id: id.clone(), source })?;
        let start_time = linux::process::start_time(pid)
            .ok_or_else(|| RunnerError::Boot { id: id.clone(), reason: "it ended at once".to_owned() })?;
        undo.keep();
        Ok(Booted { pidfd: spawned.pidfd, process: Process { pid, start_time }, daemon_version })
    }

    /// Builds the root: the image's layers with the sandbox's ids, under its own disk.
    fn root(&self, image: &Image, disk: &Disk, spawned: &Spawned) -> Result<OwnedFd, CallError> {
        let user_namespace = linux::namespace::user_namespace(spawned.pid)?;
        let mut lowers = Vec::with_capacity(image.layers.len());
        for digest in &image.layers {
            let layer = linux::mount::clone_path(&self.images.layer(digest).to_string_lossy())?;
            linux::mount::map_ids(&layer, &user_namespace)?;
            lowers.push(layer);
        }
        linux::mount::overlay(&lowers, &disk.upper, &disk.work)
    }

    fn plan(&self, record: &Record) -> Plan {
        Plan { host_name: record.spec.id.clone(), resolvers: self.resolvers.to_vec(), open_files: 1 << 20 }
    }

    /// Writes the daemon's settings into memory that the child inherits; their shape is `daemon::Settings`.
    fn settings(&self, spec: &Spec, image: &Image) -> Result<OwnedFd, RunnerError> {
        let told = [
            ("DAYTONA_ORGANIZATION_ID", &spec.organization_id),
            ("DAYTONA_REGION_ID", &spec.region),
            ("DAYTONA_SANDBOX_SNAPSHOT", &spec.snapshot),
        ];
        let told = told.into_iter().map(|(name, value)| (name.to_owned(), value.clone()));
        let variables = image.environment.iter().cloned().chain(told).chain(spec.environment.iter().cloned());
        let variables: serde_json::Map<String, serde_json::Value> =
            variables.map(|(name, value)| (name, value.into())).collect();
        let work_dir = Some(&image.working_directory).filter(|path| !path.is_empty());
        let settings = serde_json::json!({
            "listener_fd": 3,
            "ready_fd": 4,
            "sandbox_id": spec.id,
            "user": if spec.user.is_empty() { &image.user } else { &spec.user },
            "work_dir": work_dir,
            "env": variables,
            "cpu_count": spec.cpu_thousandths.div_ceil(1000),
            "memory_bytes": spec.memory_bytes,
            "grace_ms": self.grace_ms,
        });
        let text = serde_json::to_vec(&settings)
            .map_err(|source| RunnerError::Encode { what: "daemon settings", source })?;
        linux::exec::seal("settings", &text).map_err(|source| RunnerError::Kernel {
            action: "pass the settings",
            id: spec.id.clone(),
            source,
        })
    }

    /// Returns why the child gave up, if it did: what failed on our side is then only the consequence.
    fn last_words(&self, id: &str, control: &OwnedFd) -> Option<RunnerError> {
        let spoke = linux::process::wait(control, 20).unwrap_or_default();
        spoke.then(|| self.answer(id, control).err()).flatten()
    }

    /// Waits for the daemon's word, or for the reason why there will be none.
    fn answer(&self, id: &str, control: &OwnedFd) -> Result<String, RunnerError> {
        let refused = |reason: String| RunnerError::Boot { id: id.to_owned(), reason };
        let ready = linux::process::wait(control, self.boot_timeout_ms)
            .map_err(|error| refused(error.to_string()))?;
        if !ready {
            return Err(refused(format!("no answer within {} ms", self.boot_timeout_ms)));
        }
        let mut buffer = [0; 4096];
        let (length, _) =
            linux::socket::receive(control, &mut buffer).map_err(|error| refused(error.to_string()))?;
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        match text.strip_prefix('R') {
            Some(version) => Ok(version.trim().to_owned()),
            None if text.is_empty() => Err(refused("the first process ended without a word".to_owned())),
            None => Err(refused(text.trim_start_matches('E').trim().to_owned())),
        }
    }
}

fn open(path: &std::path::Path) -> Result<OwnedFd, CallError> {
    std::fs::File::open(path).map(OwnedFd::from).context("open", path.display())
}

fn send(control: &OwnedFd, step: &Step, descriptor: Option<&OwnedFd>) -> Result<(), CallError> {
    let message = serde_json::to_vec(step).map_err(std::io::Error::from).context("encode", "step")?;
    let descriptors: Vec<_> = descriptor.into_iter().map(AsFd::as_fd).collect();
    linux::socket::send(control, &message, &descriptors)
}

/// Kills the first process, and with it the whole sandbox, and waits until all of it is gone.
pub fn end(pidfd: &OwnedFd) {
    // Either the process is ours to kill or it is gone already.
    let _ = linux::process::kill(pidfd);
    let _ = linux::process::wait(pidfd, 10_000);
}

/// Removes a control group, ending what is still in it.
pub fn dissolve(group: &Group) -> Result<(), CallError> {
    // A group is busy for a moment after its last process.
    let mut attempts = 0;
    loop {
        match group.remove() {
            Err(error) if error.errno() == rustix::io::Errno::BUSY.raw_os_error() && attempts < 500 => {
                for pid in group.processes() {
                    if let Ok(Some(pidfd)) = linux::process::open(pid) {
                        end(&pidfd);
                    }
                }
                attempts += 1;
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            done => return done,
        }
    }
}
