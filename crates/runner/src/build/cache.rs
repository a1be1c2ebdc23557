//! Directories of `RUN --mount=type=cache`: each a disk of its own, so that a full one is full alone; kept per tenant.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use fs_err as fs;
use linux::errno::{CallError, Context as _};
use rustix::fs::{Gid, Mode, Uid};
use sha2::{Digest as _, Sha256};

use crate::host::Host;
use crate::sandbox::disk::{self, Disk};

/// Where they are below the data directory.
const DIRECTORY: &str = "build-caches";
/// How many one tenant has; the one that was used longest ago makes room.
const MOST_EACH: usize = 8;
/// How large one may become.
const BYTES: u64 = 10 << 30;

/// Which cache, and what its root has when it is new.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) organization_id: &'a str,
    pub(super) name: &'a str,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
}

fn named(text: &str) -> String {
    types::hex::encode(&Sha256::digest(text))
}

/// Mounts a cache, or finds it mounted; it stays so as long as what is returned is held.
pub(super) fn open(host: &Host, wanted: &Wanted<'_>) -> Result<Arc<Disk>, CallError> {
    let all = host.settings.data_directory.join(DIRECTORY);
    let directory = all.join(named(wanted.organization_id));
    let path = directory.join(named(wanted.name));
    let mut lent = host.lent.lock();
    if let Some(disk) = lent.get(&path).and_then(Weak::upgrade) {
        return Ok(disk);
    }
    fs::create_dir_all(&directory).context("mkdir", directory.display())?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&all, private).context("chmod", DIRECTORY)?;
    let disk = match mount(&path) {
        Ok(Some(disk)) => disk,
        Ok(None) => make(host, &path, wanted, &lent)?,
        // It only makes builds faster, so a damaged one is made anew.
        Err(_) => {
            fs::remove_file(&path).context("remove", path.display())?;
            make(host, &path, wanted, &lent)?
        }
    };
    let now = std::fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + host.now());
    // One whose time could not be set counts as older than it is.
    let _ = std::fs::File::options().write(true).open(&path).and_then(|file| file.set_times(now));
    let disk = Arc::new(disk);
    lent.insert(path, Arc::downgrade(&disk));
    Ok(disk)
}

/// Mounts one that is there; `None` when there is none.
fn mount(path: &Path) -> Result<Option<Disk>, CallError> {
    if !path.exists() {
        return Ok(None);
    }
    // The kernel unmounts a dead step's cache a moment after its last process.
    disk::wait_until_released(path)?;
    disk::mount(path).map(Some)
}

fn make(
    host: &Host,
    path: &Path,
    wanted: &Wanted<'_>,
    open: &HashMap<PathBuf, Weak<Disk>>,
) -> Result<Disk, CallError> {
    make_room(path.parent().unwrap_or(path), open)?;
    let mut identity = [0; 16];
    host.random.fill(&mut identity);
    let made = disk::make(path, BYTES, identity, u32::try_from(host.now().as_secs()).unwrap_or_default());
    let dressed = made.and_then(|disk| {
        disk.give(0)?;
        let (user, group) = (Uid::from_raw(wanted.owner.0), Gid::from_raw(wanted.owner.1));
        rustix::fs::fchown(&disk.upper, Some(user), Some(group)).context("fchown", "cache")?;
        rustix::fs::fchmod(&disk.upper, Mode::from_raw_mode(wanted.mode)).context("fchmod", "cache")?;
        Ok(disk)
    });
    dressed.inspect_err(|_| drop(fs::remove_file(path)))
}

/// Removes the caches that were used longest ago, until there is room for one more.
fn make_room(directory: &Path, open: &HashMap<PathBuf, Weak<Disk>>) -> Result<(), CallError> {
    let entries = fs::read_dir(directory).context("list", directory.display())?;
    let mut known: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    known.sort();
    let mut left = known.len();
    for (_, path) in known {
        if left < MOST_EACH {
            break;
        }
        if !open.contains_key(&path) {
            let _ = fs::remove_file(&path);
            left -= 1;
        }
    }
    Ok(())
}
