//! An S3 endpoint on the storage of this server, with temporary credentials bound to a prefix.
#![forbid(unsafe_code)]
