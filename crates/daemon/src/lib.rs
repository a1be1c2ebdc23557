//! The process inside every sandbox: its init, and the HTTP server behind the toolbox.
//!
//! Must not know: the control plane, other sandboxes, how it came to be isolated. Start at [`serve::run`], then
//! [`http::router`]. Invariants: one thread serves, a bounded pool touches files with the user's own permissions;
//! commands run as the user in sessions of their own; whatever is kept in memory has a limit; every process that ends
//! is collected.
#![forbid(unsafe_code)]

pub mod error;
pub mod settings;
pub mod account;
pub mod environment;
pub mod reaper;
pub mod tree;
pub mod output;
pub mod program;
pub mod cause;
pub mod execution;
pub mod code;
pub mod file;
pub mod metrics;
pub mod session;
pub mod terminal;
pub mod interpreter;
pub mod language_server;
pub mod port;
pub mod shell;
pub mod daemon;
pub mod repository;
pub mod http;
pub mod serve;
