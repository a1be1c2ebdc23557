//! Why the server does not start.

use std::io;
use std::path::PathBuf;

/// A failed action of start-up.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The binary was built without the program that runs inside sandboxes.
    #[error("find the daemon in this binary: it was built without one; build it with `cargo x`")]
    NoDaemon,
    /// A file could not be used.
    #[error("{action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// Another server uses the data directory.
    #[error("claim {}: another server uses this data directory; stop it or choose another with --data-dir", path.display())]
    DirectoryInUse { path: PathBuf },
    /// Another server uses the network.
    #[error(
        "claim network {network}: another server on this host uses it; choose another with --sandbox-network"
    )]
    NetworkInUse { network: String },
    /// All ranges of ids belong to other servers, or this server's own was taken.
    #[error(
        "claim ids from {start} on: other servers on this host use them; choose others with --id-range-start"
    )]
    IdsInUse { start: u32 },
    /// The host's links could not be read.
    #[error("find a free network for sandboxes")]
    Network { source: runner::net::NetError },
    /// The database could not be used.
    #[error("{action} in the database")]
    Store { action: &'static str, source: store::StoreError },
    /// The host could not be prepared.
    #[error("prepare this host for sandboxes")]
    Runner { source: runner::error::RunnerError },
    /// The object storage could not be opened.
    #[error("prepare the object storage")]
    Storage { source: storage::StorageError },
    /// What clients uploaded could not be opened.
    #[error("prepare what clients upload")]
    Uploads { source: s3::error::S3Error },
    /// TLS does not take a certificate or its key.
    #[error("prepare TLS")]
    Tls { source: rustls::Error },
    /// A certificate could not be made.
    #[error("make a certificate")]
    Certificate { source: rcgen::Error },
    /// The files that the operator gives hold none.
    #[error("read {} and its key: they hold no certificate and key in PEM; correct tls_certificate and tls_key", path.display())]
    NoCertificate { path: PathBuf },
    /// Nobody could log in.
    #[error("prepare to take tokens of the login provider")]
    Login { source: identity::IdentityError },
    /// A worker thread ended without an answer.
    #[error("{action}: its worker stopped")]
    Worker { action: &'static str },
    /// The port could not be used.
    #[error("listen on {address}")]
    Listen { address: std::net::SocketAddr, source: io::Error },
    /// The host's programs could not be found.
    #[error("find the path of this program")]
    OwnPath { source: io::Error },
}
