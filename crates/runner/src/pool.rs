//! Disks prepared ahead: making a loop device and mounting it waits for the kernel longer than everything else that
//! a create does, and none of it depends on the request.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use fs_err as fs;
use linux::errno::{CallError, Context as _};
use types::{Clock, Random};

use crate::error::RunnerError;
use crate::sandbox::disk::{self, Disk};

/// How long a stock that is more than half full waits before it is filled up.
const PAUSE: Duration = Duration::from_millis(30);

/// A bounded stock of mounted, empty disks of one size, refilled by a thread of its own.
#[derive(Debug)]
pub struct Pool {
    bytes: u64,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    stock: Mutex<Stock>,
    changed: Condvar,
}

#[derive(Debug)]
struct Stock {
    ready: VecDeque<(PathBuf, Disk)>,
    made: u64,
    closed: bool,
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
        let stock = Mutex::new(Stock { ready: VecDeque::new(), made: 0, closed: false });
        let shared = Arc::new(Shared { directory, stock, changed: Condvar::new() });
        let worker = shared.clone();
        std::thread::spawn(move || worker.refill(bytes, size, &*clock, &*random));
        Ok(Self { bytes, shared })
    }

    /// Hands out a ready disk as the file `path`, owned by the sandbox whose root is `id_base`; `None` when the size
    /// is another or the stock is empty.
    pub fn take(&self, path: &Path, bytes: u64, id_base: u32) -> Result<Option<Disk>, CallError> {
        if bytes != self.bytes {
            return Ok(None);
        }
        let taken = self.shared.stock.lock().unwrap_or_else(PoisonError::into_inner).ready.pop_front();
        self.shared.changed.notify_all();
        let Some((file, disk)) = taken else { return Ok(None) };
        fs::rename(&file, path).context("rename", path.display())?;
        disk.give(id_base)?;
        Ok(Some(disk))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut stock = self.shared.stock.lock().unwrap_or_else(PoisonError::into_inner);
        stock.closed = true;
        stock.ready.clear();
        drop(stock);
        self.shared.changed.notify_all();
        // The next start empties it in any case.
        let _ = fs::remove_dir_all(&self.shared.directory);
    }
}

impl Shared {
    fn refill(&self, bytes: u64, size: usize, clock: &dyn Clock, random: &dyn Random) {
        loop {
            let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
            while stock.ready.len() >= size && !stock.closed {
                stock = self.changed.wait(stock).unwrap_or_else(PoisonError::into_inner);
            }
            if stock.ready.len() * 2 >= size && !stock.closed {
                // A disk was just taken for a sandbox that is being made: it needs the processors more than the stock.
                stock = self.changed.wait_timeout(stock, PAUSE).unwrap_or_else(PoisonError::into_inner).0;
            }
            if stock.closed {
                return;
            }
            stock.made += 1;
            let number = stock.made;
            drop(stock);
            let path = self.directory.join(format!("disk-{number}"));
            let mut identity = [0; 16];
            random.fill(&mut identity);
            let made =
                disk::format(&path, bytes, identity, disk::seconds(clock)).and_then(|()| disk::mount(&path));
            let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
            match made {
                Ok(disk) if !stock.closed => stock.ready.push_back((path, disk)),
                // Closed meanwhile, or the host is short of space or devices: creates make their own disk, and
                // report why if they cannot. Waiting for the next one keeps this thread from spinning.
                _ => {
                    let _ = fs::remove_file(&path);
                    if !stock.closed {
                        drop(self.changed.wait(stock).unwrap_or_else(PoisonError::into_inner));
                    }
                }
            }
        }
    }
}
