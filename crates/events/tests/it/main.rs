//! The events over real sockets, with a directory that the test holds.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails, also in its helpers")]

#[path = "../../src/sample.rs"]
mod sample;
mod ground;
mod connect;
mod tell;
mod hostile;
mod bounds;
