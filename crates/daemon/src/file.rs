//! Files of the sandbox, reached with the permissions of its user.
//!
//! Everything below blocks, and runs on threads whose file credentials are the user's (see `serve`): call it through
//! [`blocking`] only.

pub mod path;
pub mod info;
pub mod walk;
pub mod glob;
pub mod scan;
pub mod find;
pub mod copy;
pub mod change;
pub mod incoming;
pub mod replace;
pub mod outgoing;

use crate::error::DaemonError;

/// Runs a blocking file operation as the sandbox's user.
pub async fn blocking<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T, DaemonError> + Send + 'static,
) -> Result<T, DaemonError> {
    tokio::task::spawn_blocking(operation).await?
}
