//! The object storage of this server, and what of it belongs to a sandbox.

use std::path::Path;

use engine::port::{Class, RunnerError};
use service::Settings;
use service::field::Chain;
use service::settings::BucketSettings;
use storage::key::Shelf;
use storage::settings::S3;
use storage::{Key, ObjectStorage};
use tokio::runtime::Handle;
use tracing::warn;
use types::sandbox::Sandbox;

use crate::error::ServerError;

/// Where objects are kept when nobody says otherwise, in the data directory.
const DIRECTORY: &str = "objects";

/// Opens the object storage that settings describe. A service that does not answer keeps nobody from starting: the log
/// is told, and so is whoever archives something.
pub(crate) async fn open(settings: &Settings, data_directory: &Path) -> Result<ObjectStorage, ServerError> {
    let described = match &settings.bucket {
        None => storage::settings::Settings::Directory(data_directory.join(DIRECTORY)),
        Some(bucket) => storage::settings::Settings::S3(described(bucket)),
    };
    let handle = Handle::current();
    let opened = tokio::task::spawn_blocking(move || ObjectStorage::open(&described, handle)).await;
    let opened = opened.map_err(|_| ServerError::Worker { action: "open the object storage" })?;
    opened.map_err(|source| ServerError::Storage { source })
}

/// Describes a bucket to the library that speaks with it.
pub(crate) fn described(bucket: &BucketSettings) -> S3 {
    S3 {
        endpoint: bucket.endpoint.clone(),
        region: bucket.region.clone(),
        bucket: bucket.bucket.clone(),
        access_key: bucket.access_key.expose().to_owned(),
        secret_key: bucket.secret_key.expose().to_owned(),
        path_style: bucket.path_style,
    }
}

/// Tells the log when the object storage does not answer.
pub(crate) async fn tell_trouble(storage: ObjectStorage) {
    if let Err(error) = storage.answers().await {
        warn!("sandboxes cannot be archived now: {}", Chain(&error));
    }
}

/// Returns where the objects of a sandbox are.
pub(crate) fn shelf(sandbox: &Sandbox) -> Shelf {
    Shelf { organization: sandbox.organization_id, sandbox: sandbox.id }
}

/// Returns the backup that a row names, if it is one of that sandbox.
pub(crate) fn known(sandbox: &Sandbox) -> Option<Key> {
    let key: Key = sandbox.backup.object.as_ref()?.parse().ok()?;
    (key.shelf == shelf(sandbox)).then_some(key)
}

/// Returns the backup to restore a sandbox from, with the digest that it must have.
pub(crate) fn wanted(sandbox: &Sandbox) -> Result<(Key, String), RunnerError> {
    known(sandbox).zip(sandbox.backup.digest.clone()).ok_or_else(|| RunnerError {
        class: Class::Reject,
        action: format!("restore sandbox {}: no backup of it is known", sandbox.id),
        source: None,
    })
}

/// Tells whether a sandbox may have objects: nothing is asked for those that never had.
pub(crate) fn may_have(sandbox: &Sandbox) -> bool {
    sandbox.backup != types::sandbox::Backup::default()
}
