//! The way from a client to the daemon in its sandbox: one hop, streaming both ways.
//!
//! Must not know: where sandboxes are kept, how they are made, what the daemon's calls mean. Start at
//! [`serve::router`]; a request goes through the phases in the order of the modules below. Invariants: no body is
//! buffered; a request that runs has no time limit; the caller's credentials never reach the sandbox; nothing that a
//! client or a sandbox sends can end the process.
#![forbid(unsafe_code)]

mod query;
pub mod signed;
mod remedy;
pub mod error;
pub mod directory;
mod header;
mod cors;
mod activity;
mod target;
mod authorize;
mod wake;
mod locate;
mod forbearing;
mod dial;
mod rest;
mod relay;
pub mod serve;
mod drain;
pub mod listen;

pub use directory::{Directory, Grant, Proof, Refusal};
pub use error::{ProxyError, Side};
pub use serve::{ProxyState, router};
pub use signed::SignedCall;
