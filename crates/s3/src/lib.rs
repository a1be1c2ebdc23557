//! An S3 endpoint on the storage of this server, with temporary credentials bound to a prefix.
//!
//! Must not know: what is uploaded and who builds with it, settings and their names, the API. Start at
//! [`serve::router`], [`store::Store`] and [`credential::Issuer`]. Invariants: an object is whole or not there, also
//! after a crash; a key is a path only after it was encoded; nobody touches what is not below the id of the
//! organisation that their credential names; bodies pass in bounded memory, both ways; credentials need no table.
#![forbid(unsafe_code)]

pub mod error;
pub mod key;
pub mod credential;
mod record;
mod digest;
mod page;
mod quota;
mod disk;
pub mod uploads;
mod bucket;
mod intake;
mod outlet;
pub mod store;
pub mod context;
mod access;
mod protocol;
pub mod serve;
