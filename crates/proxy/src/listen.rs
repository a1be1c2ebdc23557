//! Serves a router on a TCP listener, the way the proxy needs it: upgrades, no delay, bounded heads, a clean end; and
//! TLS on the same port, for whoever begins with it.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use service::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::drain::drain;

/// How long a client may take to send a request's head. It counts from the end of the request before, so it is also
/// how long an unused connection is kept, and clients that do not retry need that to be long.
const HEAD_PATIENCE: Duration = Duration::from_mins(10);
/// Most headers of one request.
const HEADER_COUNT: usize = 100;
/// Longest head of one request, in bytes.
const HEAD_LIMIT_BYTES: usize = 64 * 1024;

/// How long a client may take to agree on TLS.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(30);
/// The first byte of a connection that begins with a TLS handshake. No request begins with it.
const HANDSHAKE: u8 = 0x16;

/// Accepts connections until shutdown begins; then lets the running requests end.
pub async fn listen(listener: TcpListener, router: Router, tasks: Tasks) {
    listen_secured(listener, router, tasks, None).await;
}

/// The same, and speaks TLS with whoever begins with it.
pub async fn listen_secured(
    listener: TcpListener,
    router: Router,
    tasks: Tasks,
    acceptor: Option<TlsAcceptor>,
) {
    let router = router.layer(axum::middleware::from_fn(drain));
    let shutdown = tasks.shutdown().clone();
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let router = router.clone();
                let (connection_tasks, acceptor) = (tasks.clone(), acceptor.clone());
                tasks.spawn("client connection", async move {
                    begin(stream, acceptor, router, connection_tasks).await;
                });
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Finds out how a client speaks, and serves it.
async fn begin(stream: TcpStream, acceptor: Option<TlsAcceptor>, router: Router, tasks: Tasks) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(error = %error, "a connection ended before it began");
        return;
    }
    let Some(acceptor) = acceptor else { return connection(stream, router, tasks).await };
    let shutdown = tasks.shutdown().clone();
    let mut first = [0_u8];
    let peeked = shutdown.run_until_cancelled(timeout(HEAD_PATIENCE, stream.peek(&mut first))).await;
    match peeked {
        Some(Ok(Ok(1))) if first == [HANDSHAKE] => {
            let agreed = timeout(HANDSHAKE_PATIENCE, acceptor.accept(stream));
            match shutdown.run_until_cancelled(agreed).await {
                Some(Ok(Ok(secured))) => connection(secured, router, tasks).await,
                Some(Ok(Err(error))) => debug!(error = %error, "a client and we did not agree on TLS"),
                Some(Err(_)) => debug!("a client took too long to agree on TLS"),
                None => {}
            }
        }
        Some(Ok(Ok(1))) => connection(stream, router, tasks).await,
        // It said nothing, or went.
        _ => {}
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    tasks: Tasks,
) {
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
