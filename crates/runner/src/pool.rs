//! Disks prepared ahead: making a loop device and mounting it waits for the kernel longer than everything else that
//! a create does, and none of it depends on the request.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use linux::errno::{CallError, Context as _};
use types::{Clock, Random};

use crate::error::RunnerError;
use crate::sandbox::disk::{self, Disk};
use crate::sandbox::spec::{self, DISK_FILE};
use crate::stock::Stock;

/// A bounded stock of mounted, empty disks of one size.
#[derive(Debug)]
pub struct Pool {
    bytes: u64,
    directory: PathBuf,
    stock: Stock<Ready>,
}

/// A disk that belongs to nobody yet; its file goes with it.
#[derive(Debug)]
struct Ready {
    /// Holds its file, and is what becomes a sandbox's directory.
    directory: PathBuf,
    /// `None` once the disk was given away.
    disk: Option<Disk>,
}

impl Drop for Ready {
    fn drop(&mut self) {
        if self.disk.take().is_some() {
            // The next start empties the pool in any case.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

impl Pool {
    /// Starts to keep `size` disks of `bytes` ready below `directory`, which is emptied first: what an earlier run
    /// left there belongs to nobody. Time stamps are `clock`'s.
    pub fn open(
        directory: PathBuf,
        bytes: u64,
        size: usize,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, RunnerError> {
        let file = |source| RunnerError::File { action: "empty", path: directory.clone(), source };
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(file(error)),
            _ => fs::create_dir_all(&directory).map_err(file)?,
        }
        let (home, mut number) = (directory.clone(), 0_u64);
        let stock = Stock::open(size, move || {
            number += 1;
            let directory = home.join(number.to_string());
            let made = make(&directory, bytes, &*clock, &*random);
            if made.is_err() {
                // The host is short of space or devices: creates make their own disk, and say why if they cannot.
                let _ = fs::remove_dir_all(&directory);
            }
            Some(Ready { directory, disk: Some(made.ok()?) })
        });
        Ok(Self { bytes, directory, stock })
    }

    /// Hands out a ready disk in a directory that becomes `path`, owned by the sandbox whose root is `id_base`; `None`
    /// when the size is another or the stock is empty.
    pub fn take(&self, path: &Path, bytes: u64, id_base: u32) -> Result<Option<Disk>, CallError> {
        if bytes != self.bytes {
            return Ok(None);
        }
        while let Some(mut ready) = self.stock.take() {
            // One that was made while the host's disk was full may have lost writes, and the kernel has shut it since. It
            // goes, and so may the next; a create that finds none makes its own.
            let is_sound = ready.disk.as_ref().is_some_and(|disk| disk.give(id_base).is_ok());
            if is_sound {
                fs::rename(&ready.directory, path).context("rename", path.display())?;
                return Ok(ready.disk.take());
            }
        }
        Ok(None)
    }
}

/// Makes the directory that a sandbox will have, with an empty disk in it.
pub(crate) fn make(
    directory: &Path,
    bytes: u64,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<Disk, CallError> {
    spec::make_directory(directory).context("mkdir", directory.display())?;
    let mut identity = [0; 16];
    random.fill(&mut identity);
    disk::make(&directory.join(DISK_FILE), bytes, identity, disk::seconds(clock))
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stock.close();
        // The next start empties it in any case.
        let _ = fs::remove_dir_all(&self.directory);
    }
}
