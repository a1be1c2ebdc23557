//! Gives the content of objects out as streams that read a little ahead.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use s3s::StdError;
use s3s::dto::StreamingBlob;
use s3s::stream::{ByteStream, RemainingLength};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;

/// How much is read at a time; one such piece is read ahead.
const PIECE_BYTES: u64 = 512 << 10;
/// How many pieces of a bucket's answer wait.
const PIECES_AHEAD: usize = 4;

/// A range of a file.
#[derive(Debug)]
struct FileStream {
    reading: Option<JoinHandle<io::Result<(File, Bytes)>>>,
    /// What is not yet asked of the file.
    left: u64,
    /// What is not yet given out.
    owed: u64,
}

/// Streams a range of a file.
pub(crate) fn from_file(file: File, range: Range<u64>) -> StreamingBlob {
    let length = range.end.saturating_sub(range.start);
    let mut stream = FileStream { reading: None, left: length, owed: length };
    stream.read(file, Some(range.start));
    StreamingBlob::new(stream)
}

impl FileStream {
    fn read(&mut self, mut file: File, from: Option<u64>) {
        let length = self.left.min(PIECE_BYTES);
        if length == 0 {
            return;
        }
        self.left -= length;
        self.reading = Some(tokio::task::spawn_blocking(move || {
            if let Some(from) = from {
                file.seek(SeekFrom::Start(from))?;
            }
            let mut piece = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
            (&file).take(length).read_to_end(&mut piece)?;
            if u64::try_from(piece.len()).unwrap_or_default() < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok((file, Bytes::from(piece)))
        }));
    }
}

impl Stream for FileStream {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let read = std::task::ready!(Pin::new(reading).poll(context));
        self.reading = None;
        Poll::Ready(Some(match read {
            Ok(Ok((file, piece))) => {
                self.owed = self.owed.saturating_sub(u64::try_from(piece.len()).unwrap_or_default());
                self.read(file, None);
                Ok(piece)
            }
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        }))
    }
}

impl ByteStream for FileStream {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.owed).map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}

/// What a task fetches from a bucket.
struct Pieces {
    pieces: Receiver<Result<Bytes, StdError>>,
    owed: u64,
}

/// Streams what a bucket answers.
pub(crate) fn from_bucket(found: object_store::GetResult) -> StreamingBlob {
    let owed = found.range.end.saturating_sub(found.range.start);
    let (give, pieces) = channel(PIECES_AHEAD);
    // It ends with the answer, or with whoever reads.
    tokio::spawn(async move {
        let mut stream = found.into_stream();
        while let Some(piece) = stream.next().await {
            let is_last = piece.is_err();
            let piece = piece.map_err(|error| storage::error::Answer::new(&error, &[]).into());
            if give.send(piece).await.is_err() || is_last {
                return;
            }
        }
    });
    StreamingBlob::new(Pieces { pieces, owed })
}

impl Stream for Pieces {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = std::task::ready!(self.pieces.poll_recv(context));
        if let Some(Ok(piece)) = &piece {
            self.owed = self.owed.saturating_sub(u64::try_from(piece.len()).unwrap_or_default());
        }
        Poll::Ready(piece)
    }
}

impl ByteStream for Pieces {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.owed).map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}
