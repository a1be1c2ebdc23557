//! Lists objects, in both versions of the protocol.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object, ObjectStorageClass,
};
use s3s::{S3ErrorCode, S3Request, S3Result};

use super::refusal::{prefix_of, refusal, scope, told};
use crate::page::{Entry, Page};
use crate::record::Record;
use crate::store::Store;

/// The most entries of a page.
const MOST: usize = 1000;
/// What stays as it is in keys that are to be encoded.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b'*');

/// A page as both versions show it.
struct Shown {
    contents: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
    /// The last entry, when there are more.
    next: Option<String>,
}

fn most(asked: Option<i32>) -> S3Result<usize> {
    let Some(asked) = asked else { return Ok(MOST) };
    let negative = |_| refusal(S3ErrorCode::InvalidArgument, "max-keys is from 0 on");
    Ok(usize::try_from(asked).map_err(negative)?.min(MOST))
}

fn is_encoded(asked: Option<&EncodingType>) -> bool {
    asked.is_some_and(|asked| asked.as_str() == EncodingType::URL)
}

fn write(text: &str, is_encoded: bool) -> String {
    if is_encoded { utf8_percent_encode(text, ENCODED).to_string() } else { text.to_owned() }
}

fn show(listed: BTreeMap<Entry, Option<Record>>, most: usize, is_encoded: bool) -> Shown {
    let is_truncated = listed.len() > most;
    let mut shown = Shown { contents: Vec::new(), prefixes: Vec::new(), next: None };
    let mut last = None;
    for (entry, record) in listed.into_iter().take(most) {
        let text = write(&entry.text, is_encoded);
        match record {
            None => shown.prefixes.push(CommonPrefix { prefix: Some(text) }),
            Some(record) => shown.contents.push(Object {
                key: Some(text),
                e_tag: Some(record.tag()),
                last_modified: Some(record.modified()),
                size: Some(i64::try_from(record.bytes).unwrap_or(i64::MAX)),
                storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                ..Object::default()
            }),
        }
        last = Some(entry.text);
    }
    shown.next = last.filter(|_| is_truncated);
    shown
}

async fn list(store: &Store, page: Page, is_encoded: bool) -> S3Result<Shown> {
    let most = page.most;
    // A page of nothing is the end.
    if most == 0 {
        return Ok(Shown { contents: Vec::new(), prefixes: Vec::new(), next: None });
    }
    let listed = store.list(page).await.map_err(told)?;
    Ok(show(listed, most, is_encoded))
}

pub(super) async fn second(
    store: &Store,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<ListObjectsV2Output> {
    let prefix = prefix_of(scope(&request)?, request.input.prefix.as_deref())?;
    let input = request.input;
    let continued = input.continuation_token.as_ref().map(|token| {
        let decoded = URL_SAFE_NO_PAD.decode(token).ok();
        let text = decoded.and_then(|decoded| String::from_utf8(decoded).ok());
        text.ok_or_else(|| refusal(S3ErrorCode::InvalidArgument, "the continuation token is none of ours"))
    });
    let continued = continued.transpose()?;
    let is_encoded = is_encoded(input.encoding_type.as_ref());
    let page = Page {
        prefix: prefix.clone(),
        delimiter: input.delimiter.clone(),
        is_continued: continued.is_some(),
        after: continued.or_else(|| input.start_after.clone()).unwrap_or_default(),
        most: most(input.max_keys)?,
    };
    let most = page.most;
    let shown = list(store, page, is_encoded).await?;
    let count = shown.contents.len() + shown.prefixes.len();
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(write(&prefix, is_encoded)),
        max_keys: i32::try_from(most).ok(),
        key_count: i32::try_from(count).ok(),
        continuation_token: input.continuation_token,
        is_truncated: Some(shown.next.is_some()),
        next_continuation_token: shown.next.map(|next| URL_SAFE_NO_PAD.encode(next)),
        contents: Some(shown.contents),
        common_prefixes: Some(shown.prefixes),
        delimiter: input.delimiter.map(|delimiter| write(&delimiter, is_encoded)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|after| write(&after, is_encoded)),
        ..ListObjectsV2Output::default()
    })
}

pub(super) async fn first(
    store: &Store,
    request: S3Request<ListObjectsInput>,
) -> S3Result<ListObjectsOutput> {
    let prefix = prefix_of(scope(&request)?, request.input.prefix.as_deref())?;
    let input = request.input;
    let is_encoded = is_encoded(input.encoding_type.as_ref());
    let page = Page {
        prefix: prefix.clone(),
        delimiter: input.delimiter.clone(),
        is_continued: true,
        after: input.marker.clone().unwrap_or_default(),
        most: most(input.max_keys)?,
    };
    let most = page.most;
    let shown = list(store, page, is_encoded).await?;
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(write(&prefix, is_encoded)),
        marker: Some(write(&input.marker.unwrap_or_default(), is_encoded)),
        max_keys: i32::try_from(most).ok(),
        is_truncated: Some(shown.next.is_some()),
        next_marker: shown.next.map(|next| write(&next, is_encoded)),
        contents: Some(shown.contents),
        common_prefixes: Some(shown.prefixes),
        delimiter: input.delimiter.map(|delimiter| write(&delimiter, is_encoded)),
        encoding_type: input.encoding_type,
        ..ListObjectsOutput::default()
    })
}
