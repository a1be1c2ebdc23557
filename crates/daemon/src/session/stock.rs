//! What the logs of all sessions may take together, and which of them goes first when that is used up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Semaphore;

use crate::file::blocking;
use crate::session::allowance::Allowance;
use crate::session::segment::{FILE_BYTES, MEMORY_BYTES, Place, Segment, nameless_file};

/// How much memory all logs may take.
const MEMORY_TOTAL_BYTES: usize = 8 * 1024 * 1024;
/// How much of the sandbox's disk all logs may take.
const DISK_TOTAL_BYTES: usize = 256 * 1024 * 1024;
/// How many files all logs may have open.
const FILES: usize = 256;
/// How many commands may have ended and still be listened to, because something they left behind holds their output.
const LATE: usize = 256;

/// Something that can be let go when room is needed.
pub trait Kept: Send + Sync + std::fmt::Debug {
    /// Lets go of what it keeps.
    fn let_go(&self);
}

/// The limits that all logs share.
#[derive(Debug)]
pub struct Stock {
    memory: Allowance,
    disk: Allowance,
    files: Allowance,
    /// Ended logs, the oldest first.
    ended: Mutex<VecDeque<Weak<dyn Kept>>>,
    /// Who may listen to a command that has ended.
    pub late: Arc<Semaphore>,
}

impl Default for Stock {
    fn default() -> Self {
        Self {
            memory: Allowance::new(MEMORY_TOTAL_BYTES),
            disk: Allowance::new(DISK_TOTAL_BYTES),
            files: Allowance::new(FILES),
            ended: Mutex::default(),
            late: Arc::new(Semaphore::new(LATE)),
        }
    }
}

impl Stock {
    /// Notes that a log may go when others need room.
    pub fn has_ended(&self, log: Weak<dyn Kept>) {
        let mut ended = self.ended();
        // What was deleted meanwhile is no longer there; looked at now and then.
        if ended.len() == ended.capacity() {
            ended.retain(|log| log.strong_count() > 0);
        }
        ended.push_back(log);
    }

    /// Lets go of the oldest ended log; says whether there was one.
    pub fn evict(&self) -> bool {
        loop {
            let oldest = self.ended().pop_front();
            match oldest.map(|oldest| oldest.upgrade()) {
                None => return false,
                Some(None) => {}
                Some(Some(log)) => {
                    log.let_go();
                    return true;
                }
            }
        }
    }

    /// Makes a part in memory for at least one record, without pushing anybody out.
    pub fn memory_segment(&self, record_bytes: usize) -> Option<Segment> {
        let grant = self.memory.take(0)?;
        // Asked again when the record comes; here only to go to the disk instead while there is one.
        drop(self.memory.take(record_bytes.min(MEMORY_BYTES))?);
        Some(Segment::new(Place::Memory(Vec::new()), grant, None))
    }

    /// Makes a part in a file; `None` when none can be had.
    pub async fn file_segment(&self) -> Option<Segment> {
        let files = self.file_grant()?;
        let room = usize::try_from(FILE_BYTES).unwrap_or(usize::MAX);
        while self.disk.take(room).is_none() {
            if !self.evict() {
                return None;
            }
        }
        let file = blocking(|| Ok(nameless_file())).await.ok()?.ok()?;
        Some(Segment::new(Place::File(Arc::new(file)), self.disk.take(0)?, Some(files)))
    }

    fn file_grant(&self) -> Option<crate::session::allowance::Grant> {
        loop {
            let grant = self.files.take(1);
            if grant.is_some() || !self.evict() {
                return grant;
            }
        }
    }

    fn ended(&self) -> MutexGuard<'_, VecDeque<Weak<dyn Kept>>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
