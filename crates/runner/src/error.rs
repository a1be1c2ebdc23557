//! What can go wrong on a host, by the action that failed.

use std::io;
use std::path::PathBuf;

use linux::errno::CallError;
pub use linux::errno::chain;
use rustix::io::Errno;
use storage::StorageError;
use storage::error::Cause;

use registry::RegistryError;
use registry::error::Class as RegistryClass;

use crate::net::NetError;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The host was busy or short of something: try again.
    Retry,
    /// The request or the image is at fault.
    Reject,
    /// The sandbox is not on this host.
    Gone,
}

/// What is done to the disk of a sandbox that starts again.
pub(crate) const MOUNT: &str = "mount the disk";

/// A failed action of the runner.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The image store has no such image.
    #[error("find image {name}: it was never imported on this host")]
    ImageMissing { name: String },
    /// A part of an image is gone.
    #[error(
        "use image {name}: its layer {digest} is not on this host any more; import the image again with `daytona image import`"
    )]
    LayerMissing { name: String, digest: String },
    /// The archive is not what it claims to be.
    #[error("import {archive}: {reason}")]
    ImageInvalid { archive: String, reason: String },
    /// A layer is not what it claims to be, or asks for more than it may.
    #[error("unpack layer {layer} of image {image}: {reason}")]
    LayerInvalid { image: String, layer: String, reason: String },
    /// A registry did not give or take an image.
    #[error("reach the registry")]
    Registry { source: RegistryError },
    /// The settings of registries are wrong.
    #[error("prepare for registries")]
    Registries { source: RegistryError },
    /// An image is not wanted any more.
    #[error("finish image {image}: the order was taken back")]
    Stopped { image: String },
    /// An image that was imported stays until somebody removes it by hand, and one that is in use stays until it is not.
    #[error("remove image {name}: {reason}")]
    ImageStays { name: String, reason: &'static str },
    /// A file of the runner could not be read or written.
    #[error("{action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// A kernel call for a sandbox failed.
    #[error("{action} of sandbox {id}")]
    Kernel { action: &'static str, id: String, source: CallError },
    /// The host itself could not be prepared.
    #[error("{action}")]
    Host { action: &'static str, source: CallError },
    /// The network could not be prepared or changed.
    #[error("connect sandbox {id}")]
    Network { id: String, source: NetError },
    /// The host's network could not be prepared.
    #[error("prepare the network for sandboxes")]
    NetworkHost { source: NetError },
    /// The spawner could not be reached.
    #[error("reach the spawner")]
    Spawn { source: CallError },
    /// The spawner's program could not be started.
    #[error("start {program} as the spawner")]
    Launch { program: String, source: io::Error },
    /// The spawner refused.
    #[error("clone the first process: {reason}")]
    Refused { reason: String },
    /// A mount could not be put into a sandbox that runs.
    #[error("mount at {path}: {reason}")]
    Attach { path: String, reason: String },
    /// The policy file is broken.
    #[error("read the seccomp policy")]
    Policy { source: linux::seccomp::PolicyError },
    /// The first process failed before the daemon answered.
    #[error("start the daemon of sandbox {id}: {reason}")]
    Boot { id: String, reason: String },
    /// The host cannot limit what sandboxes use.
    #[error(
        "limit what sandboxes use: this host has no control groups for {missing}; mount them, or boot with cgroup v2"
    )]
    Unlimited { missing: String },
    /// The volume is not here.
    #[error("find volume {id} on this host")]
    VolumeMissing { id: String },
    /// A volume's disk could not be made, mounted or removed.
    #[error("{action} {id}")]
    Volume { action: &'static str, id: String, source: CallError },
    /// The sandbox is not here.
    #[error("find sandbox {id} on this host")]
    Missing { id: String },
    /// What is asked of its processes needs processes.
    #[error("find the processes of sandbox {id}: it does not run")]
    NotRunning { id: String },
    /// A disk is full and may not grow further by itself.
    #[error(
        "recover sandbox {id}: its disk is full and has grown by 10 % already, to {present}; allow more: POST /sandbox/{{sandboxId}}/resize with `disk`"
    )]
    DiskStaysFull { id: String, present: String },
    /// The host cannot hold processes.
    #[error(
        "pause sandbox {id}: this host has no freezer for control groups; mount one, or boot with cgroup v2"
    )]
    CannotPause { id: String },
    /// All addresses and id ranges are in use.
    #[error("find a free place: all {places} are taken; delete sandboxes or widen --sandbox-network")]
    Full { places: u32 },
    /// Less memory was asked for than is in use and cannot be given back.
    #[error(
        "lower the memory of sandbox {id} to {wanted}: {used} are in use; end processes or delete files in /dev/shm first"
    )]
    MemoryInUse { id: String, wanted: String, used: String },
    /// A smaller disk was asked for.
    #[error("resize the disk of sandbox {id} to {wanted}: it has {present}, and disks only grow")]
    DiskShrinks { id: String, wanted: String, present: String },
    /// The disk of a running sandbox cannot grow here.
    #[error(
        "grow the disk of sandbox {id} while it runs: this host's root has no CAP_SYS_RESOURCE; stop the sandbox first"
    )]
    DiskInUse { id: String, source: CallError },
    /// The object storage failed.
    #[error("{action} of sandbox {id}")]
    Storage { action: &'static str, id: String, source: StorageError },
    /// What lies in the object storage is not the backup that was made.
    #[error(
        "restore sandbox {id}: its backup {object} is damaged, {reason}; nothing was changed here, bring the object back from a copy of the object storage and try again"
    )]
    BackupDamaged { id: String, object: String, reason: String },
    /// Its files changed while they were copied.
    #[error("{action} of sandbox {id}: it was started meanwhile")]
    Changed { action: &'static str, id: String },
    /// It runs, and this needs it to be stopped.
    #[error("{action} of sandbox {id}: it runs; stop it first")]
    Runs { action: &'static str, id: String },
    /// A snapshot cannot be made of these files.
    #[error("take a snapshot of sandbox {id}: {reason}")]
    CannotCapture { id: String, reason: String },
    /// A message could not be written.
    #[error("encode {what}")]
    Encode { what: &'static str, source: serde_json::Error },
    /// A message could not be read.
    #[error("decode {what}")]
    Decode { what: &'static str, source: serde_json::Error },
    /// A worker thread ended without an answer.
    #[error("finish {action} of sandbox {id}: its worker stopped")]
    Worker { action: &'static str, id: String },
}

impl RunnerError {
    /// Says that preparing a place failed for the sandbox `id`, who needs it now.
    #[must_use]
    pub fn of(self, id: &str) -> Self {
        let id = id.to_owned();
        match self {
            Self::Kernel { action, source, .. } => Self::Kernel { action, id, source },
            Self::Network { source, .. } => Self::Network { id, source },
            Self::Boot { reason, .. } => Self::Boot { id, reason },
            other => other,
        }
    }

    /// Tells what to do about it.
    pub fn class(&self) -> Class {
        match self {
            // Of a full host, whoever waits is told now: a place is free again when somebody deletes a sandbox.
            Self::Full { .. }
            | Self::ImageMissing { .. }
            | Self::LayerMissing { .. }
            | Self::ImageInvalid { .. }
            | Self::LayerInvalid { .. }
            | Self::Registries { .. }
            | Self::Stopped { .. }
            | Self::ImageStays { .. }
            | Self::Boot { .. }
            | Self::MemoryInUse { .. }
            | Self::DiskShrinks { .. }
            | Self::CannotPause { .. }
            | Self::DiskStaysFull { .. }
            | Self::DiskInUse { .. }
            | Self::BackupDamaged { .. }
            | Self::Runs { .. }
            | Self::CannotCapture { .. }
            | Self::VolumeMissing { .. }
            | Self::Attach { .. } => Class::Reject,
            // Whoever asked is told at once: a service that is away may stay away.
            Self::Storage { source, .. } if source.cause() != Cause::Other => Class::Reject,
            Self::Registry { source } if source.class() == RegistryClass::Reject => Class::Reject,
            Self::Missing { .. } => Class::Gone,
            _ if self.needs_a_person() => Class::Reject,
            _ => Class::Retry,
        }
    }

    /// Tells whether the kernel's answer stays the same until somebody does something about it: a disk that is full,
    /// read-only, damaged or gone.
    fn needs_a_person(&self) -> bool {
        const ANYWHERE: [Errno; 3] = [Errno::NOSPC, Errno::DQUOT, Errno::ROFS];
        const OF_DISKS: [Errno; 4] = [Errno::NOENT, Errno::INVAL, Errno::UCLEAN, Errno::IO];
        let source = match self {
            Self::File { source, .. } | Self::Registry { source: RegistryError::File { source, .. } } => {
                source
            }
            Self::Kernel { source, .. } | Self::Volume { source, .. } => &source.source,
            _ => return false,
        };
        let is =
            |known: &[Errno]| known.iter().any(|errno| source.raw_os_error() == Some(errno.raw_os_error()));
        // A link, or a file, where a part of a volume is to be.
        let is_no_directory = is(&[Errno::LOOP, Errno::NOTDIR]) && matches!(self, Self::Volume { .. });
        is(&ANYWHERE)
            || is_no_directory
            || (matches!(self, Self::Kernel { action: MOUNT, .. })
                && (is(&OF_DISKS) || source.kind() == io::ErrorKind::InvalidData))
    }
}
