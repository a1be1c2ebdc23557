//! Writes the body of a request into a file: hashing and writing overlap with what comes next, in bounded memory.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use s3s::dto::StreamingBlob;
use tokio::task::JoinHandle;

use crate::digest::{Digested, Digests};
use crate::disk::Staged;
use crate::error::{S3Error, file};
use crate::quota::Reserved;

/// How much gathers before it is written.
const BATCH_BYTES: usize = 1 << 20;
/// In how many pieces at most: each keeps more than its bytes.
const BATCH_PIECES: usize = 1024;
/// How much of a refused body is read.
const MOST_DRAINED_BYTES: usize = 64 << 20;
/// How long a client may send nothing in the middle of a body.
const SILENCE: Duration = Duration::from_mins(1);

/// A body that was written.
pub(crate) struct Received {
    pub(crate) staged: Staged,
    pub(crate) bytes: u64,
    pub(crate) digested: Digested,
}

/// Who writes: the file and the digests go to a thread with each batch, and come back.
struct Writer {
    staged: Staged,
    digests: Digests,
}

impl Writer {
    fn write(mut self, batch: Vec<Bytes>) -> JoinHandle<Result<Self, S3Error>> {
        tokio::task::spawn_blocking(move || {
            for piece in batch {
                self.digests.update(&piece);
                let written = self.staged.file.write_all(&piece);
                written.map_err(file("write", std::path::Path::new("an object")))?;
            }
            Ok(self)
        })
    }
}

/// Receives a body; what it holds is counted as it comes.
pub(crate) async fn receive(
    body: Option<StreamingBlob>,
    staged: Staged,
    digests: Digests,
    reserved: &mut Reserved,
) -> Result<Received, S3Error> {
    let mut bytes = 0;
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    let mut writing = Writer { staged, digests }.write(Vec::new());
    if let Some(mut body) = body {
        while let Some(piece) = next(&mut body).await? {
            batch_bytes += piece.len();
            batch.push(piece);
            if batch_bytes < BATCH_BYTES && batch.len() < BATCH_PIECES {
                continue;
            }
            let length = u64::try_from(batch_bytes).unwrap_or(u64::MAX);
            if let Err(error) = reserved.grow(length) {
                drain(&mut body).await;
                return Err(error);
            }
            bytes += length;
            batch_bytes = 0;
            writing = returned(writing).await?.write(std::mem::take(&mut batch));
        }
    }
    let length = u64::try_from(batch_bytes).unwrap_or(u64::MAX);
    reserved.grow(length)?;
    bytes += length;
    let writer = returned(returned(writing).await?.write(batch)).await?;
    Ok(Received { staged: writer.staged, bytes, digested: writer.digests.finish() })
}

/// Reads on for a while: a client that is still sending would not see why it is refused.
async fn drain(body: &mut StreamingBlob) {
    let mut left = MOST_DRAINED_BYTES;
    while let Ok(Some(piece)) = next(body).await {
        left = left.saturating_sub(piece.len());
        if left == 0 {
            return;
        }
    }
}

async fn returned(writing: JoinHandle<Result<Writer, S3Error>>) -> Result<Writer, S3Error> {
    writing.await.unwrap_or(Err(S3Error::Worker))
}

async fn next(body: &mut StreamingBlob) -> Result<Option<Bytes>, S3Error> {
    match tokio::time::timeout(SILENCE, body.next()).await {
        Ok(piece) => piece.transpose().map_err(|error| S3Error::Body { reason: error.to_string() }),
        Err(_) => Err(S3Error::Silence { seconds: SILENCE.as_secs() }),
    }
}
