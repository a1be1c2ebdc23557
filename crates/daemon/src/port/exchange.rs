//! One request to a server inside the sandbox, streaming both ways, and the tunnel after an upgrade.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, Uri, Version};
use hop::header::{remove_hop_by_hop, upgrade};
use hop::tunnel::tunnel;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::DaemonError;
use crate::port::header;

/// How long a server may take to take a connection: one that listens has the kernel do it at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Sends a request to whoever listens on a port and returns the answer, whose body streams on. What is written in `path`
/// stays as it is, byte for byte; nothing limits how long either body is or takes.
pub async fn exchange(
    port: u16,
    path: Uri,
    mut request: Request<Body>,
) -> Result<Response<Body>, DaemonError> {
    let failed = |source| DaemonError::PortExchange { port, source };
    let stream = connect(port).await.map_err(|source| DaemonError::PortUnreachable { port, source })?;
    let asked = upgrade(request.headers());
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
        remove_hop_by_hop(response.headers_mut(), None);
        return Ok(response.map(Body::new));
    }
    let chosen = upgrade(response.headers()).or(asked);
    let server_side = hyper::upgrade::on(&mut response);
    remove_hop_by_hop(response.headers_mut(), chosen.as_ref());
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
