//! The volumes of this host: each a disk of its own, a sparse ext4 file, so that a full volume is full alone. It is
//! mounted once, however many sandboxes have it, and each of them sees it with its own ids.
//!
//! What is in a volume is written by sandboxes: no link in it is followed, and nothing of it is run here.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fs_err as fs;
use linux::errno::{CallError, Context as _};
use linux::loopback;
use linux::mount::{self, Attributes};
use types::{Clock, Random};

use crate::error::RunnerError;
use crate::sandbox::disk;
use crate::sandbox::spec::Mount;

/// Holds a volume's files in its file system; beside it may be what the file system itself keeps.
const FILES: &str = "files";
/// Whoever may see a volume may write it: users inside differ from image to image.
const OPEN_TO_ALL: u32 = 0o777;
/// Ends the name of a disk that is not whole yet.
const HALF_MADE: &str = "new";
/// How many volumes stay mounted, whether somebody uses them or not.
const READY: usize = 64;
const MOUNT: &str = "mount a volume";

/// The disks of volumes.
#[derive(Debug)]
pub struct Volumes {
    root: PathBuf,
    bytes: u64,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Detached mounts, each of a whole disk.
    mounted: Mutex<HashMap<String, OwnedFd>>,
}

impl Volumes {
    /// Opens the directory of volumes below `data_directory`, whose disks have `bytes` each, and removes what is half
    /// made.
    pub fn open(
        data_directory: &Path,
        bytes: u64,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, RunnerError> {
        let root = data_directory.join("volumes");
        let failed = |action| {
            let path = root.clone();
            move |source| RunnerError::File { action, path, source }
        };
        fs::create_dir_all(&root).map_err(failed("make directory"))?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&root, private).map_err(failed("protect"))?;
        for entry in fs::read_dir(&root).map_err(failed("list"))? {
            let path = entry.map_err(failed("list"))?.path();
            if path.extension().is_some_and(|extension| extension == HALF_MADE) {
                fs::remove_file(&path).map_err(failed("remove a half-made volume in"))?;
            }
        }
        Ok(Self { root, bytes, clock, random, mounted: Mutex::default() })
    }

    /// Makes an empty volume; one that is there stays as it is.
    pub fn make(&self, id: &str) -> Result<(), RunnerError> {
        // Two who make the same would share the half-made file.
        let _alone = self.mounted();
        let path = self.disk(id);
        if path.exists() {
            return Ok(());
        }
        let half = path.with_extension(HALF_MADE);
        let _ = fs::remove_file(&half);
        let made = self.format(&half).and_then(|()| {
            fs::rename(&half, &path).context("rename", half.display())?;
            linux::replace::sync_directory_of(&path).context("fsync", path.display())
        });
        if made.is_err() {
            let _ = fs::remove_file(&half);
        }
        made.map_err(|source| RunnerError::Volume { action: "make volume", id: id.to_owned(), source })
    }

    fn format(&self, path: &Path) -> Result<(), CallError> {
        let file = fs::File::options().read(true).write(true).create_new(true).open(path);
        let (file, _) = file.context("create", path.display())?.into_parts();
        let mut identity = [0; 16];
        self.random.fill(&mut identity);
        file.set_len(linux::ext4::growth::rounded(self.bytes)).context("ftruncate", path.display())?;
        linux::ext4::format(&file, self.bytes, identity, disk::seconds(&*self.clock))?;
        file.sync_all().context("fsync", path.display())
    }

    /// Removes a volume that no sandbox has; one that is not there is removed.
    pub fn remove(&self, id: &str) -> Result<(), RunnerError> {
        let failed = |source| RunnerError::Volume { action: "remove volume", id: id.to_owned(), source };
        let mut mounted = self.mounted();
        drop(mounted.remove(id));
        let path = self.disk(id);
        if !path.exists() {
            return Ok(());
        }
        // The kernel lets go of it a moment after its last user.
        disk::wait_until_released(&path).map_err(failed)?;
        fs::remove_file(&path).context("unlink", path.display()).map_err(failed)?;
        linux::replace::sync_directory_of(&path).context("fsync", path.display()).map_err(failed)
    }

    /// Returns a detached mount of what `wanted` says for the sandbox of a user namespace.
    pub(crate) fn mount(&self, wanted: &Mount, user_namespace: impl AsFd) -> Result<OwnedFd, RunnerError> {
        let id = &wanted.volume_id;
        let mut mounted = self.mounted();
        if mounted.len() >= READY && !mounted.contains_key(id) {
            // Those that sandboxes have stay mounted by them, and are found again.
            mounted.clear();
        }
        if !self.disk(id).exists() {
            return Err(RunnerError::VolumeMissing { id: id.clone() });
        }
        let shown = self.whole(&mut mounted, id).and_then(|whole| show(whole, wanted, user_namespace));
        shown.map_err(|source| RunnerError::Volume { action: MOUNT, id: id.clone(), source })
    }

    /// Mounts a whole disk, unless that is done.
    fn whole<'mounted>(
        &self,
        mounted: &'mounted mut HashMap<String, OwnedFd>,
        id: &str,
    ) -> Result<&'mounted OwnedFd, CallError> {
        match mounted.entry(id.to_owned()) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => {
                Ok(place.insert(mount_whole(&self.disk(id))?))
            }
        }
    }

    fn disk(&self, id: &str) -> PathBuf {
        self.root.join(id).with_extension("ext4")
    }

    fn mounted(&self) -> MutexGuard<'_, HashMap<String, OwnedFd>> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Mounts the disk at `path`; one that a sandbox still has from before this server is mounted once more, because two
/// devices of one file would destroy it.
fn mount_whole(path: &Path) -> Result<OwnedFd, CallError> {
    if let Some(device) = loopback::find(path)? {
        let again = mount::filesystem("ext4", &[("source", device.as_str())], Attributes::MOUNT_ATTR_NOATIME);
        if again.is_ok() {
            return again;
        }
        // Its last user was on the way out.
        disk::wait_until_released(path)?;
    }
    let file = std::fs::File::options().read(true).write(true).open(path).context("open", path.display())?;
    let device = loopback::attach(&file)?;
    let options = [("source", device.path.as_str()), ("discard", ""), ("barrier", "")];
    mount::filesystem("ext4", &options, Attributes::MOUNT_ATTR_NOATIME)
}

/// Clones the part of a mounted disk that is wanted, with the ids of a user namespace.
fn show(whole: &OwnedFd, wanted: &Mount, user_namespace: impl AsFd) -> Result<OwnedFd, CallError> {
    let mut directory = disk::directory(whole, FILES, OPEN_TO_ALL)?;
    for name in wanted.subpath.iter().flat_map(|path| path.split('/')).filter(|name| !name.is_empty()) {
        directory = disk::directory(&directory, name, OPEN_TO_ALL)?;
    }
    let shown = mount::clone_tree(&directory, "", false)?;
    mount::map_ids(&shown, user_namespace)?;
    let mut attributes = Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOSUID;
    if wanted.is_read_only {
        attributes |= Attributes::MOUNT_ATTR_RDONLY;
    }
    mount::restrict(&shown, attributes, false)?;
    Ok(shown)
}
