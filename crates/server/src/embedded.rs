//! The program that runs in every sandbox, carried inside this one.

use crate::error::ServerError;

static DAEMON: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/daytona-daemon"));

/// Returns the daemon's program.
pub(crate) fn daemon() -> Result<&'static [u8], ServerError> {
    if DAEMON.is_empty() { Err(ServerError::NoDaemon) } else { Ok(DAEMON) }
}
