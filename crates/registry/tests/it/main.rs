//! The client against a real registry, and against servers that lie.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says so by panicking")]

mod image;
mod tls;
mod real;
mod liar;
mod hostile;
mod token;
