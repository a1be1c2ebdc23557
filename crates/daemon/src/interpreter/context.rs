//! A context: its calls one after another, and the process that runs them.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;
use types::Timestamp;

use crate::cause;
use crate::execution::Executor;
use crate::interpreter::message::{Call, End, Event};
use crate::interpreter::turn::{Outcome, Turn, death, end, ending};
use crate::interpreter::worker::Worker;

/// A context. Dropping it kills its process and everything that has started.
#[derive(Debug)]
pub struct Context {
    /// Its name.
    pub id: String,
    /// The directory it works in.
    pub directory: String,
    /// When it was made.
    pub created_at: Timestamp,
    queue: mpsc::Sender<Call>,
    driver: JoinHandle<()>,
}

impl Context {
    /// Makes a context without a process; the first call starts one. At most `calls` of them may wait.
    pub fn new(
        executor: Arc<Executor>,
        id: String,
        directory: String,
        created_at: Timestamp,
        calls: usize,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(calls);
        let driver = tokio::spawn(drive(executor, directory.clone(), waiting));
        Self { id, directory, created_at, queue, driver }
    }

    /// Adds a call to the queue; `false` when it is full.
    pub fn submit(&self, call: Call) -> bool {
        self.queue.try_send(call).is_ok()
    }

    /// Ends the context, and returns when its process has been killed.
    pub async fn end(mut self) {
        self.driver.abort();
        let _ = (&mut self.driver).await;
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Runs calls one after another, starting a process when there is none.
async fn drive(executor: Arc<Executor>, directory: String, mut calls: mpsc::Receiver<Call>) {
    let mut worker: Option<Worker> = None;
    let mut number = 0;
    loop {
        let call = match &mut worker {
            None => calls.recv().await,
            Some(waiting) => tokio::select! {
                // First: a process that ended just now is found out by the call, and its end is not told twice.
                biased;
                () = waiting.idle() => {
                    worker = None;
                    continue;
                }
                call = calls.recv() => call,
            },
        };
        let Some(mut call) = call else { return };
        // Its client gave up while it waited.
        if call.events.is_closed() {
            continue;
        }
        number += 1;
        let environment = std::mem::take(&mut call.environment);
        let started = match worker.take() {
            Some(worker) => Ok(worker),
            None => Worker::start(&executor, environment, &directory),
        };
        let ended = match started {
            Ok(started) => {
                let (left, ended) = answer(&executor, started, &call, number, &directory).await;
                worker = left;
                ended
            }
            Err(error) => {
                for frame in death(format!("the interpreter could not be started: {}", error.message())) {
                    let _ = call.events.send(Event::Frame(frame)).await;
                }
                end(&call, false, false)
            }
        };
        // A client that is slow to take its last frames holds up no other call.
        if let Err(TrySendError::Full(event)) = call.events.try_send(Event::End(ended)) {
            tokio::spawn(async move { call.events.send(event).await });
        }
    }
}

/// Runs one call; returns the process if it can take another.
async fn answer(
    executor: &Executor,
    mut worker: Worker,
    call: &Call,
    number: u64,
    directory: &str,
) -> (Option<Worker>, End) {
    let before = cause::moment(&executor.events);
    let mut turn = Turn::new(&mut worker, call, number);
    let outcome = turn.run().await;
    let is_late = turn.is_late;
    let (frames, is_alive) = match outcome {
        Outcome::Answered(answer) => (ending(answer), true),
        Outcome::Ended { exit_code } => {
            let mut reason = format!("the interpreter's process {}", departure(exit_code));
            if let Some(found) = cause::explain(&executor.events, before, directory).await {
                reason = format!("{reason}: {}; {}", found.evidence, found.remedy);
            }
            (death(format!("{reason}; {FRESH}")), false)
        }
        Outcome::Unreachable => {
            let reason = "the interpreter's process closed its control descriptor, 3, and was killed";
            (death(format!("{reason}; {FRESH}")), false)
        }
        Outcome::Unstarted => (
            death("the interpreter's process did not start within a minute and was killed".to_owned()),
            false,
        ),
        Outcome::Stubborn => (Vec::new(), false),
    };
    // After a timeout the end alone says what happened: one official SDK takes any other last word for success.
    turn.deliver(if is_late { Vec::new() } else { frames }).await;
    let ended = end(call, is_late, is_alive);
    (is_alive.then_some(worker), ended)
}

const FRESH: &str = "its variables are lost, and the next call starts a fresh one";

/// Says how a process ended.
fn departure(exit_code: i32) -> String {
    let signal = match exit_code - 128 {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("ended with exit code {exit_code}"),
    };
    format!("was killed by {signal} (exit code {exit_code})")
}
