//! What a client can reach through the sandbox.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpStream, UnixStream};

/// Where a client wants to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A port, by name or address.
    Port {
        /// The name or the address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket in the file system.
    Path(String),
}

/// A connection to the target.
#[derive(Debug)]
pub(crate) enum Stream {
    /// To a port.
    Port(TcpStream),
    /// To a socket in the file system.
    Path(UnixStream),
}

/// Connects as any program of the sandbox would.
pub(crate) async fn connect(target: Target) -> io::Result<Stream> {
    match target {
        Target::Path(path) => UnixStream::connect(path).await.map(Stream::Path),
        Target::Port { host, port } => {
            let stream = if host == "localhost" {
                // Also where the image has no /etc/hosts.
                let both = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
                TcpStream::connect(both.map(|address| SocketAddr::new(address, port)).as_slice()).await?
            } else {
                TcpStream::connect((host.as_str(), port)).await?
            };
            // Best effort: without it small answers wait for each other.
            let _ = stream.set_nodelay(true);
            Ok(Stream::Port(stream))
        }
    }
}
