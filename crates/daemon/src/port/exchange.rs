//! One request to a server inside the sandbox, streaming both ways, and the tunnel after an upgrade.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, Uri, Version};
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf, copy, sink, split};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::DaemonError;
use crate::port::header;

/// How long a server may take to take a connection: one that listens has the kernel do it at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long a server may go on talking to a client that has ended.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How long a client may take to notice that the server has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// Sends a request to whoever listens on a port and returns the answer, whose body streams on. What is written in `path`
/// stays as it is, byte for byte; nothing limits how long either body is or takes.
pub async fn exchange(
    port: u16,
    path: Uri,
    mut request: Request<Body>,
) -> Result<Response<Body>, DaemonError> {
    let failed = |source| DaemonError::PortExchange { port, source };
    let stream = connect(port).await.map_err(|source| DaemonError::PortUnreachable { port, source })?;
    let asked = header::upgrade(request.headers());
    let client_side = asked.as_ref().map(|_| hyper::upgrade::on(&mut request));
    header::clean_request(request.headers_mut(), port, asked.as_ref());
    *request.uri_mut() = path;
    *request.version_mut() = Version::HTTP_11;
    let (mut sender, connection) = http1::Builder::new()
        .ignore_invalid_headers_in_responses(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    // Ends with this exchange, because nobody else has its sender: when the answer was read, or when it is given up.
    tokio::spawn(connection.with_upgrades());
    let mut response = sender.send_request(request).await.map_err(failed)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        header::remove_hop_by_hop(response.headers_mut(), None);
        return Ok(response.map(Body::new));
    }
    let chosen = header::upgrade(response.headers()).or(asked);
    let server_side = hyper::upgrade::on(&mut response);
    header::remove_hop_by_hop(response.headers_mut(), chosen.as_ref());
    if let Some(client_side) = client_side {
        tokio::spawn(tunnel(client_side, server_side));
    }
    Ok(response.map(|_| Body::empty()))
}

/// Connects to this sandbox alone, as a browser in it would: first by the older protocol.
async fn connect(port: u16) -> io::Result<TcpStream> {
    let connect = |address| async move {
        match timeout(CONNECT_WITHIN, TcpStream::connect(SocketAddr::new(address, port))).await {
            Ok(connected) => connected,
            Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
        }
    };
    let stream = match connect(IpAddr::V4(Ipv4Addr::LOCALHOST)).await {
        Ok(stream) => stream,
        // The first failure tells more: the other protocol may not be there at all.
        Err(first) => connect(IpAddr::V6(Ipv6Addr::LOCALHOST)).await.map_err(|_| first)?,
    };
    // Best effort: what is sent is the same, a little later.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Carries bytes both ways. Once the client has ended, the server may finish what it says; once the server has ended,
/// there is nobody left to carry to.
async fn tunnel(client_side: OnUpgrade, server_side: OnUpgrade) {
    let Ok((client, server)) = tokio::try_join!(client_side, server_side) else { return };
    let (mut from_client, mut to_client) = split(TokioIo::new(client));
    let (mut from_server, mut to_server) = split(TokioIo::new(server));
    let mut down = std::pin::pin!(carry(&mut from_server, &mut to_client));
    let client_ended = tokio::select! {
        () = carry(&mut from_client, &mut to_server) => true,
        () = &mut down => false,
    };
    if client_ended {
        let _ = timeout(LAST_WORDS, down).await;
    } else {
        // Closing with bytes unread would reset the connection, and the client could lose the server's last words.
        let _ = timeout(DRAIN, copy(&mut from_client, &mut sink())).await;
    }
}

/// Carries one direction and says its end. A failed read or write is an end like any other: the peer is gone.
async fn carry(from: &mut ReadHalf<TokioIo<Upgraded>>, to: &mut WriteHalf<TokioIo<Upgraded>>) {
    let _ = copy(from, to).await;
    let _ = to.shutdown().await;
}
