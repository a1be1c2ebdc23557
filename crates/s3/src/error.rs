//! What can go wrong with an object.

use std::io;
use std::path::{Path, PathBuf};

/// A failed action of the object storage.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// A file or directory could not be worked with.
    #[error("{action} {path}")]
    File {
        /// What was done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The bucket behind this storage did not do as it was asked.
    #[error("{action} {key} in the bucket")]
    Bucket {
        /// What was done.
        action: &'static str,
        /// With which object.
        key: String,
        /// What was answered.
        #[source]
        source: storage::error::Answer,
    },
    /// A stored file is not as it was written.
    #[error("read {path}: it is damaged; remove it and upload the object again")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// There is no such object.
    #[error("no object has the key {key}")]
    Missing {
        /// The key.
        key: String,
    },
    /// There is no such upload.
    #[error("no upload has the id {id}; it was finished, aborted, or left for too long")]
    NoUpload {
        /// The id.
        id: String,
    },
    /// A part that is to be a part of an object is not there, or is not the one that is meant.
    #[error("part {number} of upload {id} is not there as it is named; upload it again")]
    Part {
        /// The upload.
        id: String,
        /// The part.
        number: i32,
    },
    /// The condition under which something was to happen does not hold.
    #[error("the object {key} is not as the condition says")]
    Condition {
        /// The key.
        key: String,
    },
    /// A key that cannot be one here.
    #[error("the key cannot be kept: {reason}")]
    Key {
        /// Why not.
        reason: &'static str,
    },
    /// The organisation keeps too much.
    #[error(
        "the organisation may keep {limit_bytes} bytes in {limit_objects} objects; delete what is no longer needed, \
         or raise the setting object_storage_quota"
    )]
    Quota {
        /// How many bytes it may keep.
        limit_bytes: u64,
        /// In how many objects and parts.
        limit_objects: u64,
    },
    /// What came is not what was announced.
    #[error("the content does not have the {digest} that was announced")]
    Digest {
        /// Which check failed.
        digest: &'static str,
    },
    /// A body broke off, or is not signed as it says.
    #[error("read the body of the request: {reason}")]
    Body {
        /// What was said of it.
        reason: String,
    },
    /// Nothing came for too long.
    #[error("nothing came for {seconds} seconds")]
    Silence {
        /// How long.
        seconds: u64,
    },
    /// Too many requests of one organisation at once.
    #[error("too many uploads at once; try again")]
    Busy,
    /// A thread that worked for a request ended early.
    #[error("the storage's thread ended before its work")]
    Worker,
}

/// Names the file that an action failed on.
pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> S3Error {
    move |source| S3Error::File { action, path: path.to_owned(), source }
}
