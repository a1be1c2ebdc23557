//! The SSH side of a sandbox: a process of its own for each connection, as the user.
//!
//! No port is opened for it. Only the host reaches the daemon's socket, so whoever comes this way was authenticated by
//! the gateway, and nobody is asked again (see `ssh::authentication`).

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ssh::host::Host;
use ssh::host_key::SEED_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::error::DaemonError;
use crate::execution::{Child, Executor};
use crate::program::{Launch, memory_file};

/// How many clients may be connected at a time; each costs a process.
const CONNECTIONS: usize = 64;
/// How long a process has to tell its programs that their client has gone.
const END_WITHIN: Duration = Duration::from_secs(5);
const COPY_BYTES: usize = 64 * 1024;
/// This very program, also where it has no path.
const SELF: &str = "/proc/self/exe";
const NAME: &str = "daytona-daemon";

/// What all connections of a sandbox share.
#[derive(Debug, Default)]
pub struct ShellAccess {
    /// The secret of the host key: made at the first connection, kept as long as the daemon lives, never on disk.
    seed: OnceLock<[u8; SEED_BYTES]>,
    open: Arc<AtomicUsize>,
}

/// One of the connections that may be open.
#[derive(Debug)]
struct Permit(Arc<AtomicUsize>);

impl Permit {
    fn take(open: &Arc<AtomicUsize>) -> Result<Self, DaemonError> {
        let taken = Self(Arc::clone(open));
        if open.fetch_add(1, Ordering::Relaxed) < CONNECTIONS {
            Ok(taken)
        } else {
            Err(DaemonError::TooManyShellConnections { limit: CONNECTIONS })
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A process that waits for its client.
#[derive(Debug)]
pub struct Connection {
    child: Child,
    stream: UnixStream,
    _permit: Permit,
}

/// What programs of a connection find.
#[derive(Debug)]
pub struct Place {
    /// The user's shell.
    pub shell: String,
    /// Where programs start.
    pub directory: String,
    /// Their environment.
    pub variables: BTreeMap<String, String>,
}

impl ShellAccess {
    /// Starts the process of one connection.
    pub fn open(&self, executor: &Arc<Executor>, place: Place) -> Result<Connection, DaemonError> {
        let failed = |step| move |source: std::io::Error| DaemonError::Execution { step, source };
        let permit = Permit::take(&self.open)?;
        let seed = *self.seed.get_or_init(|| {
            let mut seed = [0; SEED_BYTES];
            executor.random.fill(&mut seed);
            seed
        });
        let file_server = (SELF.to_owned(), vec![NAME.to_owned(), "sftp".to_owned()]);
        let Place { shell, directory, variables } = place;
        let host = Host { seed, shell, directory, variables, file_server };
        let document =
            serde_json::to_vec(&host).map_err(|error| failed("describe an SSH connection")(error.into()))?;
        let (ours, theirs) = StdUnixStream::pair().map_err(failed("open a socket"))?;
        ours.set_nonblocking(true).map_err(failed("open a socket"))?;
        let launch = Launch {
            title: "ssh".to_owned(),
            path: SELF.to_owned(),
            arguments: vec![NAME.to_owned(), "ssh".to_owned()],
            // Programs get theirs from the document; this process needs none, and its mark must not be inherited: what
            // a user leaves running with `nohup` or `setsid` goes on when the connection ends.
            variables: BTreeMap::new(),
            directory: "/".to_owned(),
            input: None,
            extra: vec![theirs.into(), memory_file("ssh", &document)?],
        };
        let null = OpenOptions::new().read(true).write(true).open("/dev/null");
        let null = null.map_err(failed("open /dev/null"))?;
        let child = executor.launch(&launch, [null.as_fd(); 3], false)?;
        let stream = UnixStream::from_std(ours).map_err(failed("watch a socket"))?;
        Ok(Connection { child, stream, _permit: permit })
    }
}

impl Connection {
    /// Carries bytes between the client and the process until either ends; then both do.
    pub async fn carry(self, client: impl AsyncRead + AsyncWrite + Unpin + Send) {
        let Self { mut child, stream, _permit } = self;
        let (from_client, mut to_client) = tokio::io::split(client);
        exchange(stream, from_client, &mut to_client).await;
        let _ = to_client.shutdown().await;
        // The process tells its programs and ends; one that does not is killed with everything it started.
        if tokio::time::timeout(END_WITHIN, child.wait()).await.is_ok() {
            child.leave();
        }
    }
}

/// Copies both ways until one side is done.
async fn exchange(
    process: UnixStream,
    from_client: impl AsyncRead + Unpin,
    to_client: &mut (impl AsyncWrite + Unpin),
) {
    let (from_process, mut to_process) = process.into_split();
    let mut outward = std::pin::pin!(copy(from_process, to_client));
    tokio::select! {
        () = &mut outward => {}
        () = copy(from_client, &mut to_process) => {
            // The process hears of it, and may have last words.
            let _ = to_process.shutdown().await;
            let _ = tokio::time::timeout(END_WITHIN, outward).await;
        }
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, to: &mut (impl AsyncWrite + Unpin)) {
    let mut buffer = vec![0; COPY_BYTES];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        if to.write_all(buffer.get(..bytes).unwrap_or_default()).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}
