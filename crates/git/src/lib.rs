//! Git operations as plain functions, for a process that does one and ends.
//!
//! Must not know: HTTP, the daemon, users. Whoever calls it acts as the user already.
#![forbid(unsafe_code)]
