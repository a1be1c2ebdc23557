//! The skeleton of a binary: its settings, its log, its background tasks and its end.
//!
//! Must not know: HTTP, sandboxes, the database. Start at [`config::load`], which turns flags, environment and file
//! into [`settings::Settings`]. Invariants: only [`environment::of_process`] reads the environment; every setting is
//! one constant of [`env`]; a secret is printed nowhere.
#![forbid(unsafe_code)]

pub mod field;
pub mod secret;
pub mod nearest;
pub mod setting;
pub mod env;
pub mod deferred;
pub mod error;
pub mod environment;
pub mod flags;
pub mod file;
pub mod values;
pub mod settings;
pub mod tls;
pub mod config;
pub mod show;
pub mod reference;
pub mod telemetry;
pub mod shutdown;
pub mod tasks;

pub use error::ServiceError;
pub use settings::Settings;
pub use tasks::Tasks;
