//! The object storage: writes, reads, lists and removes objects.

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use tokio::runtime::Handle;

use crate::backend::{Backend, path};
use crate::connect;
use crate::download::Download;
use crate::error::StorageError;
use crate::key::{Key, Shelf};
use crate::settings::Settings;
use crate::upload::Upload;

/// An object storage. All calls block, on threads that may: never on one that drives a runtime.
#[derive(Clone)]
pub struct ObjectStorage {
    backend: Backend,
    place: String,
}

impl std::fmt::Debug for ObjectStorage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ObjectStorage({})", self.place)
    }
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: Key,
    /// Its size.
    pub bytes: u64,
}

impl ObjectStorage {
    /// Opens the storage; of a bucket nothing is asked yet. `runtime` does the waiting: it needs threads of its own,
    /// and must live as long as this.
    pub fn open(settings: &Settings, runtime: Handle) -> Result<Self, StorageError> {
        let (store, place, secrets) = match settings {
            Settings::Directory(path) => (connect::directory(path)?, path.display().to_string(), Vec::new()),
            Settings::S3(settings) => {
                let secrets = vec![settings.access_key.clone(), settings.secret_key.clone()];
                (connect::bucket(settings)?, connect::place(settings), secrets)
            }
        };
        Ok(Self { backend: Backend { store, runtime, secrets: secrets.into() }, place })
    }

    /// Says where it is, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Finds out whether it answers, and takes us for who we are.
    pub async fn answers(&self) -> Result<(), StorageError> {
        let first = self.backend.store.list(None).next().await.transpose();
        first.map(drop).map_err(|error| self.backend.failed("list", "objects", &error))
    }

    /// The same, for a thread that may block.
    pub fn check(&self) -> Result<(), StorageError> {
        self.backend.runtime.block_on(self.answers())
    }

    /// Begins to write an object of about `expected_bytes`.
    pub fn upload(&self, key: &Key, expected_bytes: u64) -> Upload {
        Upload::new(self.backend.clone(), key.clone(), expected_bytes)
    }

    /// Begins to read an object.
    pub fn download(&self, key: &Key) -> Result<Download, StorageError> {
        let found = self.backend.runtime.block_on(self.backend.store.get(&path(key)));
        let found = found.map_err(|error| self.backend.failed("read", &key.to_string(), &error))?;
        Ok(Download::new(&self.backend, key.to_string(), found))
    }

    /// Lists the objects of a sandbox, in no order; what is no object of ours is left out.
    pub fn list(&self, of: Shelf) -> Result<Vec<Listed>, StorageError> {
        let prefix = Path::from(of.to_string());
        let listed =
            self.backend.runtime.block_on(self.backend.store.list(Some(&prefix)).try_collect::<Vec<_>>());
        let listed = listed.map_err(|error| self.backend.failed("list", &of.to_string(), &error))?;
        let read = |found: object_store::ObjectMeta| {
            Some(Listed { key: found.location.as_ref().parse().ok()?, bytes: found.size })
        };
        Ok(listed.into_iter().filter_map(read).collect())
    }

    /// Removes an object, which need not be there.
    pub fn remove(&self, key: &Key) -> Result<(), StorageError> {
        match self.backend.runtime.block_on(self.backend.store.delete(&path(key))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.backend.failed("remove", &key.to_string(), &error)),
        }
    }

    /// Removes the objects of a sandbox but `kept`.
    pub fn remove_all(&self, of: Shelf, kept: Option<&Key>) -> Result<(), StorageError> {
        let listed = self.list(of)?;
        listed
            .iter()
            .filter(|object| Some(&object.key) != kept)
            .try_for_each(|object| self.remove(&object.key))
    }
}
