//! The SSH protocol, server side: what a connection may ask for is asked of the process it runs in.
//!
//! Must not know: HTTP, the daemon, sandboxes. Whoever calls it acts as the user already: every connection has a process
//! of its own, [`serve::run`], and every client that wants files another, [`files::run`]. Nobody is authenticated here
//! (see `authentication`). Invariants: bytes are never taken from a client, nor from a program, faster than they are
//! passed on, so memory has a limit per channel and channels a limit per connection; cryptography is `ring`'s, and one
//! modern algorithm of each kind is enough, because gateways are the only clients.
#![forbid(unsafe_code)]

pub mod error;
mod encoding;
pub mod host_key;
pub mod host;
mod message;
mod cipher;
mod negotiation;
mod exchange;
mod transport;
mod authentication;
mod target;
mod arrival;
mod channel;
mod forward;
mod remote;
mod descriptor;
mod line_mode;
mod program;
mod session;
mod connection;
pub mod serve;
pub mod files;
