//! A running language server: questions and answers, whatever else it says, and its end.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::DaemonError;
use crate::language_server::frame::{self, MESSAGE_BYTES};
use crate::language_server::protocol::{Incoming, Refusal, answer, outgoing};

/// How long a question or a notification may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How many questions may be open.
const QUESTIONS: usize = 64;
/// How many messages may wait for the server to read them; their bytes are bounded, too.
const QUEUED_MESSAGES: usize = 64;
/// How much of what it complains about is kept.
const LAST_WORDS_BYTES: usize = 2 * 1024;
/// How much of a refusal is repeated.
const REFUSAL_CHARACTERS: usize = 500;
/// How long an ended server's exit code and last words are waited for.
const DRAIN: Duration = Duration::from_secs(5);

/// Where a server is spoken to, where it speaks, and how it ends.
#[derive(Debug)]
pub struct Ends<I, O, E, X> {
    /// Its standard input.
    pub input: I,
    /// Its standard output.
    pub output: O,
    /// Its standard error.
    pub complaints: E,
    /// Its exit code; it is killed when this is dropped.
    pub exit: X,
}

/// A server that is spoken to; dropping it kills it.
#[derive(Debug)]
pub struct Connection {
    name: &'static str,
    shared: Arc<Shared>,
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    life: JoinHandle<()>,
}

#[derive(Debug)]
struct Queued {
    frame: Vec<u8>,
    /// Given back when the frame is written.
    _room: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    asked: u64,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
    /// Why nobody answers any more.
    end: Option<String>,
}

type Answer = Result<Box<RawValue>, Refusal>;

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who waits; the first reason counts.
    fn end(&self, why: String) {
        let mut state = self.lock();
        state.end.get_or_insert(why);
        state.waiting.clear();
    }
}

/// A question that is open; dropping it closes it.
struct Question<'a> {
    connection: &'a Connection,
    id: u64,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if self.connection.shared.lock().waiting.remove(&self.id).is_some() {
            // Nobody waits for the answer any more. Best effort: a server that does not read would not hear it either.
            let params = serde_json::json!({ "id": self.id });
            let _ = self.connection.try_send(&outgoing(None, "$/cancelRequest", params));
        }
    }
}

impl Connection {
    /// Begins to speak with a server that was just started; `folders` is what it is told to work on.
    pub fn begin<I, O, E, X>(name: &'static str, ends: Ends<I, O, E, X>, folders: Value) -> Self
    where
        I: AsyncWrite + Send + Unpin + 'static,
        O: AsyncRead + Send + Unpin + 'static,
        E: AsyncRead + Send + Unpin + 'static,
        X: Future<Output = i32> + Send + 'static,
    {
        let (queue, queued) = mpsc::channel(QUEUED_MESSAGES);
        let shared = Arc::new(Shared::default());
        let room = Arc::new(Semaphore::new(MESSAGE_BYTES));
        let replies = Replies { queue: queue.clone(), room: Arc::clone(&room), folders };
        let life = tokio::spawn(live(ends, queued, replies, Arc::clone(&shared)));
        Self { name, shared, queue, room, life }
    }

    /// Asks, and waits for the answer.
    pub async fn ask(
        &self,
        method: &'static str,
        params: impl Serialize,
        patience: Duration,
    ) -> Result<Box<RawValue>, DaemonError> {
        let (question, answer) = self.open()?;
        let exchange = async {
            self.send(&outgoing(Some(question.id), method, params)).await?;
            answer.await.map_err(|_| self.ended())
        };
        match timeout(patience, exchange).await {
            Ok(Ok(Ok(result))) => Ok(result),
            Ok(Ok(Err(refusal))) => {
                let message = refusal.message.chars().take(REFUSAL_CHARACTERS).collect();
                Err(DaemonError::LanguageServerRefused {
                    server: self.name,
                    method,
                    code: refusal.code,
                    message,
                })
            }
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(self.silent(method, patience)),
        }
    }

    /// Tells something that has no answer.
    pub async fn tell(&self, method: &'static str, params: impl Serialize) -> Result<(), DaemonError> {
        match timeout(ANSWER_WITHIN, self.send(&outgoing(None, method, params))).await {
            Ok(sent) => sent,
            Err(_elapsed) => Err(self.silent(method, ANSWER_WITHIN)),
        }
    }

    /// Returns whether it has ended.
    pub fn is_over(&self) -> bool {
        self.shared.lock().end.is_some()
    }

    /// Waits until it has ended by itself, or for so long.
    pub async fn wait(&mut self, patience: Duration) {
        let _ = timeout(patience, &mut self.life).await;
    }

    /// Kills it and tells everybody who waits why.
    pub fn end(&self, why: &str) {
        self.shared.end(why.to_owned());
        self.life.abort();
    }

    /// The failure of whatever is asked of a server that has ended.
    fn ended(&self) -> DaemonError {
        let why = self.shared.lock().end.clone().unwrap_or_default();
        DaemonError::LanguageServerEnded { server: self.name, why }
    }

    fn silent(&self, method: &'static str, patience: Duration) -> DaemonError {
        DaemonError::LanguageServerTimeout { server: self.name, method, timeout_s: patience.as_secs() }
    }

    fn open(&self) -> Result<(Question<'_>, oneshot::Receiver<Answer>), DaemonError> {
        let mut state = self.shared.lock();
        if state.end.is_some() {
            drop(state);
            return Err(self.ended());
        }
        if state.waiting.len() >= QUESTIONS {
            let what = format!("{} has {QUESTIONS} unanswered questions; wait for answers first", self.name);
            return Err(DaemonError::LanguageServerLimit { what });
        }
        state.asked += 1;
        let id = state.asked;
        let (sender, receiver) = oneshot::channel();
        state.waiting.insert(id, sender);
        Ok((Question { connection: self, id }, receiver))
    }

    async fn send(&self, message: &impl Serialize) -> Result<(), DaemonError> {
        let frame =
            frame::write(message).map_err(|error| DaemonError::Invalid { reason: error.to_string() })?;
        // Never closed, and a frame is a little longer than its message.
        let bytes = u32::try_from(frame.len().min(MESSAGE_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| self.ended())?;
        self.queue.send(Queued { frame, _room: room }).await.map_err(|_| self.ended())
    }

    fn try_send(&self, message: &impl Serialize) -> Option<()> {
        enqueue(&self.queue, &self.room, message)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.life.abort();
    }
}

/// What answers to the server's own questions need.
struct Replies {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    folders: Value,
}

/// Queues a message unless that would have to wait.
fn enqueue(queue: &mpsc::Sender<Queued>, room: &Arc<Semaphore>, message: &impl Serialize) -> Option<()> {
    let frame = frame::write(message).ok()?;
    let room = Arc::clone(room).try_acquire_many_owned(u32::try_from(frame.len()).ok()?).ok()?;
    queue.try_send(Queued { frame, _room: room }).ok()
}

/// Carries messages both ways until either side ends, and then says why.
async fn live<I, O, E, X>(
    ends: Ends<I, O, E, X>,
    queued: mpsc::Receiver<Queued>,
    replies: Replies,
    shared: Arc<Shared>,
) where
    I: AsyncWrite + Unpin,
    O: AsyncRead + Unpin,
    E: AsyncRead + Unpin,
    X: Future<Output = i32>,
{
    let last_words = Mutex::new(Vec::new());
    let mut exit = Box::pin(ends.exit);
    let mut complain = std::pin::pin!(listen(ends.complaints, &last_words));
    let mut is_silent = false;
    let why = {
        let mut hear = std::pin::pin!(hear(ends.output, &replies, &shared));
        let mut write = std::pin::pin!(write(ends.input, queued));
        let mut is_deaf = false;
        loop {
            tokio::select! {
                // What it said before it ended first.
                biased;
                end = &mut hear => break end,
                code = &mut exit => break Some(format!("it ended with exit code {code}")),
                () = &mut write, if !is_deaf => is_deaf = true,
                () = &mut complain, if !is_silent => is_silent = true,
            }
        }
    };
    let why = match why {
        Some(why) => why,
        // Its output ends a moment before itself.
        None => match timeout(DRAIN, &mut exit).await {
            Ok(code) => format!("it ended with exit code {code}"),
            Err(_elapsed) => "it closed its standard output".to_owned(),
        },
    };
    // Kills what is left of it, which also ends what it complains about.
    drop(exit);
    if !is_silent {
        let _ = timeout(DRAIN, complain).await;
    }
    let words = last_words.lock().unwrap_or_else(PoisonError::into_inner);
    let words = String::from_utf8_lossy(&words);
    shared.end(match words.trim() {
        "" => why,
        words => format!("{why}; its last words were: {words}"),
    });
}

/// Understands what a server says until it ends; returns what was wrong, or nothing.
async fn hear(output: impl AsyncRead + Unpin, replies: &Replies, shared: &Shared) -> Option<String> {
    let mut output = BufReader::new(output);
    loop {
        let message = match frame::read(&mut output).await {
            Ok(Some(message)) => message,
            Err(error) if error.kind() == ErrorKind::InvalidData => return Some(error.to_string()),
            Ok(None) | Err(_) => return None,
        };
        let message = match Incoming::read(&message) {
            Ok(message) => message,
            Err(error) => return Some(format!("it sent a message that is not JSON-RPC: {error}")),
        };
        match (message.id, message.method) {
            (Some(id), Some(method)) => {
                let reply = answer(&id, &method, message.params.as_deref(), &replies.folders);
                // One that asks faster than it reads answers goes without.
                let _ = enqueue(&replies.queue, &replies.room, &reply);
            }
            (Some(id), None) => {
                let waiting = id.get().parse().ok().and_then(|id: u64| shared.lock().waiting.remove(&id));
                let answer = match message.error {
                    Some(refusal) => Err(refusal),
                    None => Ok(message.result.unwrap_or_else(|| RawValue::NULL.to_owned())),
                };
                if let Some(waiting) = waiting {
                    let _ = waiting.send(answer);
                }
            }
            // News, such as what is wrong in a document.
            (None, _) => {}
        }
    }
}

async fn write(mut input: impl AsyncWrite + Unpin, mut queued: mpsc::Receiver<Queued>) {
    while let Some(message) = queued.recv().await {
        if input.write_all(&message.frame).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
}

/// Keeps the end of what a server complains about.
async fn listen(mut complaints: impl AsyncRead + Unpin, last_words: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(bytes @ 1..) = complaints.read(&mut buffer).await {
        let mut words = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend_from_slice(buffer.get(..bytes).unwrap_or_default());
        let surplus = words.len().saturating_sub(LAST_WORDS_BYTES);
        words.drain(..surplus);
    }
}

#[cfg(test)]
mod tests;
