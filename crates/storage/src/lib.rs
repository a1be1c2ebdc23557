//! Object storage: a directory of this host, or a bucket of any S3, behind one type.
//!
//! Must not know: sandboxes beyond their ids, what objects hold, settings and their names. Start at
//! [`ObjectStorage`]. Invariants: an object is whole or not there; a key is made of ids and nothing that a user
//! wrote; no secret is in a message; calls block, and hold a bounded part of an object in memory.
#![forbid(unsafe_code)]

pub mod key;
pub mod settings;
pub mod error;
mod connect;
mod backend;
pub mod upload;
pub mod download;
pub mod client;

pub use client::ObjectStorage;
pub use connect::bucket as open_bucket;
pub use error::StorageError;
pub use key::Key;
