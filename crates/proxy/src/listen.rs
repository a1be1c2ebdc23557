//! Serves a router on a TCP listener, the way the proxy needs it: upgrades, no delay, bounded heads, a clean end.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use service::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::drain::drain;

/// How long a client may take to send a request's head. It counts from the end of the request before, so it is also
/// how long an unused connection is kept, and clients that do not retry need that to be long.
const HEAD_PATIENCE: Duration = Duration::from_mins(10);
/// Most headers of one request.
const HEADER_COUNT: usize = 100;
/// Longest head of one request, in bytes.
const HEAD_LIMIT_BYTES: usize = 64 * 1024;

/// Accepts connections until shutdown begins; then lets the running requests end.
pub async fn listen(listener: TcpListener, router: Router, tasks: Tasks) {
    let router = router.layer(axum::middleware::from_fn(drain));
    let shutdown = tasks.shutdown().clone();
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let router = router.clone();
                let connection_tasks = tasks.clone();
                tasks.spawn("client connection", async move {
                    connection(stream, router, connection_tasks).await;
                });
            }
            Err(error) => pause(&error).await,
        }
    }
}

async fn connection(stream: TcpStream, router: Router, tasks: Tasks) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(error = %error, "a connection ended before it began");
        return;
    }
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_headers(HEADER_COUNT)
        .max_header_size(HEAD_LIMIT_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = tasks.shutdown().cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(error = %error, "a connection broke off");
    }
}

/// Waits when the process is out of descriptors or memory; a client that went away is no reason to.
async fn pause(error: &io::Error) {
    let is_the_clients = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    if !is_the_clients {
        warn!(error = %error, "cannot accept connections");
        sleep(Duration::from_millis(100)).await;
    }
}
