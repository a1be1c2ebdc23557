//! Write barriers of new disks, set a while after their sandbox was made.
//!
//! A disk is made without them, because setting them waits for the host's disk and leaves blocks there that are costly
//! to give back; most sandboxes live for seconds. Until then a power cut of the host, and nothing else, can cost the
//! files of the sandbox.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::RunnerError;

/// How old a sandbox becomes before its disk is made to survive a power cut.
const DELAY: Duration = Duration::from_secs(5);

/// A thread that sets barriers when their time has come.
#[derive(Debug)]
pub(crate) struct Barriers {
    due: Mutex<Option<Sender<(Instant, String)>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Barriers {
    /// Starts the thread; `set` sets the barriers of a sandbox's disk, if the sandbox is still there.
    pub(crate) fn start(set: impl Fn(&str) -> Result<(), RunnerError> + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        let worker = std::thread::spawn(move || work(&receiver, &set));
        Self { due: Mutex::new(Some(sender)), worker: Mutex::new(Some(worker)) }
    }

    /// Says that the sandbox `id` was made just now.
    pub(crate) fn later(&self, id: &str) {
        self.at(Instant::now() + DELAY, id);
    }

    /// Says that the sandbox `id` was found, of an age that nobody knows.
    pub(crate) fn soon(&self, id: &str) {
        self.at(Instant::now(), id);
    }

    fn at(&self, when: Instant, id: &str) {
        if let Some(due) = self.due.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            // The thread ends only with us.
            let _ = due.send((when, id.to_owned()));
        }
    }

    /// Sets what is waiting, whatever its time, and takes no more: nobody would set it later.
    pub(crate) fn finish(&self) {
        drop(self.due.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(worker) = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It ends by itself; a panic of it was printed where it happened.
            let _ = worker.join();
        }
    }
}

impl Drop for Barriers {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Works in the order of arrival, which is nearly that of the times.
fn work(due: &Receiver<(Instant, String)>, set: &dyn Fn(&str) -> Result<(), RunnerError>) {
    let (mut open, mut waiting) = (true, std::collections::VecDeque::new());
    while open || !waiting.is_empty() {
        let pause = waiting.front().map_or(Duration::MAX, |(when, _): &(Instant, String)| {
            when.saturating_duration_since(Instant::now())
        });
        let heard = if open { due.recv_timeout(pause) } else { Err(RecvTimeoutError::Timeout) };
        match heard {
            Ok(next) => waiting.push_back(next),
            Err(RecvTimeoutError::Disconnected) => open = false,
            Err(RecvTimeoutError::Timeout) => {
                let Some((_, id)) = waiting.pop_front() else { continue };
                if let Err(error) = set(&id) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(sandbox.id = id, error, "a disk would not survive a power cut");
                }
            }
        }
    }
}
