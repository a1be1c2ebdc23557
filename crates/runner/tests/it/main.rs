//! What holds without root and without a kernel to try it on: the policy files.
#![expect(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

mod policy;
