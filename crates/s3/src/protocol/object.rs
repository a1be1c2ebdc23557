//! Writes, reads, copies and removes single objects.

use std::ops::Range;

use axum::http::HeaderMap;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectsInput, DeleteObjectsOutput,
    DeletedObject, ETagCondition, Error, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    MetadataDirective, PutObjectInput, PutObjectOutput, Timestamp,
};
use s3s::{S3ErrorCode, S3Request, S3Result, TrailingHeaders};

use super::refusal::{key_of, refusal, scope, told};
use crate::digest::{ALGORITHMS, Claims};
use crate::disk::Condition;
use crate::record::{MOST_SAID_BYTES, Record, Said};
use crate::store::{Incoming, Store};

/// The most keys of one request to delete.
const MOST_DELETED: usize = 1000;

/// What a request announces of its body.
pub(super) struct Announced {
    claims: Claims,
    /// Checksums that come behind the body.
    later: Vec<&'static str>,
    also: Option<&'static str>,
}

impl Announced {
    /// Reads the announcements; `also` is an algorithm that is wanted anyway.
    pub(super) fn new(headers: &HeaderMap, md5: Option<String>, also: Option<&str>) -> Self {
        let mut claims = Claims { md5, ..Claims::default() };
        let trailers = headers.get("x-amz-trailer").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let trailers = trailers.to_ascii_lowercase();
        let mut later = Vec::new();
        for algorithm in ALGORITHMS {
            let name = format!("x-amz-checksum-{algorithm}");
            if let Some(value) = headers.get(&name).and_then(|value| value.to_str().ok()) {
                claims.checksums.insert(algorithm, value.to_owned());
            } else if trailers.split(',').any(|trailer| trailer.trim() == name) {
                later.push(algorithm);
            }
        }
        let also =
            ALGORITHMS.into_iter().find(|known| also.is_some_and(|also| also.eq_ignore_ascii_case(known)));
        Self { claims, later, also }
    }

    /// Returns the algorithms to compute.
    pub(super) fn algorithms(&self) -> Vec<&'static str> {
        let claimed = self.claims.checksums.keys().copied();
        claimed.chain(self.later.iter().copied()).chain(self.also).collect()
    }

    /// Adds what came behind the body, which is what was announced or nothing.
    pub(super) fn complete(mut self, trailing: Option<&TrailingHeaders>) -> S3Result<Claims> {
        let headers = trailing.and_then(TrailingHeaders::take).unwrap_or_default();
        for algorithm in self.later {
            let value = headers.get(format!("x-amz-checksum-{algorithm}"));
            let value = value.and_then(|value| value.to_str().ok());
            let missing = || refusal(S3ErrorCode::BadDigest, "an announced checksum did not come");
            self.claims.checksums.insert(algorithm, value.ok_or_else(missing)?.to_owned());
        }
        Ok(self.claims)
    }
}

/// Takes what a writer says of an object, if it is not too much.
pub(super) fn bounded(said: Said) -> S3Result<Said> {
    if said.bytes() > MOST_SAID_BYTES {
        let message = "headers and metadata of an object are 8 KiB at most";
        return Err(refusal(S3ErrorCode::MetadataTooLarge, message));
    }
    Ok(said)
}

/// Reads the conditions of a write.
pub(super) fn condition(
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
) -> S3Result<Condition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::Always),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (Some(ETagCondition::Any), None) => Ok(Condition::Tag(None)),
        (Some(ETagCondition::ETag(tag)), None) => Ok(Condition::Tag(Some(tag.into_value()))),
        _ => Err(refusal(
            S3ErrorCode::NotImplemented,
            "of conditions, If-Match and If-None-Match: * are built",
        )),
    }
}

pub(super) async fn put(store: &Store, mut request: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
    let key = key_of(scope(&request)?, &request.input.key)?;
    let input = &mut request.input;
    if input.write_offset_bytes.is_some() {
        return Err(refusal(S3ErrorCode::NotImplemented, "objects cannot be appended to"));
    }
    let condition = condition(input.if_match.take(), input.if_none_match.take())?;
    let said = bounded(Said {
        content_type: input.content_type.take(),
        content_encoding: input.content_encoding.take(),
        content_disposition: input.content_disposition.take(),
        content_language: input.content_language.take(),
        cache_control: input.cache_control.take(),
        metadata: input.metadata.take().unwrap_or_default().into_iter().collect(),
    })?;
    let also = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str().to_owned());
    let announced = Announced::new(&request.headers, request.input.content_md5.take(), also.as_deref());
    let incoming = Incoming { body: request.input.body.take(), algorithms: announced.algorithms() };
    let received = store.receive(key.organization(), incoming).await.map_err(told)?;
    let claims = announced.complete(request.trailing_headers.as_ref())?;
    let record = store.put(key, received, said, &claims, condition).await.map_err(told)?;
    Ok(PutObjectOutput {
        e_tag: Some(record.tag()),
        checksum_crc32: record.checksum("crc32"),
        checksum_crc32c: record.checksum("crc32c"),
        checksum_crc64nvme: record.checksum("crc64nvme"),
        checksum_sha1: record.checksum("sha1"),
        checksum_sha256: record.checksum("sha256"),
        ..PutObjectOutput::default()
    })
}

/// The conditions of a read.
struct Conditions {
    matches: Option<ETagCondition>,
    none_match: Option<ETagCondition>,
    modified_since: Option<Timestamp>,
    unmodified_since: Option<Timestamp>,
}

impl Conditions {
    fn check(&self, record: &Record) -> S3Result<()> {
        let is = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(tag) => tag.value() == record.etag,
        };
        // Dates of headers have no fractions.
        let modified = Timestamp::from(std::time::SystemTime::from(
            types::clock::Timestamp::from_second(record.modified_ms / 1000).unwrap_or_default(),
        ));
        let failed = match (&self.matches, &self.unmodified_since) {
            (Some(condition), _) => !is(condition),
            (None, Some(since)) => modified > *since,
            (None, None) => false,
        };
        if failed {
            return Err(refusal(S3ErrorCode::PreconditionFailed, "the object is another one now"));
        }
        let unchanged = match (&self.none_match, &self.modified_since) {
            (Some(condition), _) => is(condition),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        if unchanged { Err(S3ErrorCode::NotModified.into()) } else { Ok(()) }
    }
}

/// Returns the range that is asked for, and how it is told.
fn range(asked: Option<s3s::dto::Range>, record: &Record) -> S3Result<(Range<u64>, Option<String>)> {
    let Some(asked) = asked else { return Ok((0..record.bytes, None)) };
    let range = asked.check(record.bytes)?;
    let told = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), record.bytes);
    Ok((range, Some(told)))
}

fn length(range: &Range<u64>) -> i64 {
    i64::try_from(range.end.saturating_sub(range.start)).unwrap_or(i64::MAX)
}

fn one_part(asked: Option<i32>) -> S3Result<()> {
    match asked {
        None | Some(1) => Ok(()),
        Some(_) => Err(refusal(S3ErrorCode::InvalidArgument, "objects have one part")),
    }
}

pub(super) async fn get(store: &Store, request: S3Request<GetObjectInput>) -> S3Result<GetObjectOutput> {
    let key = key_of(scope(&request)?, &request.input.key)?;
    let input = request.input;
    one_part(input.part_number)?;
    let found = store.find(&key).await.map_err(told)?;
    let conditions = Conditions {
        matches: input.if_match,
        none_match: input.if_none_match,
        modified_since: input.if_modified_since,
        unmodified_since: input.if_unmodified_since,
    };
    conditions.check(&found.record)?;
    let record = found.record.clone();
    let (range, content_range) = range(input.range, &record)?;
    let is_whole = content_range.is_none();
    let content_length = length(&range);
    let body = store.read(&key, found, range).await.map_err(told)?;
    let checksum = |algorithm| if is_whole { record.checksum(algorithm) } else { None };
    Ok(GetObjectOutput {
        body: Some(body),
        content_length: Some(content_length),
        content_range,
        accept_ranges: Some("bytes".to_owned()),
        e_tag: Some(record.tag()),
        last_modified: Some(record.modified()),
        checksum_crc32: checksum("crc32"),
        checksum_crc32c: checksum("crc32c"),
        checksum_crc64nvme: checksum("crc64nvme"),
        checksum_sha1: checksum("sha1"),
        checksum_sha256: checksum("sha256"),
        content_type: record.said.content_type,
        content_encoding: record.said.content_encoding,
        content_disposition: record.said.content_disposition,
        content_language: record.said.content_language,
        cache_control: record.said.cache_control,
        metadata: Some(record.said.metadata.into_iter().collect()),
        ..GetObjectOutput::default()
    })
}

pub(super) async fn head(store: &Store, request: S3Request<HeadObjectInput>) -> S3Result<HeadObjectOutput> {
    let key = key_of(scope(&request)?, &request.input.key)?;
    let input = request.input;
    one_part(input.part_number)?;
    let record = store.find(&key).await.map_err(told)?.record;
    let conditions = Conditions {
        matches: input.if_match,
        none_match: input.if_none_match,
        modified_since: input.if_modified_since,
        unmodified_since: input.if_unmodified_since,
    };
    conditions.check(&record)?;
    let (range, content_range) = range(input.range, &record)?;
    Ok(HeadObjectOutput {
        content_length: Some(length(&range)),
        content_range,
        accept_ranges: Some("bytes".to_owned()),
        e_tag: Some(record.tag()),
        last_modified: Some(record.modified()),
        checksum_crc32: record.checksum("crc32"),
        checksum_crc32c: record.checksum("crc32c"),
        checksum_crc64nvme: record.checksum("crc64nvme"),
        checksum_sha1: record.checksum("sha1"),
        checksum_sha256: record.checksum("sha256"),
        content_type: record.said.content_type,
        content_encoding: record.said.content_encoding,
        content_disposition: record.said.content_disposition,
        content_language: record.said.content_language,
        cache_control: record.said.cache_control,
        metadata: Some(record.said.metadata.into_iter().collect()),
        ..HeadObjectOutput::default()
    })
}

pub(super) async fn delete_all(
    store: &Store,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<DeleteObjectsOutput> {
    let scope = scope(&request)?;
    let asked = request.input.delete;
    if asked.objects.len() > MOST_DELETED {
        return Err(refusal(S3ErrorCode::MalformedXML, "one request deletes 1000 objects at most"));
    }
    let is_quiet = asked.quiet.unwrap_or_default();
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for object in asked.objects {
        let removed = match key_of(scope, &object.key) {
            Ok(key) => store.remove(key).await.map_err(told),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) if is_quiet => {}
            Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() }),
            Err(error) => errors.push(Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(object.key),
                message: error.message().map(str::to_owned),
                ..Error::default()
            }),
        }
    }
    Ok(DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), ..DeleteObjectsOutput::default() })
}

/// Copies an object within what the caller may touch.
pub(super) async fn copy(
    store: &Store,
    bucket: &str,
    request: S3Request<CopyObjectInput>,
) -> S3Result<CopyObjectOutput> {
    let scope = scope(&request)?;
    let key = key_of(scope, &request.input.key)?;
    let input = request.input;
    let source = match &input.copy_source {
        CopySource::Bucket { bucket: named, key, version_id: None } if **named == *bucket => {
            key_of(scope, key)?
        }
        _ => return Err(refusal(S3ErrorCode::AccessDenied, "Access Denied")),
    };
    let found = store.find(&source).await.map_err(told)?;
    let conditions = Conditions {
        matches: input.copy_source_if_match,
        none_match: input.copy_source_if_none_match,
        modified_since: input.copy_source_if_modified_since,
        unmodified_since: input.copy_source_if_unmodified_since,
    };
    let changed = |_| refusal(S3ErrorCode::PreconditionFailed, "the source is not as the conditions say");
    conditions.check(&found.record).map_err(changed)?;
    let replaces =
        input.metadata_directive.as_ref().is_some_and(|said| said.as_str() == MetadataDirective::REPLACE);
    let said = if replaces {
        bounded(Said {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            content_disposition: input.content_disposition,
            content_language: input.content_language,
            cache_control: input.cache_control,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        })?
    } else {
        found.record.said.clone()
    };
    let whole = 0..found.record.bytes;
    let body = store.read(&source, found, whole).await.map_err(told)?;
    let incoming = Incoming { body: Some(body), algorithms: Vec::new() };
    let received = store.receive(scope.0, incoming).await.map_err(told)?;
    let claims = Claims::default();
    let record = store.put(key, received, said, &claims, Condition::Always).await.map_err(told)?;
    Ok(CopyObjectOutput {
        copy_object_result: Some(CopyObjectResult {
            e_tag: Some(record.tag()),
            last_modified: Some(record.modified()),
            ..CopyObjectResult::default()
        }),
        ..CopyObjectOutput::default()
    })
}
