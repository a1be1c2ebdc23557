//! Failures as the protocol tells them.

use std::io::ErrorKind;

use axum::http::StatusCode;
use s3s::{S3ErrorCode, S3Request, S3Result};
use tracing::warn;

use crate::access::Scope;
use crate::error::S3Error;
use crate::key::{self, Key};

/// What clients read in answers: the protocol's own error.
pub(super) type Refusal = s3s::S3Error;

/// Returns a failure with a code and a message.
pub(super) fn refusal(code: S3ErrorCode, message: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::with_message(code, message)
}

/// Says what a client can know of a failure; what only the operator can mend goes to the log, too.
#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
pub(super) fn told(error: S3Error) -> Refusal {
    let code = match &error {
        S3Error::Missing { .. } => S3ErrorCode::NoSuchKey,
        S3Error::NoUpload { .. } => S3ErrorCode::NoSuchUpload,
        S3Error::Part { .. } => S3ErrorCode::InvalidPart,
        S3Error::Condition { .. } => S3ErrorCode::PreconditionFailed,
        S3Error::Key { .. } => S3ErrorCode::InvalidArgument,
        S3Error::Quota { .. } => return custom("QuotaExceeded", StatusCode::FORBIDDEN, error.to_string()),
        S3Error::Digest { .. } => S3ErrorCode::BadDigest,
        S3Error::Body { reason } => return body(reason, error.to_string()),
        S3Error::Silence { .. } => S3ErrorCode::RequestTimeout,
        S3Error::Busy => S3ErrorCode::SlowDown,
        S3Error::File { source, .. } if is_full(source.kind()) => {
            warn!(error = &error as &dyn std::error::Error, "the object storage is full");
            let message = "the disk of the object storage is full; tell whoever runs this server";
            return custom("InsufficientStorage", StatusCode::INSUFFICIENT_STORAGE, message.to_owned());
        }
        S3Error::File { source, .. } if source.kind() == ErrorKind::InvalidFilename => {
            S3ErrorCode::KeyTooLongError
        }
        S3Error::File { .. } | S3Error::Bucket { .. } | S3Error::Damaged { .. } | S3Error::Worker => {
            warn!(error = &error as &dyn std::error::Error, "the object storage failed");
            // Paths of this host are nobody's business.
            let message = "the object storage failed; the log of this server says why";
            return refusal(S3ErrorCode::InternalError, message);
        }
    };
    refusal(code, error.to_string())
}

fn custom(code: &'static str, status: StatusCode, message: String) -> Refusal {
    let mut refusal = refusal(S3ErrorCode::Custom(code.into()), message);
    refusal.set_status_code(status);
    refusal
}

fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Tells apart why a body was not read to its end, by the words of the library that checks it.
fn body(reason: &str, message: String) -> Refusal {
    if reason.contains("Sha256Mismatch") {
        custom("XAmzContentSHA256Mismatch", StatusCode::BAD_REQUEST, message)
    } else if reason.contains("SignatureMismatch") {
        refusal(S3ErrorCode::SignatureDoesNotMatch, message)
    } else {
        refusal(S3ErrorCode::IncompleteBody, message)
    }
}

/// Returns whose objects a request may touch.
pub(super) fn scope<T>(request: &S3Request<T>) -> S3Result<Scope> {
    let scope = request.extensions.get::<Scope>().copied();
    scope.ok_or_else(|| refusal(S3ErrorCode::AccessDenied, "Access Denied"))
}

/// Takes a key that the caller may touch.
pub(super) fn key_of(scope: Scope, text: &str) -> S3Result<Key> {
    let key = Key::of(scope.0, text).map_err(told)?;
    key.ok_or_else(|| refusal(S3ErrorCode::AccessDenied, "Access Denied"))
}

/// Takes a prefix that the caller may list.
pub(super) fn prefix_of(scope: Scope, text: Option<&str>) -> S3Result<String> {
    let text = text.unwrap_or_default();
    if text.starts_with(&key::prefix(scope.0)) && text.len() <= 1024 {
        return Ok(text.to_owned());
    }
    Err(refusal(
        S3ErrorCode::AccessDenied,
        "Access Denied: these credentials list below the organisation's id and a slash only",
    ))
}
