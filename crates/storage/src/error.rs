//! What can go wrong with an object, and what to do about it.

use std::io;

/// Why an action failed, as far as it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There is no space left.
    Full,
    /// The access key, the secret key or what they may do is not right.
    Refused,
    /// The bucket does not exist.
    BucketMissing,
    /// The object does not exist.
    Missing,
    /// Nobody answers.
    Unreachable,
    /// Something else.
    Other,
}

impl Cause {
    /// Says what it is and what helps, to be put behind the action.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Full => ": it is full; free space where objects are kept, or archive and back up less",
            Self::Refused => {
                ": it refuses us; check the settings s3_access_key and s3_secret_key, and that they may read, \
                 write, list and delete in the bucket"
            }
            Self::BucketMissing => {
                ": its bucket does not exist; make it, or correct the setting s3_default_bucket or s3_region"
            }
            Self::Missing => ": it is not there; somebody removed it, or the storage's settings have changed",
            Self::Unreachable => {
                ": it does not answer; check the setting s3_endpoint and the network, then try again"
            }
            Self::Other => "",
        }
    }
}

/// A failed action of the object storage.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It could not be prepared.
    #[error("open the object storage at {place}")]
    Open {
        /// A directory, or an address and a bucket.
        place: String,
        /// What was answered.
        #[source]
        source: Answer,
    },
    /// Something could not be done with an object, or with all objects of a sandbox.
    #[error("{action} {key} in the object storage{}", cause.remedy())]
    Failed {
        /// What was done.
        action: &'static str,
        /// The key, or what the keys begin with.
        key: String,
        /// Why it failed.
        cause: Cause,
        /// What was answered.
        #[source]
        source: Answer,
    },
}

impl StorageError {
    /// Returns why it failed.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Open { .. } => Cause::Other,
            Self::Failed { cause, .. } => *cause,
        }
    }

    /// Finds the failure of the storage in a failure to read or write.
    pub fn of(error: io::Error) -> Result<Self, io::Error> {
        error.downcast()
    }
}

impl From<StorageError> for io::Error {
    fn from(error: StorageError) -> Self {
        Self::other(error)
    }
}

/// Most characters of an answer that are told: a service may send a page.
const MOST_TOLD: usize = 600;

/// What the storage answered, with its causes and without our keys: some services repeat them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Answer(String);

impl Answer {
    /// Writes down an answer; `secrets` are left out.
    pub fn new(error: &(dyn std::error::Error + 'static), secrets: &[String]) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            let told = next.to_string();
            // Most of them say their cause already.
            if !text.contains(&told) {
                text.push_str(": ");
                text.push_str(&told);
            }
            cause = next.source();
        }
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret.as_str(), "(redacted)");
        }
        let plain = text.chars().map(|character| if character.is_control() { ' ' } else { character });
        Self(plain.take(MOST_TOLD).collect())
    }

    fn says(&self, word: &str) -> bool {
        self.0.contains(word)
    }
}

/// Codes of services that do not know us; the last is Versity's, which says it with the status of a missing object.
const REFUSALS: [&str; 4] =
    ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "XAdminUserNotFound"];

/// Finds out why an object store failed.
pub fn cause(error: &object_store::Error, answer: &Answer) -> Cause {
    if is_full(error)
        || ["XMinioStorageFull", "InsufficientStorage", "507 Insufficient"]
            .iter()
            .any(|word| answer.says(word))
    {
        return Cause::Full;
    }
    match error {
        _ if answer.says("NoSuchBucket") => Cause::BucketMissing,
        _ if REFUSALS.iter().any(|word| answer.says(word)) => Cause::Refused,
        object_store::Error::NotFound { .. } => Cause::Missing,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            Cause::Refused
        }
        _ if is_unreachable(error) => Cause::Unreachable,
        _ => Cause::Other,
    }
}

fn causes<'error>(
    error: &'error (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'error (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

fn is_full(error: &object_store::Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

fn is_unreachable(error: &object_store::Error) -> bool {
    use object_store::client::{HttpError, HttpErrorKind};
    causes(error).filter_map(|cause| cause.downcast_ref::<HttpError>()).any(|cause| {
        matches!(
            cause.kind(),
            HttpErrorKind::Connect
                | HttpErrorKind::Timeout
                | HttpErrorKind::Interrupted
                | HttpErrorKind::Request
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Said(&'static str);

    fn generic(source: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: Box::new(source) }
    }

    #[test]
    fn causes_are_told_apart() {
        let not_found =
            |text| object_store::Error::NotFound { path: "x".to_owned(), source: Box::new(Said(text)) };
        for (error, expected) in [
            (generic(io::Error::from(io::ErrorKind::StorageFull)), Cause::Full),
            (generic(Said("status 507 Insufficient Storage")), Cause::Full),
            (not_found("<Code>NoSuchBucket</Code>"), Cause::BucketMissing),
            (not_found("<Code>NoSuchKey</Code>"), Cause::Missing),
            (generic(Said("<Code>SignatureDoesNotMatch</Code>")), Cause::Refused),
            (generic(Said("a surprise")), Cause::Other),
        ] {
            let answer = Answer::new(&error, &[]);
            assert_eq!(cause(&error, &answer), expected, "{error}");
        }
    }

    #[test]
    fn an_answer_is_bounded_and_holds_no_key() {
        let error = generic(Said("the key hunter2 of hunter2 is\nunknown"));
        let answer = Answer::new(&error, &["hunter2".to_owned(), String::new()]).to_string();
        assert_eq!(answer, "Generic S3 error: the key (redacted) of (redacted) is unknown");
        let long: &'static str = Box::leak("x".repeat(10_000).into_boxed_str());
        assert_eq!(Answer::new(&Said(long), &[]).to_string().len(), MOST_TOLD);
    }
}
