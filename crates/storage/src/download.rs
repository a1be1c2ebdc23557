//! Reads an object as a stream.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use object_store::{GetResult, GetResultPayload};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;

use crate::backend::Backend;
use crate::error::StorageError;

/// How many pieces of an answer wait to be read.
const PIECES_AHEAD: usize = 16;

/// An object that is being read.
#[derive(Debug)]
pub struct Download {
    /// Its size, as the storage says.
    pub bytes: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A file of this host, which needs no helpers.
    File(std::fs::File),
    /// Pieces that a task fetches ahead.
    Pieces { runtime: Handle, pieces: Receiver<Result<Bytes, StorageError>>, piece: Bytes },
}

impl Download {
    pub(crate) fn new(backend: &Backend, key: String, found: GetResult) -> Self {
        let bytes = found.meta.size;
        if let GetResultPayload::File(file, _) = found.payload {
            return Self { bytes, content: Content::File(file) };
        }
        let (give, pieces) = tokio::sync::mpsc::channel(PIECES_AHEAD);
        let told = backend.clone();
        backend.runtime.spawn(async move {
            let mut stream = found.into_stream();
            while let Some(piece) = stream.next().await {
                let piece = piece.map_err(|error| told.failed("read", &key, &error));
                let is_last = piece.is_err();
                // Whoever reads may have seen enough.
                if give.send(piece).await.is_err() || is_last {
                    return;
                }
            }
        });
        let runtime = backend.runtime.clone();
        Self { bytes, content: Content::Pieces { runtime, pieces, piece: Bytes::new() } }
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::File(file) => file.read(buffer),
            Content::Pieces { runtime, pieces, piece } => {
                while piece.is_empty() {
                    match runtime.block_on(pieces.recv()) {
                        Some(next) => *piece = next?,
                        None => return Ok(0),
                    }
                }
                let length = piece.len().min(buffer.len());
                let (Some(from), Some(to)) = (piece.get(..length), buffer.get_mut(..length)) else {
                    return Ok(0);
                };
                to.copy_from_slice(from);
                piece.advance(length);
                Ok(length)
            }
        }
    }
}
