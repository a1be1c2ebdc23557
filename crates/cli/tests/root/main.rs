//! The whole product as one process, on the real kernel: what it leaves behind, and what survives it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")]

mod serving;
mod leak;
mod restart;
