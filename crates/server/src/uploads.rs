//! What clients upload for builds: where it is kept, who may put it there, and how builds read it.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::object_storage::{Grant, Way};
use axum::Router;
use fs_err as fs;
use s3::context::Contexts;
use s3::credential::{Issuer, KEY_BYTES};
use s3::serve::Parts;
use s3::store::Store;
use service::Settings;
use service::field::Chain;
use tokio::runtime::Handle;
use tracing::{info, warn};
use types::{Clock, OrganizationId, Random};

use crate::error::ServerError;
use crate::objects;

/// Holds what is uploaded, in the data directory.
const DIRECTORY: &str = "uploads";
/// Holds what credentials are derived from, in the data directory.
const KEY: &str = "upload-key";
/// The one bucket; the first segment of its addresses, which nothing else of this server begins with.
const BUCKET: &str = "daytona";
/// The region that is told; clients sign with it.
const REGION: &str = "us-east-1";
/// How often uploads that nobody finished are looked for.
const SWEEP_PERIOD: Duration = Duration::from_hours(1);

/// The endpoint's parts.
#[derive(Debug, Clone)]
pub(crate) struct Uploads {
    store: Arc<Store>,
    issuer: Issuer,
    url: String,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl api::object_storage::Uploads for Uploads {
    fn grant(&self, organization: OrganizationId, way: Way) -> Grant {
        let credential = self.issuer.issue(organization, self.clock.now(), &*self.random);
        Grant {
            access_key: credential.access_key,
            secret: credential.secret,
            session_token: credential.session_token,
            url: match way {
                Way::AsItCame => self.url.clone(),
                Way::Tls => secure(&self.url),
            },
            bucket: BUCKET.to_owned(),
            region: REGION.to_owned(),
        }
    }
}

impl Uploads {
    /// Opens what was uploaded. Where a bucket is configured, it goes there; this server stays in front of it, so that
    /// clients need no credentials of the bucket.
    pub(crate) async fn open(
        settings: &Settings,
        data_directory: &Path,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ServerError> {
        let issuer = Issuer::new(key(&data_directory.join(KEY), &*random)?);
        let bucket =
            settings.bucket.as_ref().map(objects::described).map(|bucket| storage::open_bucket(&bucket));
        let bucket = bucket.transpose().map_err(|source| ServerError::Storage { source })?;
        let (directory, quota) = (data_directory.join(DIRECTORY), settings.object_storage_quota_bytes);
        let parts = (clock.clone(), random.clone());
        let opened =
            tokio::task::spawn_blocking(move || Store::open(&directory, bucket, quota, parts.0, parts.1));
        let opened = opened.await.map_err(|_| ServerError::Worker { action: "open what was uploaded" })?;
        let store = Arc::new(opened.map_err(|source| ServerError::Uploads { source })?);
        let url = settings.api.public_url.clone();
        Ok(Self { store, issuer, url, clock, random })
    }

    /// Serves the bucket.
    pub(crate) fn router(&self) -> Router {
        s3::serve::router(Parts {
            store: self.store.clone(),
            issuer: self.issuer.clone(),
            bucket: BUCKET.to_owned(),
            region: REGION.to_owned(),
            clock: self.clock.clone(),
        })
    }

    /// Returns what builds read.
    pub(crate) fn contexts(&self) -> Contexts {
        Contexts::new(self.store.clone(), Handle::current())
    }

    /// Removes uploads that nobody finished, again and again.
    pub(crate) async fn sweep(self) {
        loop {
            match self.store.sweep().await {
                Ok(0) => {}
                Ok(swept) => info!("removed {swept} uploads that nobody finished"),
                Err(error) => warn!("cannot remove unfinished uploads: {}", Chain(&error)),
            }
            tokio::time::sleep(SWEEP_PERIOD).await;
        }
    }
}

/// Returns the address with TLS: the official Python client takes no other, and the port of the API speaks both.
fn secure(public_url: &str) -> String {
    public_url.strip_prefix("http://").map_or_else(|| public_url.to_owned(), |rest| format!("https://{rest}"))
}

/// Reads what credentials are derived from; the first start makes it.
fn key(path: &Path, random: &dyn Random) -> Result<[u8; KEY_BYTES], ServerError> {
    if let Some(known) = fs::read(path).ok().and_then(|bytes| bytes.try_into().ok()) {
        return Ok(known);
    }
    let mut made = [0; KEY_BYTES];
    random.fill(&mut made);
    let beside = path.with_extension("new");
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&made)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|source| ServerError::File { action: "write", path: path.to_owned(), source })?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use types::SystemRandom;

    use super::*;

    #[test]
    fn the_key_stays_and_is_for_root_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(KEY);
        let made = key(&path, &SystemRandom).unwrap();
        assert_eq!(key(&path, &SystemRandom).unwrap(), made);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "short").unwrap();
        assert_ne!(key(&path, &SystemRandom).unwrap(), made);
    }

    #[test]
    fn addresses_are_with_tls() {
        assert_eq!(secure("http://localhost:3000"), "https://localhost:3000");
        assert_eq!(secure("https://box.example.com"), "https://box.example.com");
    }
}
