//! What a step finds in its file system besides the image (`RUN --mount`).

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dockerfile::mount::{Mount, MountKind};
use linux::errno::{CallError, Context as _};
use linux::mount::{self, Attributes};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};

use crate::build::cache::{self, Wanted};
use crate::build::view::View;
use crate::host::Host;
use crate::sandbox::disk::Disk;
use crate::sandbox::init::Place;

/// What an empty file system in memory may hold when nobody says: the step's limit of memory counts in any case.
const MEMORY_BYTES: u64 = 1 << 30;

/// Where the files of a bind mount are.
pub(super) enum Files {
    /// A directory of the host.
    Directory(PathBuf),
    /// Layers, topmost first.
    Layers(Vec<String>),
}

/// What is mounted, and what must be held as long as it is.
#[derive(Default)]
pub(super) struct Mounted {
    pub(super) mounts: Vec<(Place, OwnedFd)>,
    pub(super) held: Vec<Arc<Disk>>,
}

impl Mounted {
    /// Makes the mounts of a step whose files have the ids of `namespace`, the first of which is `first_id` on the host.
    pub(super) fn new(
        host: &Host,
        organization_id: &str,
        wanted: &[(Mount, Option<Files>)],
        namespace: &OwnedFd,
        first_id: u32,
    ) -> Result<Self, CallError> {
        let mut mounted = Self::default();
        for (mount, files) in wanted {
            let (made, is_file) = match (&mount.kind, files) {
                (MountKind::Memory { size_bytes }, _) => {
                    (memory(size_bytes.unwrap_or(MEMORY_BYTES), first_id)?, false)
                }
                (MountKind::Cache { id, mode, user_id, group_id }, _) => {
                    let name = id.as_deref().unwrap_or(&mount.target);
                    let owner = (*user_id, *group_id);
                    let cache = cache::open(host, &Wanted { organization_id, name, mode: *mode, owner })?;
                    let made = mount::clone_tree(&cache.upper, "", false)?;
                    mount::map_ids(&made, namespace)?;
                    mounted.held.push(cache);
                    (made, false)
                }
                (MountKind::Bind { source, .. }, Some(files)) => bind(host, files, source, namespace)?,
                (MountKind::Bind { .. }, None) => continue,
            };
            mounted.mounts.push((Place { path: mount.target.clone(), is_file }, made));
        }
        Ok(mounted)
    }
}

/// Lists what has to be made for mounts because the image does not have it, deepest first.
pub(super) fn missing(view: &View, wanted: &[(Mount, Option<Files>)]) -> Vec<PathBuf> {
    let paths = wanted.iter().flat_map(|(mount, _)| {
        let target = Path::new(mount.target.trim_start_matches('/'));
        target.ancestors().filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned).collect::<Vec<_>>()
    });
    let mut missing: Vec<PathBuf> = paths.filter(|path| matches!(view.look(path), Ok(None))).collect();
    missing.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    missing.dedup();
    missing
}

/// Takes away again what was made for mounts, as far as the step left it empty.
pub(super) fn clear(upper: &OwnedFd, missing: &[PathBuf]) {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for path in missing {
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else { continue };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(parent) = rustix::fs::openat2(upper, parent, flags, Mode::empty(), resolve) else { continue };
        let Ok(found) = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        // One that is not empty any more is the step's own; the kernel says so.
        let kind = FileType::from_raw_mode(found.st_mode);
        let _ = if kind.is_dir() {
            rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)
        } else if kind.is_file() && found.st_size == 0 {
            rustix::fs::unlinkat(&parent, name, AtFlags::empty())
        } else {
            Ok(())
        };
    }
}

fn memory(bytes: u64, first_id: u32) -> Result<OwnedFd, CallError> {
    let (bytes, owner) = (bytes.to_string(), first_id.to_string());
    let options =
        [("size", bytes.as_str()), ("mode", "1777"), ("uid", owner.as_str()), ("gid", owner.as_str())];
    mount::filesystem("tmpfs", &options, Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOSUID)
}

fn bind(host: &Host, files: &Files, source: &str, namespace: &OwnedFd) -> Result<(OwnedFd, bool), CallError> {
    let view = match files {
        Files::Directory(path) => {
            let view = View::of_directory(path, dockerfile::ignore::Ignore::default())?;
            mount::map_ids(&view.root, namespace)?;
            view
        }
        Files::Layers(layers) => View::of_layers(&host.ground.images, layers, Some(namespace))?,
    };
    let source = source.trim_start_matches('/');
    let found = view.open(Path::new(source), OFlags::PATH).context("find what to mount:", source)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&found).context("fstat", source)?.st_mode);
    let made = mount::clone_tree(&found, "", false)?;
    let attributes =
        Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOSUID;
    mount::restrict(&made, attributes, false)?;
    Ok((made, !kind.is_dir()))
}
