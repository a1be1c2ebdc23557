//! The endpoint over a socket, driven by a client that others wrote, and by hand where a client is too polite.
#![expect(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

mod harness;
mod client;
mod tenant;
mod crash;
mod context;
mod behind;
