//! Objects in a bucket of another service, under the keys that they have here.

use std::borrow::Cow;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, GetResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload,
};
use storage::error::Answer;

use crate::disk::{Condition, Staged};
use crate::error::{S3Error, file};
use crate::key::Key;
use crate::record::{Record, Said};

/// How much of an object is in memory at a time; services take no part below 5 MiB but the last.
const PART_BYTES: u64 = 8 << 20;
/// Services take 10,000 parts of one object.
const MOST_PARTS: u64 = 9_000;

/// The bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) store: Arc<dyn ObjectStore>,
}

fn failed(action: &'static str, key: &str, error: &object_store::Error) -> S3Error {
    if matches!(error, object_store::Error::NotFound { .. }) {
        return S3Error::Missing { key: key.to_owned() };
    }
    if matches!(error, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) {
        return S3Error::Condition { key: key.to_owned() };
    }
    S3Error::Bucket { action, key: key.to_owned(), source: Answer::new(error, &[]) }
}

fn path(key: &Key) -> Result<Path, S3Error> {
    let parsed = Path::parse(key.text()).ok().filter(|path| path.as_ref() == key.text());
    parsed.ok_or(S3Error::Key {
        reason: "the bucket that is configured takes no empty segments, `.`, `..` and control characters",
    })
}

impl Bucket {
    /// Writes a file that is complete as an object.
    pub(crate) async fn commit(
        &self,
        staged: Staged,
        key: &Key,
        condition: &Condition,
        record: &mut Record,
    ) -> Result<(), S3Error> {
        let path = path(key)?;
        let attributes = attributes(&record.said);
        let is_short = record.bytes <= PART_BYTES;
        match condition {
            Condition::Always => {}
            // A short object is written under the condition itself.
            Condition::Absent if is_short => {}
            other => self.holds(key, other).await?,
        }
        let put = |error: object_store::Error| failed("write", key.text(), &error);
        let result = if is_short {
            let mode = if *condition == Condition::Absent { PutMode::Create } else { PutMode::Overwrite };
            let (_, payload) = piece(staged, 0, record.bytes).await?;
            let options = PutOptions { mode, attributes, ..PutOptions::default() };
            self.store.put_opts(&path, payload, options).await.map_err(put)?
        } else {
            let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
            let mut upload = self.store.put_multipart_opts(&path, options).await.map_err(put)?;
            match send(upload.as_mut(), staged, record.bytes, key).await {
                Ok(result) => result,
                Err(error) => {
                    // What the service keeps of it, it may forget by itself.
                    let _ = upload.abort().await;
                    return Err(error);
                }
            }
        };
        if let Some(tag) = result.e_tag {
            tag.trim_matches('"').clone_into(&mut record.etag);
        }
        Ok(())
    }

    /// Tells whether a condition holds now.
    async fn holds(&self, key: &Key, condition: &Condition) -> Result<(), S3Error> {
        let old = match self.head(key).await {
            Ok(record) => Some(record),
            Err(S3Error::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let holds = match condition {
            Condition::Always => true,
            Condition::Absent => old.is_none(),
            Condition::Tag(None) => old.is_some(),
            Condition::Tag(Some(tag)) => old.is_some_and(|old| old.etag == *tag),
        };
        if holds { Ok(()) } else { Err(S3Error::Condition { key: key.to_string() }) }
    }

    /// Returns what is known of an object.
    pub(crate) async fn head(&self, key: &Key) -> Result<Record, S3Error> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let found = self.store.get_opts(&path(key)?, options).await;
        let found = found.map_err(|error| failed("look at", key.text(), &error))?;
        Ok(Record { said: said(&found.attributes), ..record(&found.meta) })
    }

    /// Begins to read a range of an object.
    pub(crate) async fn read(&self, key: &Key, range: Range<u64>, etag: &str) -> Result<GetResult, S3Error> {
        let options = GetOptions {
            range: (!range.is_empty()).then(|| range.into()),
            // It may have been replaced since it was looked at.
            if_match: Some(format!("\"{etag}\"")),
            ..GetOptions::default()
        };
        let found = self.store.get_opts(&path(key)?, options).await;
        found.map_err(|error| failed("read", key.text(), &error))
    }

    /// Begins to read the whole of an object.
    pub(crate) async fn open(&self, key: &Key) -> Result<GetResult, S3Error> {
        self.store.get(&path(key)?).await.map_err(|error| failed("read", key.text(), &error))
    }

    /// Removes an object, which need not be there.
    pub(crate) async fn remove(&self, key: &Key) -> Result<(), S3Error> {
        match self.store.delete(&path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("remove", key.text(), &error)),
        }
    }

    /// Visits what begins with `prefix`, in no order.
    pub(crate) async fn walk(
        &self,
        prefix: &str,
        mut visit: impl FnMut(&str, Record) + Send,
    ) -> Result<(), S3Error> {
        // The library lists what is below whole segments.
        let whole = prefix.rsplit_once('/').map(|(whole, _)| Path::from(whole));
        let mut listed = self.store.list(whole.as_ref());
        while let Some(meta) = listed.try_next().await.map_err(|error| failed("list", prefix, &error))? {
            if meta.location.as_ref().starts_with(prefix) {
                visit(meta.location.as_ref(), record(&meta));
            }
        }
        Ok(())
    }
}

async fn send(
    upload: &mut dyn MultipartUpload,
    mut staged: Staged,
    bytes: u64,
    key: &Key,
) -> Result<object_store::PutResult, S3Error> {
    let part_bytes = PART_BYTES.max(bytes.div_ceil(MOST_PARTS));
    let mut from = 0;
    while from < bytes {
        let length = part_bytes.min(bytes - from);
        let (back, payload) = piece(staged, from, length).await?;
        staged = back;
        upload.put_part(payload).await.map_err(|error| failed("write", key.text(), &error))?;
        from += length;
    }
    upload.complete().await.map_err(|error| failed("write", key.text(), &error))
}

/// Reads a piece of a file that is to be sent.
async fn piece(staged: Staged, from: u64, length: u64) -> Result<(Staged, PutPayload), S3Error> {
    let read = tokio::task::spawn_blocking(move || {
        let mut piece = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        let mut file = &staged.file;
        file.seek(SeekFrom::Start(from))?;
        file.take(length).read_to_end(&mut piece)?;
        Ok((staged, PutPayload::from(piece)))
    });
    read.await.map_err(|_| S3Error::Worker)?.map_err(file("read", FilePath::new("an object")))
}

fn record(meta: &ObjectMeta) -> Record {
    let etag = meta.e_tag.clone().unwrap_or_default().trim_matches('"').to_owned();
    Record { bytes: meta.size, etag, modified_ms: meta.last_modified.timestamp_millis(), ..Record::default() }
}

fn attributes(said: &Said) -> Attributes {
    let headers = [
        (Attribute::ContentType, &said.content_type),
        (Attribute::ContentEncoding, &said.content_encoding),
        (Attribute::ContentDisposition, &said.content_disposition),
        (Attribute::ContentLanguage, &said.content_language),
        (Attribute::CacheControl, &said.cache_control),
    ];
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    let metadata = said
        .metadata
        .iter()
        .map(|(name, value)| (Attribute::Metadata(Cow::Owned(name.clone())), value.clone()));
    headers.chain(metadata).collect()
}

fn said(attributes: &Attributes) -> Said {
    let mut said = Said::default();
    for (name, value) in attributes {
        let value = value.to_string();
        match name {
            Attribute::ContentType => said.content_type = Some(value),
            Attribute::ContentEncoding => said.content_encoding = Some(value),
            Attribute::ContentDisposition => said.content_disposition = Some(value),
            Attribute::ContentLanguage => said.content_language = Some(value),
            Attribute::CacheControl => said.cache_control = Some(value),
            Attribute::Metadata(name) => {
                said.metadata.insert(name.to_string(), value);
            }
            _ => {}
        }
    }
    said
}
