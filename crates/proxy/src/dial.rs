//! Phase 5: a connection to the daemon, kept open and used again.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt::set_socket_send_buffer_size;
use service::Tasks;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};
use types::SandboxId;

use crate::error::ProxyError;
use crate::forbearing::Forbearing;
use crate::locate::Location;

/// One HTTP/1.1 connection to a daemon.
pub(crate) type Connection = SendRequest<Body>;

/// Connections that one sandbox may keep; more are made when needed and closed after use.
const KEPT_PER_SANDBOX: usize = 8;
/// How long an unused connection is kept.
const KEPT_FOR: Duration = Duration::from_mins(1);
/// How often unused connections are looked through.
const SWEEP_PERIOD: Duration = Duration::from_secs(10);
/// How much of an upload may be on its way to a daemon: twice as much as usual, for half as many changes between the two.
const SEND_BUFFER_BYTES: usize = 512 * 1024;
/// How long to wait for a place in a daemon's queue of connections.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);

/// The connections of all sandboxes. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    tasks: Tasks,
    kept: Arc<Mutex<Kept>>,
}

/// Connections in use stay listed: one is free again when it says that it is ready, so nobody has to hand it back.
#[derive(Debug)]
struct Kept {
    by_sandbox: HashMap<SandboxId, Vec<Entry>>,
    swept: Instant,
}

#[derive(Debug)]
struct Entry {
    connection: Connection,
    used: Instant,
}

impl Pool {
    /// Makes an empty pool whose connections are driven by `tasks`.
    pub(crate) fn new(tasks: Tasks) -> Self {
        let kept = Kept { by_sandbox: HashMap::new(), swept: Instant::now() };
        Self { tasks, kept: Arc::new(Mutex::new(kept)) }
    }

    /// Takes a free connection to the sandbox, if one is kept.
    pub(crate) fn reuse(&self, sandbox_id: SandboxId) -> Option<Connection> {
        let mut kept = self.lock();
        let entries = kept.by_sandbox.get_mut(&sandbox_id)?;
        let free = entries.iter().rposition(|entry| entry.connection.is_ready())?;
        Some(entries.swap_remove(free).connection)
    }

    /// Connects to the daemon.
    pub(crate) async fn connect(&self, location: &Location) -> Result<Connection, ProxyError> {
        let stream = connect(location).await.map_err(|source| ProxyError::Connect { source })?;
        let (connection, driver) = http1::handshake(TokioIo::new(Forbearing::new(stream)))
            .await
            .map_err(|source| ProxyError::Exchange { source })?;
        let pool = self.clone();
        let sandbox_id = location.sandbox_id;
        self.tasks.spawn("sandbox connection", async move {
            let mut driver = std::pin::pin!(driver.with_upgrades());
            let shutdown = pool.tasks.shutdown().clone();
            tokio::select! {
                // How it ended is told to the request that used it; an unused one ends when its daemon does.
                _ = driver.as_mut() => {}
                () = shutdown.cancelled() => {
                    pool.lock().by_sandbox.clear();
                    let _ = driver.await;
                }
            }
            pool.forget_closed(sandbox_id);
        });
        Ok(connection)
    }

    /// Lists a connection that is in use, to be used again when it is free.
    pub(crate) fn keep(&self, sandbox_id: SandboxId, connection: Connection) {
        if self.tasks.shutdown().is_cancelled() {
            return;
        }
        let now = Instant::now();
        let mut kept = self.lock();
        let entries = kept.by_sandbox.entry(sandbox_id).or_default();
        // A short exchange may have ended, and its connection with it, before it is listed here.
        entries.retain(|entry| !entry.connection.is_closed());
        if entries.len() < KEPT_PER_SANDBOX {
            entries.push(Entry { connection, used: now });
        }
        if now.duration_since(kept.swept) > SWEEP_PERIOD {
            kept.swept = now;
            kept.by_sandbox.retain(|_, entries| {
                let is_old = |entry: &Entry| now.duration_since(entry.used) > KEPT_FOR;
                let is_idle = |entry: &Entry| entry.connection.is_ready() || entry.connection.is_closed();
                entries.retain(|entry| !(is_idle(entry) && is_old(entry)));
                !entries.is_empty()
            });
        }
    }

    fn forget_closed(&self, sandbox_id: SandboxId) {
        let mut kept = self.lock();
        if let Some(entries) = kept.by_sandbox.get_mut(&sandbox_id) {
            entries.retain(|entry| !entry.connection.is_closed());
            if entries.is_empty() {
                kept.by_sandbox.remove(&sandbox_id);
            }
        }
    }

    /// Nothing under this lock can panic half-way, so a poisoned one still holds a sound map.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to a Unix socket. Unlike with TCP a full queue is an error at once (unix(7): EAGAIN), so it is tried again.
async fn connect(location: &Location) -> io::Result<UnixStream> {
    let deadline = Instant::now() + QUEUE_PATIENCE;
    loop {
        match UnixStream::connect(&location.socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                sleep(Duration::from_millis(2)).await;
            }
            Ok(stream) => {
                // Best effort: a host may allow less, and what is sent is the same.
                let _ = set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES);
                return Ok(stream);
            }
            failed => return failed,
        }
    }
}
