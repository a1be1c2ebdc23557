//! Reads multipart forms: whose boundary and fields are whatever a client sends.

use axum::body::BodyDataStream;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::BytesMut;
use multer::{Field, Multipart};

use crate::error::DaemonError;

/// A path field is a path.
const PATH_FIELD_BYTES: usize = 8 * 1024;

/// What a field of a bulk upload holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Where a file goes.
    Path,
    /// Its contents.
    File,
}

/// Reads `files[<index>].path` or `files[<index>].file`.
pub fn parse_field_name(name: &str) -> Option<(String, FieldKind)> {
    let (index, kind) = name.strip_prefix("files[")?.split_once("].")?;
    let kind = match kind {
        "path" => FieldKind::Path,
        "file" => FieldKind::File,
        _ => return None,
    };
    let is_index =
        !index.is_empty() && index.len() <= 10 && index.bytes().all(|digit| digit.is_ascii_digit());
    is_index.then(|| (index.to_owned(), kind))
}

/// Reads a field that is a path.
pub async fn read_path(field: &mut Field<'_>) -> Result<String, DaemonError> {
    let mut text = BytesMut::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken_form(&error))? {
        text.extend_from_slice(&chunk);
        if text.len() > PATH_FIELD_BYTES {
            let reason = format!("a path field has more than {PATH_FIELD_BYTES} bytes; send one path");
            return Err(DaemonError::Invalid { reason });
        }
    }
    String::from_utf8(text.to_vec()).map_err(|_| DaemonError::Invalid {
        reason: "a path field is not UTF-8; encode paths as UTF-8".to_owned(),
    })
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Returns whether a request says that its body is a form.
pub fn is_form(headers: &HeaderMap) -> bool {
    content_type(headers).trim_start().to_ascii_lowercase().starts_with("multipart/form-data")
}

/// Reads a body as a form. The body is lent: what is left of it after the form is the caller's to read.
pub fn form<'a>(headers: &HeaderMap, body: &'a mut BodyDataStream) -> Result<Multipart<'a>, DaemonError> {
    let boundary = multer::parse_boundary(content_type(headers)).map_err(|_| DaemonError::Invalid {
        reason: "this operation takes multipart/form-data with a boundary; set the content type".to_owned(),
    })?;
    Ok(Multipart::new(body, boundary))
}

/// What is told of a form that cannot be read.
pub fn broken_form(error: &multer::Error) -> DaemonError {
    DaemonError::Body { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbered_fields_are_files() {
        assert_eq!(parse_field_name("files[0].path"), Some(("0".into(), FieldKind::Path)));
        assert_eq!(parse_field_name("files[12].file"), Some(("12".into(), FieldKind::File)));
        for name in [
            "files",
            "files[].path",
            "files[x].path",
            "files[0].name",
            "files[-1].file",
            "files[99999999999].path",
        ] {
            assert_eq!(parse_field_name(name), None, "{name}");
        }
    }
}
