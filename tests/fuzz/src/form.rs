//! Multipart forms.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use daemon::error::DaemonError;
use daemon::http::form::{self, FieldKind};
use futures_util::FutureExt as _;

use crate::pieces;

/// The first line is the content type, the rest is the body.
pub fn form(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (head, body) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    let Ok(content_type) = HeaderValue::from_bytes(head) else { return };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
    let chunks: Vec<_> = pieces(body.get(1..).unwrap_or_default())
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect();
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    let _ = form::is_form(&headers);
    assert!(read(&headers, body).now_or_never().is_some(), "reading what is there waits");
}

async fn read(headers: &HeaderMap, body: Body) -> Result<(), DaemonError> {
    let mut body = body.into_data_stream();
    let mut form = form::form(headers, &mut body)?;
    while let Some(mut field) = form.next_field().await.map_err(|error| form::broken_form(&error))? {
        match field.name().and_then(form::parse_field_name) {
            Some((index, FieldKind::Path)) => {
                assert!(index.bytes().all(|digit| digit.is_ascii_digit()), "{index}");
                form::read_path(&mut field).await?;
            }
            Some((_, FieldKind::File)) | None => {
                while field.chunk().await.map_err(|error| form::broken_form(&error))?.is_some() {}
            }
        }
    }
    Ok(())
}
