//! What a step finds in its file system besides the image (`RUN --mount`).

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use dockerfile::mount::{Mount, MountKind};
use linux::errno::{CallError, Context as _};
use linux::mount::{self, Attributes};
use rustix::fs::{FileType, OFlags};

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
    Directory(std::path::PathBuf),
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
                    let (mode, owner) = (*mode, (*user_id, *group_id));
                    let cache = cache::open(host, &Wanted { organization_id, name, mode, owner })?;
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
