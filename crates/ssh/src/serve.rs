//! The process of one connection: `daytona-daemon ssh`, the connection at descriptor 3, what it needs to know at 4.

use std::io::Read as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use crate::connection;
use crate::error::SshError;
use crate::host::Host;

/// The inherited descriptor of the connection.
pub const CONNECTION_DESCRIPTOR: i32 = 3;
/// The inherited descriptor of a [`Host`] as JSON.
pub const HOST_DESCRIPTOR: i32 = 4;

/// Names are resolved on a thread of their own.
const THREADS: usize = 4;

/// Serves one connection until it ends. The caller must not have started a thread or opened a file.
pub fn run() -> Result<(), SshError> {
    let failed = |step| move |source: std::io::Error| SshError::Start { step, source };
    // The host key is in this process's memory: not for the user's other programs.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| failed("forbid to be traced")(error.into()))?;
    let stream = StdUnixStream::from(linux::child::inherit(CONNECTION_DESCRIPTOR)?);
    let mut document = String::new();
    std::fs::File::from(linux::child::inherit(HOST_DESCRIPTOR)?)
        .read_to_string(&mut document)
        .map_err(failed("read the settings"))?;
    let host: Host =
        serde_json::from_str(&document).map_err(|error| failed("understand the settings")(error.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS)
        .build()
        .map_err(failed("start the runtime"))?;
    let outcome = runtime.block_on(async {
        stream.set_nonblocking(true).map_err(failed("watch the connection"))?;
        let stream = tokio::net::UnixStream::from_std(stream).map_err(failed("watch the connection"))?;
        connection::serve(&stream, Arc::new(host)).await
    });
    // Without waiting for a name that a silent resolver may keep for long.
    runtime.shutdown_background();
    outcome
}
