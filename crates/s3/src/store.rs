//! Objects of all organisations: files of this host, or a bucket that this host stages for.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use s3s::dto::StreamingBlob;
use types::{Clock, OrganizationId, Random};

use crate::bucket::Bucket;
use crate::digest::{Claims, Digests};
use crate::disk::{Condition, Disk, Staged};
use crate::error::{S3Error, file};
use crate::intake::{self, Received};
use crate::key::{self, Key};
use crate::page::{Entry, Page};
use crate::quota::{Ledger, Reserved, Usage};
use crate::record::{self, Record, Said};
use crate::{outlet, uploads};

/// Bytes of chance in the names of files that are being written.
const TOKEN_BYTES: usize = 16;

/// Where objects are kept.
#[derive(Debug)]
pub struct Store {
    pub(crate) disk: Arc<Disk>,
    pub(crate) bucket: Option<Bucket>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

/// An object that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: Record,
    /// The file that holds it; a bucket is asked for it when it is read.
    file: Option<File>,
}

/// What a body is to become.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) body: Option<StreamingBlob>,
    /// Algorithms of the checksums to make.
    pub(crate) algorithms: Vec<&'static str>,
}

impl Store {
    /// Opens the directory that holds objects, or what is on its way into `bucket`, when there is one.
    pub fn open(
        directory: &Path,
        bucket: Option<Arc<dyn ObjectStore>>,
        quota_bytes: u64,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, S3Error> {
        let bucket = bucket.map(|store| Bucket { store });
        let disk = Arc::new(Disk::open(directory)?);
        Ok(Self { disk, bucket, ledger: Arc::new(Ledger::new(quota_bytes)), clock, random })
    }

    /// Does something with files on a thread that may block.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> Result<T, S3Error> + Send + 'static,
    ) -> Result<T, S3Error> {
        let disk = self.disk.clone();
        tokio::task::spawn_blocking(move || work(&disk)).await.unwrap_or(Err(S3Error::Worker))
    }

    /// Finds out what an organisation keeps, when that is not known.
    pub(crate) async fn count(&self, organization: OrganizationId) -> Result<(), S3Error> {
        if self.ledger.knows(organization) {
            return Ok(());
        }
        let mut usage = self.blocking(move |disk| disk.usage(organization)).await?;
        if let Some(bucket) = &self.bucket {
            bucket.walk(&key::prefix(organization), |_, record| usage.add(record.bytes)).await?;
        }
        self.ledger.learn(organization, usage);
        Ok(())
    }

    /// Receives a body into a file that nobody sees.
    pub(crate) async fn receive(
        &self,
        organization: OrganizationId,
        incoming: Incoming,
    ) -> Result<(Received, Reserved), S3Error> {
        self.count(organization).await?;
        let _turn = self.ledger.turn(organization).await?;
        let mut reserved = self.ledger.begin(organization)?;
        let token = self.token();
        let staged = self.blocking(move |disk| disk.stage(&token)).await?;
        let digests = Digests::new(incoming.algorithms);
        let received = intake::receive(incoming.body, staged, digests, &mut reserved).await?;
        Ok((received, reserved))
    }

    pub(crate) fn token(&self) -> String {
        types::random::hex_token(&*self.random, TOKEN_BYTES)
    }

    /// Returns the record of a body that is to become an object or a part.
    pub(crate) fn record(&self, received: &Received, said: Said) -> Record {
        Record {
            bytes: received.bytes,
            etag: received.digested.etag(),
            modified_ms: self.clock.now().as_millisecond(),
            said,
            checksums: received.digested.checksums.clone(),
        }
    }

    /// Makes what was received an object, if it is what was announced.
    pub(crate) async fn put(
        &self,
        key: Key,
        (received, reserved): (Received, Reserved),
        said: Said,
        claims: &Claims,
        condition: Condition,
    ) -> Result<Record, S3Error> {
        received.digested.check(claims)?;
        let record = self.record(&received, said);
        let organization = key.organization();
        let (record, replaced) = self.commit(received.staged, key, condition, record).await?;
        reserved.keep();
        if let Some(bytes) = replaced {
            self.ledger.gone(organization, bytes);
        }
        Ok(record)
    }

    /// Makes a written file an object; returns the size of the one that it replaces.
    pub(crate) async fn commit(
        &self,
        staged: Staged,
        key: Key,
        condition: Condition,
        mut record: Record,
    ) -> Result<(Record, Option<u64>), S3Error> {
        if let Some(bucket) = &self.bucket {
            let replaced = match bucket.head(&key).await {
                Ok(old) => Some(old.bytes),
                Err(S3Error::Missing { .. }) => None,
                Err(error) => return Err(error),
            };
            bucket.commit(staged, &key, &condition, &mut record).await?;
            return Ok((record, replaced));
        }
        self.blocking(move |disk| {
            record::write(&staged.file, &record).map_err(file("write", Path::new("a record")))?;
            let replaced = disk.commit(staged, &key, &condition)?;
            Ok((record, replaced))
        })
        .await
    }

    /// Finds an object.
    pub(crate) async fn find(&self, key: &Key) -> Result<Found, S3Error> {
        if let Some(bucket) = &self.bucket {
            return Ok(Found { record: bucket.head(key).await?, file: None });
        }
        let wanted = key.clone();
        let found = self.blocking(move |disk| disk.find(&wanted)).await?;
        let (file, record) = found.ok_or_else(|| S3Error::Missing { key: key.to_string() })?;
        Ok(Found { record, file: Some(file) })
    }

    /// Streams a range of an object that was found.
    pub(crate) async fn read(
        &self,
        key: &Key,
        found: Found,
        range: Range<u64>,
    ) -> Result<StreamingBlob, S3Error> {
        match (found.file, &self.bucket) {
            (Some(file), _) => Ok(outlet::from_file(file, range)),
            (None, Some(bucket)) => {
                Ok(outlet::from_bucket(bucket.read(key, range, &found.record.etag).await?))
            }
            (None, None) => Err(S3Error::Missing { key: key.to_string() }),
        }
    }

    /// Removes an object, which need not be there.
    pub(crate) async fn remove(&self, key: Key) -> Result<(), S3Error> {
        let organization = key.organization();
        if let Some(bucket) = &self.bucket {
            let bytes = match bucket.head(&key).await {
                Ok(record) => record.bytes,
                Err(S3Error::Missing { .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            bucket.remove(&key).await?;
            self.ledger.gone(organization, bytes);
        } else if let Some(bytes) = self.blocking(move |disk| disk.remove(&key)).await? {
            self.ledger.gone(organization, bytes);
        }
        Ok(())
    }

    /// Lists a page: one entry more than it shows, if there is one. Folded prefixes have no record.
    pub(crate) async fn list(&self, page: Page) -> Result<BTreeMap<Entry, Option<Record>>, S3Error> {
        let most = page.most + 1;
        if let Some(bucket) = &self.bucket {
            let mut first = BTreeMap::new();
            bucket
                .walk(&page.prefix.clone(), |key, record| {
                    if let Some(entry) = page.entry(key) {
                        let record = (!entry.is_prefix).then_some(record);
                        first.insert(entry, record);
                    }
                    if first.len() > most {
                        first.pop_last();
                    }
                })
                .await?;
            return Ok(first);
        }
        self.blocking(move |disk| {
            let listed = disk.list(&page.prefix, most, |key| page.entry(key))?;
            let mut shown = BTreeMap::new();
            for entry in listed {
                if entry.is_prefix {
                    shown.insert(entry, None);
                } else if let Some(record) = disk.record(&entry.text)? {
                    // One that went in the meantime is not shown.
                    shown.insert(entry, Some(record));
                }
            }
            Ok(shown)
        })
        .await
    }

    /// Removes uploads that nobody finished in time; returns how many.
    pub async fn sweep(&self) -> Result<usize, S3Error> {
        let now = self.clock.now();
        let swept = self
            .blocking(move |disk| {
                let mut swept = Vec::new();
                for (organization, id) in uploads::stale(disk, now)? {
                    swept.push((organization, uploads::forget(disk, organization, &id)?));
                }
                Ok(swept)
            })
            .await?;
        for (organization, sizes) in &swept {
            for bytes in sizes {
                self.ledger.gone(*organization, *bytes);
            }
        }
        Ok(swept.len())
    }

    /// Counts an object that was made of parts, which are gone.
    pub(crate) fn joined(&self, organization: OrganizationId, bytes: u64, parts: &[u64], old: Option<u64>) {
        let mut usage = Usage::default();
        usage.add(bytes);
        self.ledger.took(organization, usage);
        parts.iter().chain(&old).for_each(|gone| self.ledger.gone(organization, *gone));
    }
}
