//! Writes what a stream delivers to a file, without copying it: one part is written while the next arrives.

use std::path::PathBuf;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::task::JoinHandle;

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::file::blocking;
use crate::file::incoming::Incoming;

/// Pieces are collected until they are worth waking a thread. Twice this much is in memory: what is written, and what
/// arrives meanwhile.
const PART_BYTES: usize = 512 * 1024;
/// So many pieces are worth it, too, however small: each has a cost of its own.
const PART_PIECES: usize = 1_024;

/// Writes everything a stream delivers to a file; the file appears when the stream has ended well.
pub(crate) async fn store<S, E>(daemon: &Daemon, target: PathBuf, pieces: &mut S) -> Result<u64, DaemonError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    let mut sink = Sink::Planned { target, token: daemon.token() };
    let mut writing: Option<JoinHandle<Result<Sink, DaemonError>>> = None;
    let mut part = Part::default();
    loop {
        let piece = pieces
            .next()
            .await
            .transpose()
            .map_err(|error| DaemonError::Body { reason: error.to_string() })?;
        let is_over = piece.is_none();
        part.extend(piece);
        if !is_over && !part.is_full() {
            continue;
        }
        if let Some(writing) = writing.take() {
            sink = writing.await??;
        }
        let full = std::mem::take(&mut part);
        if is_over {
            // A small file is made, written and named on one visit to a thread.
            return blocking(move || sink.write(&full)?.finish()).await;
        }
        let taken = std::mem::replace(&mut sink, Sink::Lent);
        writing = Some(tokio::task::spawn_blocking(move || taken.write(&full).map(Sink::Open)));
    }
}

/// Bytes that arrived in pieces.
#[derive(Debug, Default)]
struct Part {
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl Part {
    fn extend(&mut self, piece: Option<Bytes>) {
        if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
            self.bytes += piece.len();
            self.pieces.push(piece);
        }
    }

    fn is_full(&self) -> bool {
        self.bytes >= PART_BYTES || self.pieces.len() >= PART_PIECES
    }
}

/// Where the bytes go.
#[derive(Debug)]
enum Sink {
    /// Nothing has been written: the file is made with the first part.
    Planned { target: PathBuf, token: String },
    /// The file is there.
    Open(Incoming),
    /// A thread has it.
    Lent,
}

impl Sink {
    fn write(self, part: &Part) -> Result<Incoming, DaemonError> {
        let mut incoming = match self {
            Self::Planned { target, token } => Incoming::create(&target, &token)?,
            Self::Open(incoming) => incoming,
            Self::Lent => {
                return Err(DaemonError::Body {
                    reason: "a part of the file is being written twice".to_owned(),
                });
            }
        };
        incoming.write_pieces(&part.pieces)?;
        Ok(incoming)
    }
}
