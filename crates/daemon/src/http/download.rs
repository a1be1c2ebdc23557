//! Files on their way out, one or many, of any size, in about a megabyte of memory.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE,
};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use daytona_wire::error::ErrorBody;
use daytona_wire::toolbox::file::FilesDownloadRequest;
use futures_util::{Stream, StreamExt as _, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::file::blocking;
use crate::file::outgoing::Outgoing;
use crate::http::extract::{LaxJson, Query};
use crate::http::failure::Failure;

/// What RFC 5987 allows in an extended value. `/` is not in it, and one SDK drops the part when it is there raw.
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What a plain quoted file name cannot carry safely.
const QUOTED: &AsciiSet = &percent_encoding::CONTROLS.add(b'"').add(b'\\').add(b'%');

/// Sends one file, or the part of it that a `Range` header asks for.
#[utoipa::path(get, path = "/files/download", operation_id = "DownloadFile", tag = "file-system",
    params(("path" = String, Query, description = "The file")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, body = Vec<u8>, content_type = "application/octet-stream"), (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 416, body = ErrorBody)))]
pub async fn download(
    State(daemon): State<Arc<Daemon>>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, DaemonError> {
    let path = daemon.origin.resolve("read", query.required("path")?)?;
    let outgoing = blocking(move || Outgoing::open(&path)).await?;
    let length = outgoing.length_bytes();
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
    let (status, start, end) = match parse_range(range, length) {
        Wanted::All => (StatusCode::OK, 0, length),
        Wanted::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
        Wanted::Nothing => {
            let path = outgoing.path().to_string_lossy().into_owned();
            let mut response =
                DaemonError::RangeNotSatisfiable { path, length_bytes: length }.into_response();
            insert(&mut response, CONTENT_RANGE, &format!("bytes */{length}"));
            return Ok(response);
        }
    };
    let name = outgoing.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut response = (status, Body::from_stream(pieces(outgoing, start, end))).into_response();
    insert(&mut response, CONTENT_TYPE, "application/octet-stream");
    insert(&mut response, CONTENT_LENGTH, &(end - start).to_string());
    insert(&mut response, ACCEPT_RANGES, "bytes");
    insert(&mut response, CONTENT_DISPOSITION, &format!("attachment; {}", file_name(&name)));
    if status == StatusCode::PARTIAL_CONTENT {
        insert(&mut response, CONTENT_RANGE, &format!("bytes {start}-{}/{length}", end - 1));
    }
    Ok(response)
}

/// Sends many files as the parts of a form; a file that cannot be read becomes a part that says why.
#[utoipa::path(post, path = "/files/bulk-download", operation_id = "DownloadFiles", tag = "file-system",
    request_body = FilesDownloadRequest,
    responses((status = 200, body = Vec<u8>, content_type = "multipart/form-data"), (status = 400, body = ErrorBody)))]
pub async fn bulk_download(
    State(daemon): State<Arc<Daemon>>,
    method: Method,
    uri: Uri,
    LaxJson(request): LaxJson<FilesDownloadRequest>,
) -> Result<Response, DaemonError> {
    if request.paths.is_empty() {
        let reason = "`paths` cannot be empty; name at least one file".to_owned();
        return Err(DaemonError::Invalid { reason });
    }
    // Random, so that no file can contain it by design.
    let boundary = format!("DAYTONA-FILE-BOUNDARY-{}", daemon.token());
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let closing = Bytes::from(format!("--{boundary}--\r\n"));
    let parts = stream::iter(request.paths)
        .then(move |requested| {
            let (daemon, boundary) = (Arc::clone(&daemon), boundary.clone());
            let (method, uri) = (method.clone(), uri.clone());
            async move { part(&daemon, &boundary, &requested, &method, &uri).await }
        })
        .flatten()
        .chain(stream::once(async { Ok(closing) }));
    let mut response = Body::from_stream(parts).into_response();
    insert(&mut response, CONTENT_TYPE, &content_type);
    Ok(response)
}

async fn part(
    daemon: &Daemon,
    boundary: &str,
    requested: &str,
    method: &Method,
    uri: &Uri,
) -> impl Stream<Item = Result<Bytes, DaemonError>> + use<> {
    let opened = match daemon.origin.resolve("read", requested) {
        Ok(path) => blocking(move || Outgoing::open(&path)).await,
        Err(error) => Err(error),
    };
    let (name, kind, length, contents) = match opened {
        Ok(outgoing) => {
            let length = outgoing.length_bytes();
            ("file", "application/octet-stream", length, pieces(outgoing, 0, length).left_stream())
        }
        Err(error) => {
            let body = Failure::from(error).body(method, uri, daemon.clock.now());
            let json = Bytes::from(serde_json::to_vec(&body).unwrap_or_default());
            let length = json.len() as u64;
            ("error", "application/json", length, stream::once(async { Ok(json) }).right_stream())
        }
    };
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; {}\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\n\r\n",
        file_name(requested)
    );
    stream::once(async { Ok(Bytes::from(head)) })
        .chain(contents)
        .chain(stream::once(async { Ok(Bytes::from("\r\n")) }))
}

/// Delivers a file from `start` up to `end`; one piece is read ahead of what the client has taken.
fn pieces(outgoing: Outgoing, start: u64, end: u64) -> impl Stream<Item = Result<Bytes, DaemonError>> {
    let read = move |offset: u64| {
        let outgoing = outgoing.clone();
        (offset < end).then(|| tokio::task::spawn_blocking(move || outgoing.read(offset, end)))
    };
    let first: Option<Ahead> = None;
    stream::try_unfold((first, start), move |(ahead, offset)| {
        let reading = ahead.or_else(|| read(offset));
        let read = read.clone();
        async move {
            let Some(reading) = reading else { return Ok(None) };
            let piece = reading.await??;
            let next = offset + piece.len() as u64;
            Ok(Some((piece, (read(next), next))))
        }
    })
}

/// A piece on its way from the disk.
type Ahead = tokio::task::JoinHandle<Result<Bytes, DaemonError>>;

/// Writes a file name twice: for readers of plain names, and exactly, for readers of RFC 5987.
fn file_name(name: &str) -> String {
    // A name that needs no escape is the same in both, so that readers of the plain one get it exactly.
    let quoted = utf8_percent_encode(name, QUOTED).to_string().replace("%25", "%");
    let extended = percent_encode(name.as_bytes(), EXTENDED);
    format!("filename=\"{quoted}\"; filename*=utf-8''{extended}")
}

/// Which bytes of a file a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Everything: no range was asked for, or none that this server knows.
    All,
    /// From the first number up to the second.
    Part(u64, u64),
    /// A range without a byte in it.
    Nothing,
}

/// Reads `bytes=a-b`, `bytes=a-` or `bytes=-n`.
fn parse_range(text: &str, length: u64) -> Wanted {
    let bounds = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let Some((first, last)) = bounds.map(|(first, last)| (first.trim(), last.trim())) else {
        return Wanted::All;
    };
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if last >= first => (first, last.saturating_add(1).min(length)),
        (Ok(first), Err(_)) if last.is_empty() => (first, length),
        (Err(_), Ok(suffix)) if first.is_empty() => (length - suffix.min(length), length),
        _ => return Wanted::All,
    };
    if start < end { Wanted::Part(start, end) } else { Wanted::Nothing }
}

fn insert(response: &mut Response, name: axum::http::HeaderName, value: &str) {
    // Values are made of numbers and escaped names, so they are always valid.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_plainly_and_exactly() {
        assert_eq!(file_name("a/b.txt"), "filename=\"a/b.txt\"; filename*=utf-8''a%2Fb.txt");
        assert_eq!(
            file_name("é \"q\"\r\n.txt"),
            "filename=\"%C3%A9 %22q%22%0D%0A.txt\"; filename*=utf-8''%C3%A9%20%22q%22%0D%0A.txt"
        );
        assert_eq!(file_name("100%"), "filename=\"100%\"; filename*=utf-8''100%25");
    }

    #[test]
    fn ranges_follow_the_standard() {
        for (text, expected) in [
            ("bytes=0-3", Wanted::Part(0, 4)),
            ("bytes=5-", Wanted::Part(5, 10)),
            ("bytes=-4", Wanted::Part(6, 10)),
            ("bytes=-99", Wanted::Part(0, 10)),
            ("bytes=8-99", Wanted::Part(8, 10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=3-2", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=x-1", Wanted::All),
            ("lines=0-1", Wanted::All),
            ("", Wanted::All),
            ("bytes=18446744073709551615-18446744073709551615", Wanted::Nothing),
        ] {
            assert_eq!(parse_range(text, 10), expected, "{text}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Wanted::Nothing);
    }
}
