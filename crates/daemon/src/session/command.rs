//! One command of a session: what it is, how far it is, what it printed, and the way to its standard input.

use std::sync::{Arc, Weak};

use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::error::DaemonError;
use crate::session::log::Log;
use crate::session::mark::Stream;
use crate::session::stock::{Kept, Stock};

/// How much of a command's text is remembered.
const TEXT_BYTES: usize = 4 * 1024;

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Others of its session come first.
    Waiting,
    /// It runs.
    Running,
    /// It has ended with this exit code, and all that it printed itself is in its log.
    Ended(i32),
    /// Its session's shell ended before it could begin.
    Refused,
}

impl Stage {
    /// The exit code once there is one.
    const fn exit_code(self) -> Option<i32> {
        match self {
            Self::Ended(code) => Some(code),
            Self::Refused => Some(-1),
            Self::Waiting | Self::Running => None,
        }
    }
}

/// A command.
#[derive(Debug)]
pub struct Command {
    /// Its name.
    pub id: String,
    /// Its text; of a long one the beginning.
    pub text: String,
    /// Whether something can be typed into it.
    pub takes_input: bool,
    /// Whether what is typed into it shows up in its log.
    pub is_echoing: bool,
    /// What it printed.
    pub log: Arc<Log>,
    stage: watch::Sender<Stage>,
    input: tokio::sync::Mutex<Option<pipe::Sender>>,
    stock: Arc<Stock>,
}

impl Command {
    /// A command that waits for its turn.
    pub fn new(id: String, text: &str, takes_input: bool, is_echoing: bool, stock: &Arc<Stock>) -> Self {
        Self {
            id,
            text: shorten(text),
            takes_input,
            is_echoing,
            log: Arc::new(Log::new(Arc::clone(stock))),
            stage: watch::Sender::new(Stage::Waiting),
            input: tokio::sync::Mutex::default(),
            stock: Arc::clone(stock),
        }
    }

    /// Returns how far it is.
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Returns the exit code once it has ended.
    pub fn exit_code(&self) -> Option<i32> {
        self.stage().exit_code()
    }

    /// Returns something that tells how far it is.
    pub fn watch(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Waits for its end; returns how it came.
    pub async fn ended(&self) -> Stage {
        let mut stage = self.watch();
        let ended = stage.wait_for(|stage| stage.exit_code().is_some()).await;
        // The sender is this command's own, so it cannot be gone.
        ended.map_or(Stage::Refused, |stage| *stage)
    }

    /// Notes that it has begun, and how it is typed into.
    pub async fn begin(&self, input: Option<pipe::Sender>) {
        *self.input.lock().await = input;
        self.stage.send_replace(Stage::Running);
    }

    /// Notes how it ended; only the first time counts.
    pub async fn end(&self, exit_code: i32) {
        self.finish(Stage::Ended(exit_code)).await;
    }

    /// Notes that it will never run, because its session's shell has ended.
    pub async fn refuse(&self) {
        let reason = b"the session's shell ended before this command could begin\n";
        self.log.append(Stream::Errors, reason).await;
        self.finish(Stage::Refused).await;
    }

    async fn finish(&self, stage: Stage) {
        if self.exit_code().is_some() {
            return;
        }
        self.stage.send_replace(stage);
        let log: Weak<Log> = Arc::downgrade(&self.log);
        let log: Weak<dyn Kept> = log;
        self.stock.has_ended(log);
        // Whoever is typing has been told, and lets go.
        *self.input.lock().await = None;
    }

    /// Notes that it could not run, and why.
    pub async fn fail(&self, reason: &str) {
        self.log.append(Stream::Errors, format!("{reason}\n").as_bytes()).await;
        self.end(-1).await;
    }

    /// Types something into it, and a line feed where that is missing; waits until it is taken.
    pub async fn type_in(&self, data: &str) -> Result<(), DaemonError> {
        let completed = || DaemonError::CommandCompleted { command_id: self.id.clone() };
        if self.exit_code().is_some() {
            return Err(completed());
        }
        if !self.takes_input {
            return Err(DaemonError::CommandTakesNoInput { command_id: self.id.clone() });
        }
        let mut line = data.to_owned();
        if !line.ends_with('\n') {
            line.push('\n');
        }
        let mut stage = self.watch();
        // Fails only with the command itself.
        let _ = stage.wait_for(|stage| *stage != Stage::Waiting).await;
        let mut input = self.input.lock().await;
        let pipe = input.as_mut().ok_or_else(completed)?;
        if self.is_echoing {
            self.log.append(Stream::Output, line.as_bytes()).await;
        }
        tokio::select! {
            written = pipe.write_all(line.as_bytes()) => written.map_err(|_| completed()),
            _ = stage.wait_for(|stage| stage.exit_code().is_some()) => Err(completed()),
        }
    }
}

fn shorten(text: &str) -> String {
    if text.len() <= TEXT_BYTES {
        return text.to_owned();
    }
    let mut end = TEXT_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = text.get(..end).unwrap_or_default();
    format!("{kept}… [{} more bytes]", text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_text_is_remembered_by_its_beginning() {
        let text = format!("x{}", "é".repeat(5_000));
        let command = Command::new("1".into(), &text, false, false, &Arc::default());
        assert!(
            command.text.starts_with("xé") && command.text.ends_with("é… [5906 more bytes]"),
            "{}",
            command.text.len()
        );
    }

    #[tokio::test]
    async fn only_the_first_end_counts() {
        let command = Command::new("1".into(), "", true, false, &Arc::default());
        assert_eq!((command.stage(), command.exit_code()), (Stage::Waiting, None));
        command.begin(None).await;
        assert_eq!(command.stage(), Stage::Running);
        command.end(3).await;
        command.fail("too late").await;
        assert_eq!((command.ended().await, command.exit_code()), (Stage::Ended(3), Some(3)));
        command.type_in("x").await.expect_err("it has ended");
    }
}
