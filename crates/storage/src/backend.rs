//! The library's store, with what turns its answers into ours.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::runtime::Handle;

use crate::error::{Answer, StorageError, cause};
use crate::key::Key;

/// A store, the runtime that waits for it, and what must not be told of it.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) runtime: Handle,
    pub(crate) secrets: Arc<[String]>,
}

impl Backend {
    pub(crate) fn put(&self, path: &Path, payload: PutPayload) -> Result<(), object_store::Error> {
        self.runtime.block_on(self.store.put(path, payload)).map(drop)
    }

    pub(crate) fn begin(&self, path: &Path) -> Result<Box<dyn MultipartUpload>, object_store::Error> {
        self.runtime.block_on(self.store.put_multipart(path))
    }

    pub(crate) fn failed(
        &self,
        action: &'static str,
        key: &str,
        error: &object_store::Error,
    ) -> StorageError {
        let source = Answer::new(error, &self.secrets);
        StorageError::Failed { action, key: key.to_owned(), cause: cause(error, &source), source }
    }
}

/// Writes a key as the library wants it.
pub(crate) fn path(key: &Key) -> Path {
    Path::from(key.to_string())
}
