//! Holds a mounted file system still, so that what is on its device is whole (`FIFREEZE`, `ioctl_fs(2)`).

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use crate::errno::{CallError, Context as _, checked};

const FIFREEZE: u64 = 0xC004_5877;
const FITHAW: u64 = 0xC004_5878;

/// A file system that takes no writes: its journal is empty, and whoever writes waits. Goes on when this is dropped.
///
/// The kernel keeps a frozen file system mounted, and frozen, even when its last user dies: see [`thaw`].
#[derive(Debug)]
pub struct Frozen(Option<OwnedFd>);

impl Frozen {
    /// Freezes the file system that the open directory is on.
    pub fn new(directory: OwnedFd) -> Result<Self, CallError> {
        freeze(&directory)?;
        Ok(Self(Some(directory)))
    }

    /// Lets writers go on, and says when that fails.
    pub fn thaw(mut self) -> Result<(), CallError> {
        self.0.take().map_or(Ok(()), |directory| thaw(&directory).map(drop))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Some(directory) = &self.0 {
            // It is frozen, so nothing but a lack of rights that were there a moment ago could refuse it.
            let _ = thaw(directory);
        }
    }
}

/// Freezes the file system that the open directory is on, until somebody [`thaw`]s it.
pub fn freeze(directory: impl AsFd) -> Result<(), CallError> {
    call(directory, FIFREEZE).context("ioctl FIFREEZE", "directory")
}

/// Lets writers of the file system go on that the open directory is on, whoever froze it; tells whether it was frozen.
pub fn thaw(directory: impl AsFd) -> Result<bool, CallError> {
    match call(directory, FITHAW) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error).context("ioctl FITHAW", "directory"),
    }
}

fn call(directory: impl AsFd, request: u64) -> io::Result<()> {
    // SAFETY: neither request takes an argument.
    let result = unsafe { libc::ioctl(directory.as_fd().as_raw_fd(), request, 0) };
    checked(i64::from(result)).map(drop)
}
