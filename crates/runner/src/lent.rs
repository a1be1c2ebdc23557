//! Disks that several steps of builds may use at once: none is mounted twice.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use crate::sandbox::disk::Disk;

/// The disks that somebody uses, by their files.
#[derive(Debug, Default)]
pub(crate) struct Lent(Mutex<HashMap<PathBuf, Weak<Disk>>>);

impl Lent {
    /// Returns those that are still used.
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Weak<Disk>>> {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lent.retain(|_, disk| disk.strong_count() > 0);
        lent
    }
}
