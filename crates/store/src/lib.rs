//! Rows: `types` kept in `SQLite`, and the only place that holds SQL.
//!
//! Must not know: HTTP, runners, what a state means. Start at [`db::Store::open`]; the methods of a noun are in its file,
//! noun first (`sandbox_insert`). Invariants: a sandbox row changes only by compare-and-set on its generation, so no write
//! is lost; activity alone is a fact that only moves forward and leaves the generation as it is.
#![forbid(unsafe_code)]

pub mod error;
mod column;
pub mod standing;
mod roster;
pub mod repair;
mod durable;
mod vault;
pub mod db;
pub mod organization;
pub mod user;
pub mod api_key;
pub mod snapshot;
pub mod build;
pub mod registry;
pub mod signed_preview;
pub mod warm_pool;
pub mod volume;
pub mod sandbox;

pub use db::Store;
pub use error::StoreError;
