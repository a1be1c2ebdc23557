//! From a prepared process and a disk to a sandbox that answers: the hot path.
//!
//! Each step's undo stands beside it or belongs to what it made; a failed boot leaves nothing.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use linux::errno::CallError;

use crate::cell::{self, Cell, Heard};
use crate::error::RunnerError;
use crate::ground::Ground;
use crate::image::Image;
use crate::sandbox::disk::Disk;
use crate::sandbox::init::{Place, Step};
use crate::sandbox::spec::{Home, Record, Spec};
use crate::sandbox::undo::Undo;
use crate::steps::Steps;

/// What a sandbox has that is not in its record.
#[derive(Debug, Default)]
pub struct Extra {
    /// A program that starts with it.
    pub program: Vec<String>,
    /// Detached mounts that go into its file system.
    pub mounts: Vec<(Place, OwnedFd)>,
}

/// Makes `cell` the sandbox of `record` on its mounted disk and waits until its daemon answers. Returns the process; the
/// record that was saved names it.
pub fn boot(
    ground: &Ground,
    record: &mut Record,
    home: &Home,
    image: &Image,
    disk: &Disk,
    cell: Cell,
) -> Result<OwnedFd, RunnerError> {
    // As in a container: arguments without a program are for a shell that nobody is at.
    let program =
        if image.entrypoint.is_empty() { Vec::new() } else { [&*image.entrypoint, &image.command].concat() };
    boot_with(ground, record, home, image, disk, cell, Extra { program, mounts: Vec::new() })
}

/// The same with what is in no record.
pub fn boot_with(
    ground: &Ground,
    record: &mut Record,
    home: &Home,
    image: &Image,
    disk: &Disk,
    cell: Cell,
    extra: Extra,
) -> Result<OwnedFd, RunnerError> {
    let id = record.spec.id.clone();
    let before = record.clone();
    let mut undo = Undo::default();
    undo.push(|| drop(home.remove_socket()));
    let dressed = dress(ground, record, home, image, disk, &cell, extra);
    // What fails on our side may be the consequence of a process that gave up; what it said before is the reason.
    let (listener, settings) =
        dressed.map_err(|error| cell::last_words(&cell.control, &id).unwrap_or(error))?;
    let mut steps = Steps::begin();
    let sent = cell::send(&cell.control, &Step::Go, &[&listener, &settings]);
    record.process = Some(cell.process);
    record.ended = None;
    record.restored = None;
    // Saved while the daemon starts: a crash from here on leaves a sandbox that runs, or one that ended.
    let expected = ground.daemon_version.get().cloned().unwrap_or_default();
    record.daemon_version = expected;
    let saved = home.save(record);
    undo.push(|| drop(home.save(&before)));
    steps.done("record");
    let word = cell::hear(&cell.control, ground.boot_timeout_ms, &id)?;
    sent.map_err(|source| RunnerError::Kernel { action: "start the daemon", id: id.clone(), source })?;
    saved?;
    let version = word.strip_prefix(Heard::READY).map(str::trim).ok_or_else(|| RunnerError::Boot {
        id: id.clone(),
        reason: format!("the first process said `{word}`"),
    })?;
    if record.daemon_version != version {
        version.clone_into(&mut record.daemon_version);
        home.save(record)?;
        // All daemons of this host are the same program.
        let _ = ground.daemon_version.set(version.to_owned());
    }
    steps.done("daemon");
    let pidfd = cell.keep()?;
    undo.keep();
    Ok(pidfd)
}

/// Gives a prepared process its root file system, and does the rest while it arranges that: limits, socket, settings,
/// rules. Returns the daemon's listening socket and its settings.
fn dress(
    ground: &Ground,
    record: &Record,
    home: &Home,
    image: &Image,
    disk: &Disk,
    cell: &Cell,
    extra: Extra,
) -> Result<(OwnedFd, OwnedFd), RunnerError> {
    let id = &record.spec.id;
    let failed = |action: &'static str| {
        move |source: CallError| RunnerError::Kernel { action, id: id.clone(), source }
    };
    let mut steps = Steps::begin();
    let root = root(ground, image, disk, cell.process.pid).map_err(failed("build the root file system"))?;
    let further = volumes(ground, record, cell)?.into_iter().chain(extra.mounts);
    let (places, mounts): (Vec<Place>, Vec<OwnedFd>) = further.unzip();
    let descriptors: Vec<&OwnedFd> = std::iter::once(&root).chain(&mounts).collect();
    let sent = cell::send(&cell.control, &Step::Root { host_name: id.clone(), places }, &descriptors);
    sent.map_err(failed("send the root"))?;
    drop((root, mounts));
    steps.done("overlay");
    let limits = record.spec.limits(ground.processes);
    if limits != ground.first_limits {
        cell.group.change(&limits).map_err(failed("limit the processes"))?;
    }
    steps.done("limits");
    home.remove_socket()?;
    let bound = UnixListener::bind(&home.socket);
    let listener = bound.map_err(|source| RunnerError::File {
        action: "listen at",
        path: home.socket.clone(),
        source,
    })?;
    steps.done("listen");
    let settings = settings(ground, &record.spec, image, &extra.program)?;
    steps.done("settings");
    let admitted = ground.network.admit(id, record.index, &record.spec.network());
    // Before the first process runs: it finds those that it is linked with, and they find it.
    let joined = admitted.and_then(|()| ground.network.join(record.index, &record.spec.membership()));
    joined.map_err(|source| RunnerError::Network { id: id.clone(), source })?;
    steps.done("rules");
    Ok((listener.into(), settings))
}

/// Mounts the volumes of a sandbox, those first that others are mounted below.
fn volumes(ground: &Ground, record: &Record, cell: &Cell) -> Result<Vec<(Place, OwnedFd)>, RunnerError> {
    let spec = &record.spec;
    if spec.volumes.is_empty() {
        return Ok(Vec::new());
    }
    let namespace = linux::namespace::user_namespace(cell.process.pid);
    let namespace = namespace.map_err(|source| RunnerError::Kernel {
        action: "find the ids",
        id: spec.id.clone(),
        source,
    })?;
    let mut wanted: Vec<_> = spec.volumes.iter().collect();
    wanted.sort_by_key(|mount| mount.path.split('/').count());
    let mounted = wanted.into_iter().map(|mount| {
        let place = Place { path: mount.path.clone(), is_file: false };
        Ok((place, ground.volumes.mount(mount, &namespace)?))
    });
    mounted.collect()
}

/// Builds the root: the image's layers with the sandbox's ids, under its own disk.
fn root(ground: &Ground, image: &Image, disk: &Disk, pid: i32) -> Result<OwnedFd, CallError> {
    let user_namespace = linux::namespace::user_namespace(pid)?;
    let layers = image.layers.iter().map(|digest| ground.images.layer(digest));
    let mut lowers = Vec::with_capacity(image.layers.len() + 1);
    for layer in layers.chain([ground.images.mount_points()]) {
        let layer = linux::mount::clone_path(&layer.to_string_lossy())?;
        linux::mount::map_ids(&layer, &user_namespace)?;
        lowers.push(layer);
    }
    linux::mount::overlay(&lowers, &disk.upper, &disk.work)
}

/// Writes the daemon's settings into memory that the process inherits; their shape is `daemon::Settings`.
fn settings(ground: &Ground, spec: &Spec, image: &Image, program: &[String]) -> Result<OwnedFd, RunnerError> {
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
        "event_fds": (6..).take(linux::cgroup::Events::DESCRIPTORS).collect::<Vec<i32>>(),
        "sandbox_id": spec.id,
        "user": if spec.user.is_empty() { &image.user } else { &spec.user },
        "work_dir": work_dir,
        "env": variables,
        "entrypoint": program,
        "cpu_count": spec.cpu_thousandths.div_ceil(1000),
        "memory_bytes": spec.memory_bytes,
        "grace_ms": ground.grace_ms,
    });
    let text = serde_json::to_vec(&settings)
        .map_err(|source| RunnerError::Encode { what: "daemon settings", source })?;
    linux::exec::seal("settings", &text).map_err(|source| RunnerError::Kernel {
        action: "pass the settings",
        id: spec.id.clone(),
        source,
    })
}
