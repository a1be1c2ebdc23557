//! Uploads in parts.

use std::fs::File;
use std::path::Path;

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload,
    Part, Timestamp, UploadPartInput, UploadPartOutput,
};
use s3s::{S3ErrorCode, S3Request, S3Result, crypto};
use types::hex;

use super::object::{Announced, bounded, condition};
use super::refusal::{key_of, prefix_of, refusal, scope, told};
use crate::disk::Disk;
use crate::error::{S3Error, file};
use crate::key::Key;
use crate::record::{self, Record, Said};
use crate::store::{Incoming, Store};
use crate::uploads::{self, MOST_PARTS, Manifest};

/// Unfinished uploads of one organisation.
const MOST_UPLOADS: usize = 1000;

pub(super) async fn create(
    store: &Store,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<CreateMultipartUploadOutput> {
    let key = key_of(scope(&request)?, &request.input.key)?;
    let input = request.input;
    let manifest = Manifest {
        key: key.text().to_owned(),
        begun_ms: store.clock.now().as_millisecond(),
        said: bounded(Said {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            content_disposition: input.content_disposition,
            content_language: input.content_language,
            cache_control: input.cache_control,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        })?,
        algorithm: input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str().to_owned()),
    };
    let organization = key.organization();
    store.count(organization).await.map_err(told)?;
    let random = store.random.clone();
    let begun = store.blocking(move |disk| {
        if uploads::list(disk, organization, "", MOST_UPLOADS)?.len() >= MOST_UPLOADS {
            return Ok(None);
        }
        uploads::begin(disk, organization, &manifest, &*random).map(Some)
    });
    let too_many = || {
        let message = "the organisation has 1000 unfinished uploads; finish or abort some";
        refusal(S3ErrorCode::SlowDown, message)
    };
    let id = begun.await.map_err(told)?.ok_or_else(too_many)?;
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id),
        checksum_algorithm: input.checksum_algorithm,
        ..CreateMultipartUploadOutput::default()
    })
}

/// Returns what is known of an upload.
async fn known(store: &Store, key: &Key, id: &str) -> S3Result<Manifest> {
    let (organization, text, id) = (key.organization(), key.text().to_owned(), id.to_owned());
    store.blocking(move |disk| uploads::find(disk, organization, &text, &id)).await.map_err(told)
}

pub(super) async fn put(
    store: &Store,
    mut request: S3Request<UploadPartInput>,
) -> S3Result<UploadPartOutput> {
    let key = key_of(scope(&request)?, &request.input.key)?;
    let (id, number) = (request.input.upload_id.clone(), request.input.part_number);
    if !(1..=MOST_PARTS).contains(&number) {
        return Err(refusal(S3ErrorCode::InvalidArgument, "parts are numbered from 1 to 10000"));
    }
    let manifest = known(store, &key, &id).await?;
    let algorithm = manifest.algorithm.as_deref();
    let announced = Announced::new(&request.headers, request.input.content_md5.take(), algorithm);
    let incoming = Incoming { body: request.input.body.take(), algorithms: announced.algorithms() };
    let organization = key.organization();
    let (received, reserved) = store.receive(organization, incoming).await.map_err(told)?;
    let claims = announced.complete(request.trailing_headers.as_ref())?;
    received.digested.check(&claims).map_err(told)?;
    let record = store.record(&received, Said::default());
    let written = record.clone();
    let put = store.blocking(move |disk| {
        record::write(&received.staged.file, &written).map_err(file("write", Path::new("a record")))?;
        uploads::put(disk, organization, &id, number, received.staged)
    });
    let old = put.await.map_err(told)?;
    reserved.keep();
    if let Some(bytes) = old {
        store.ledger.gone(organization, bytes);
    }
    Ok(UploadPartOutput {
        e_tag: Some(record.tag()),
        checksum_crc32: record.checksum("crc32"),
        checksum_crc32c: record.checksum("crc32c"),
        checksum_crc64nvme: record.checksum("crc64nvme"),
        checksum_sha1: record.checksum("sha1"),
        checksum_sha256: record.checksum("sha256"),
        ..UploadPartOutput::default()
    })
}

/// Opens the parts that are named, if they are there as they are named.
fn chosen(disk: &Disk, key: &Key, id: &str, named: &[CompletedPart]) -> Result<Vec<(File, Record)>, S3Error> {
    let mut chosen = Vec::new();
    for part in named {
        let number = part.part_number.unwrap_or_default();
        let missing = || S3Error::Part { id: id.to_owned(), number };
        let (file, record) = uploads::open(disk, key.organization(), id, number)?.ok_or_else(missing)?;
        if part.e_tag.as_ref().is_some_and(|tag| tag.value() != record.etag) {
            return Err(missing());
        }
        chosen.push((file, record));
    }
    Ok(chosen)
}

/// Returns the tag of an object that came in parts: that of their digests, and how many they were.
fn tag(parts: &[(File, Record)]) -> String {
    use crypto::Checksum as _;
    let mut digest = crypto::Md5::new();
    for (_, record) in parts {
        let digits = record.etag.as_bytes().chunks(2);
        let bytes: Vec<u8> =
            digits.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
        digest.update(&bytes);
    }
    format!("{}-{}", hex::encode(&digest.finalize()), parts.len())
}

pub(super) async fn complete(
    store: &Store,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<CompleteMultipartUploadOutput> {
    let key = key_of(scope(&request)?, &request.input.key)?;
    let input = request.input;
    let condition = condition(input.if_match, input.if_none_match)?;
    let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let is_rising =
        named.iter().zip(named.iter().skip(1)).all(|(one, next)| one.part_number < next.part_number);
    if named.is_empty() || named.len() > usize::try_from(MOST_PARTS).unwrap_or_default() {
        return Err(refusal(S3ErrorCode::MalformedXML, "an object has from 1 to 10000 parts"));
    }
    if !is_rising {
        return Err(refusal(S3ErrorCode::InvalidPartOrder, "the parts are not in rising order"));
    }
    let manifest = known(store, &key, &input.upload_id).await?;
    let _turn = store.ledger.turn(key.organization()).await.map_err(told)?;
    let (wanted, id, token) = (key.clone(), input.upload_id.clone(), store.token());
    let joined = store.blocking(move |disk| {
        let parts = chosen(disk, &wanted, &id, &named)?;
        let etag = tag(&parts);
        let staged = disk.stage(&token)?;
        let bytes = uploads::join(parts, &staged).map_err(file("write", Path::new("an object")))?;
        Ok((staged, etag, bytes))
    });
    let (staged, etag, bytes) = joined.await.map_err(told)?;
    let modified_ms = store.clock.now().as_millisecond();
    let record = Record { bytes, etag, modified_ms, said: manifest.said, ..Record::default() };
    let organization = key.organization();
    let (record, replaced) = store.commit(staged, key, condition, record).await.map_err(told)?;
    let id = input.upload_id;
    // The object is there: what is left of its parts is swept some day.
    let gone = store.blocking(move |disk| uploads::forget(disk, organization, &id)).await.unwrap_or_default();
    store.joined(organization, bytes, &gone, replaced);
    Ok(CompleteMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(record.tag()),
        ..CompleteMultipartUploadOutput::default()
    })
}

pub(super) async fn abort(
    store: &Store,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<AbortMultipartUploadOutput> {
    let key = key_of(scope(&request)?, &request.input.key)?;
    let id = request.input.upload_id;
    known(store, &key, &id).await?;
    let organization = key.organization();
    let gone = store.blocking(move |disk| uploads::forget(disk, organization, &id)).await.map_err(told)?;
    for bytes in &gone {
        store.ledger.gone(organization, *bytes);
    }
    Ok(AbortMultipartUploadOutput::default())
}

pub(super) async fn list(store: &Store, request: S3Request<ListPartsInput>) -> S3Result<ListPartsOutput> {
    let key = key_of(scope(&request)?, &request.input.key)?;
    let input = request.input;
    known(store, &key, &input.upload_id).await?;
    let (organization, id) = (key.organization(), input.upload_id.clone());
    let parts = store.blocking(move |disk| uploads::parts(disk, organization, &id)).await.map_err(told)?;
    let after = input.part_number_marker.unwrap_or_default();
    let most = usize::try_from(input.max_parts.unwrap_or(1000)).unwrap_or_default().min(1000);
    let later: Vec<_> = parts.into_iter().filter(|(number, _)| *number > after).collect();
    let is_truncated = later.len() > most;
    let shown: Vec<Part> = later
        .into_iter()
        .take(most)
        .map(|(number, record)| Part {
            part_number: Some(number),
            e_tag: Some(record.tag()),
            last_modified: Some(record.modified()),
            size: i64::try_from(record.bytes).ok(),
            ..Part::default()
        })
        .collect();
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        max_parts: i32::try_from(most).ok(),
        part_number_marker: Some(after),
        next_part_number_marker: shown.last().and_then(|part| part.part_number).filter(|_| is_truncated),
        is_truncated: Some(is_truncated),
        parts: Some(shown),
        ..ListPartsOutput::default()
    })
}

/// Lists unfinished uploads: no more than there may be, so that one page holds them.
pub(super) async fn unfinished(
    store: &Store,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<ListMultipartUploadsOutput> {
    let scope = scope(&request)?;
    let prefix = prefix_of(scope, request.input.prefix.as_deref())?;
    let sought = prefix.clone();
    let listed = store.blocking(move |disk| uploads::list(disk, scope.0, &sought, MOST_UPLOADS));
    let listed = listed.await.map_err(told)?;
    let shown = listed.into_iter().map(|(id, manifest)| {
        let begun = types::clock::Timestamp::from_millisecond(manifest.begun_ms).unwrap_or_default();
        MultipartUpload {
            key: Some(manifest.key),
            upload_id: Some(id),
            initiated: Some(Timestamp::from(std::time::SystemTime::from(begun))),
            ..MultipartUpload::default()
        }
    });
    Ok(ListMultipartUploadsOutput {
        bucket: Some(request.input.bucket),
        prefix: Some(prefix),
        max_uploads: i32::try_from(MOST_UPLOADS).ok(),
        is_truncated: Some(false),
        uploads: Some(shown.collect()),
        ..ListMultipartUploadsOutput::default()
    })
}
