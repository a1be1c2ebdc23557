//! Composition: API, engine, runner and proxy in one process, joined by function calls.
//!
//! Must not know: how any of them works. Start at [`serve::Server::start`]. Invariants: everything that was started is
//! stopped by [`serve::Server::run`]; sandboxes outlive the process.
#![forbid(unsafe_code)]

pub mod error;
mod embedded;
pub mod bootstrap;
mod neighbour;
mod claim;
mod discretion;
mod metric;
mod objects;
mod tls;
mod uploads;
mod build_log;
mod image;
mod general;
mod local;
mod events;
mod wake;
mod gate;
mod login;
mod directory;
mod adopt;
pub mod serve;

pub use claim::instance;
pub use error::ServerError;
pub use serve::Server;
