//! The proxy against a real HTTP server on a Unix socket that plays the daemon.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails, also in its helpers")]

mod house;
mod forward;
mod refuse;
mod signed;
mod token;
mod wake;
mod unheard;
mod hostile;
mod stream;
mod upgrade;
mod cancel;
