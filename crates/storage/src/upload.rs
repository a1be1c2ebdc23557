//! Writes an object as a stream: it appears whole when it is finished, or not at all.

use std::io::{self, Write};

use object_store::{MultipartUpload, PutPayload};
use tokio::task::JoinSet;

use crate::backend::{Backend, path};
use crate::error::StorageError;
use crate::key::Key;

/// Said of what an upload does.
const ACTION: &str = "write";
/// The smallest part; services take none below 5 MiB but the last.
const LEAST_PART_BYTES: u64 = 8 << 20;
/// Services take 10,000 parts of one object; the estimate of its size may be short.
const MOST_PARTS: u64 = 8_000;
/// How many parts are on their way at once.
const PARTS_AT_ONCE: usize = 2;

/// An object that is being written. Dropped unfinished, it never was.
pub struct Upload {
    backend: Backend,
    key: Key,
    /// `None` until there is more than one part.
    parts: Option<Box<dyn MultipartUpload>>,
    under_way: JoinSet<Result<(), object_store::Error>>,
    buffer: Vec<u8>,
    part_bytes: usize,
    bytes: u64,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Upload({}, {} bytes)", self.key, self.bytes)
    }
}

impl Upload {
    /// Begins the object `key`; `expected_bytes` need not be exact.
    pub(crate) fn new(backend: Backend, key: Key, expected_bytes: u64) -> Self {
        let part_bytes = (expected_bytes / MOST_PARTS).max(LEAST_PART_BYTES);
        let part_bytes = usize::try_from(part_bytes).unwrap_or(usize::MAX);
        Self {
            backend,
            key,
            parts: None,
            under_way: JoinSet::new(),
            buffer: Vec::new(),
            part_bytes,
            bytes: 0,
        }
    }

    /// Makes the object visible; returns its size.
    pub fn finish(mut self) -> Result<u64, StorageError> {
        if self.parts.is_none() {
            let payload = PutPayload::from(std::mem::take(&mut self.buffer));
            self.backend.put(&path(&self.key), payload).map_err(|error| self.failed(&error))?;
            return Ok(self.bytes);
        }
        if !self.buffer.is_empty() {
            self.send()?;
        }
        self.wait(0)?;
        if let Some(mut parts) = self.parts.take() {
            let completed = self.backend.runtime.block_on(parts.complete());
            if let Err(error) = completed {
                self.parts = Some(parts);
                return Err(self.failed(&error));
            }
        }
        Ok(self.bytes)
    }

    /// Sends what has gathered as the next part.
    fn send(&mut self) -> Result<(), StorageError> {
        if self.parts.is_none() {
            let begun = self.backend.begin(&path(&self.key));
            self.parts = Some(begun.map_err(|error| self.failed(&error))?);
        }
        self.wait(PARTS_AT_ONCE - 1)?;
        let full = Vec::with_capacity(self.part_bytes);
        let payload = PutPayload::from(std::mem::replace(&mut self.buffer, full));
        if let Some(parts) = &mut self.parts {
            // The part's future may start threads of the runtime when it is made.
            let _entered = self.backend.runtime.enter();
            self.under_way.spawn_on(parts.put_part(payload), &self.backend.runtime);
        }
        Ok(())
    }

    /// Waits until at most `most` parts are under way.
    fn wait(&mut self, most: usize) -> Result<(), StorageError> {
        while self.under_way.len() > most {
            let done = self.backend.runtime.block_on(self.under_way.join_next());
            match done {
                Some(Ok(Ok(()))) | None => {}
                Some(Ok(Err(error))) => return Err(self.failed(&error)),
                Some(Err(source)) => return Err(self.failed(&object_store::Error::JoinError { source })),
            }
        }
        Ok(())
    }

    fn failed(&self, error: &object_store::Error) -> StorageError {
        self.backend.failed(ACTION, &self.key.to_string(), error)
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= self.part_bytes {
            self.send()?;
        }
        let room = self.part_bytes.saturating_sub(self.buffer.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.buffer.extend_from_slice(taken);
        self.bytes += u64::try_from(taken.len()).unwrap_or_default();
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        let mut under_way = std::mem::replace(&mut self.under_way, JoinSet::new());
        // Nobody waits for it: what a service that is gone keeps of it, it may forget by itself.
        self.backend.runtime.spawn(async move {
            under_way.shutdown().await;
            let _ = parts.abort().await;
        });
    }
}
