//! Build contexts as those read them who build.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::runtime::Handle;
use types::OrganizationId;

use crate::error::S3Error;
use crate::key::{self, Key};
use crate::store::Store;

/// The last segment of every context's key.
const NAME: &str = "context.tar";

/// Reads build contexts. All calls block, on threads that may.
#[derive(Debug, Clone)]
pub struct Contexts {
    store: Arc<Store>,
    runtime: Handle,
}

/// A context: an archive that somebody uploaded, to be trusted as little as that.
pub struct Context {
    /// Its size.
    pub bytes: u64,
    content: Content,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Context({} bytes)", self.bytes)
    }
}

enum Content {
    File(io::Take<std::fs::File>),
    Bucket { stream: BoxStream<'static, object_store::Result<Bytes>>, piece: Bytes, runtime: Handle },
}

impl Contexts {
    /// Reads from `store`; `runtime` does the waiting.
    pub fn new(store: Arc<Store>, runtime: Handle) -> Self {
        Self { store, runtime }
    }

    /// Opens the context that a client uploaded under a hash; `None` when there is none.
    pub fn open(&self, organization: OrganizationId, hash: &str) -> Result<Option<Context>, S3Error> {
        // It is opaque, but one segment: a hash with a slash names something else.
        if hash.is_empty() || hash.contains('/') {
            return Ok(None);
        }
        let Some(key) = Key::of(organization, &format!("{}{hash}/{NAME}", key::prefix(organization)))? else {
            return Ok(None);
        };
        let Some(bucket) = &self.store.bucket else {
            let found = self.store.disk.find(&key)?;
            return Ok(found.map(|(file, record)| Context {
                bytes: record.bytes,
                content: Content::File(file.take(record.bytes)),
            }));
        };
        match self.runtime.block_on(bucket.open(&key)) {
            Ok(found) => Ok(Some(Context {
                bytes: found.meta.size,
                content: Content::Bucket {
                    stream: found.into_stream(),
                    piece: Bytes::new(),
                    runtime: self.runtime.clone(),
                },
            })),
            // What the bucket cannot keep is not there either.
            Err(S3Error::Missing { .. } | S3Error::Key { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Read for Context {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::File(file) => file.read(buffer),
            Content::Bucket { stream, piece, runtime } => {
                while piece.is_empty() {
                    match runtime.block_on(stream.next()) {
                        Some(next) => *piece = next.map_err(io::Error::other)?,
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
