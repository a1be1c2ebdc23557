//! Collects every process that ends: those the daemon started are announced, orphans are merely buried.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use linux::child::{Exit, Program, SpawnError};
use tokio::signal::unix::Signal;
use tokio::sync::oneshot;

/// The processes that somebody waits for, by process id.
///
/// One lock covers "start and register" and "collect and announce", so a process that ends at once is never
/// collected before it is known.
#[derive(Debug, Default)]
pub struct Reaper {
    waiting: Mutex<HashMap<i32, oneshot::Sender<Exit>>>,
}

impl Reaper {
    /// Starts a program; the receiver hears how it ended.
    pub fn spawn(&self, program: &Program<'_>) -> Result<(i32, oneshot::Receiver<Exit>), SpawnError> {
        let mut waiting = self.lock();
        let pid = linux::child::spawn(program)?.as_raw_nonzero().get();
        let (announce, exit) = oneshot::channel();
        waiting.insert(pid, announce);
        Ok((pid, exit))
    }

    /// Returns whether a process started here has not been collected yet, so that its id is still its own.
    pub fn is_running(&self, pid: i32) -> bool {
        self.lock().contains_key(&pid)
    }

    /// Collects processes at every SIGCHLD; returns when no signal can arrive any more.
    pub async fn run(&self, mut child_ended: Signal) {
        loop {
            // Before waiting, too: a signal may have come before the handler was installed. One signal may also
            // stand for many processes.
            self.collect();
            if child_ended.recv().await.is_none() {
                return;
            }
        }
    }

    /// Collects every process that has ended by now.
    pub fn collect(&self) {
        let mut waiting = self.lock();
        while let Some((pid, exit)) = linux::child::reap() {
            if let Some(announce) = waiting.remove(&pid.as_raw_nonzero().get()) {
                // Nobody listens any more when the request was given up.
                let _ = announce.send(exit);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, oneshot::Sender<Exit>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
