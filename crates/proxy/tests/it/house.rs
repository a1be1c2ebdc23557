//! A proxy with one running sandbox, its daemon, and clients that speak raw HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use proxy::{Directory, Grant, Proof, ProxyState, Refusal};
use service::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use types::{SandboxId, SystemClock};

/// The one key that is valid.
pub(crate) const KEY: &str = "good";
/// The preview token of the sandbox that runs.
pub(crate) const TOKEN: &str = "token-of-the-running-one";
/// The signing key of the sandbox that runs.
pub(crate) const SIGNING_KEY: &str = "signs-files-of-the-running-one";
/// A sandbox that runs.
pub(crate) const RUNNING: SandboxId = SandboxId::from_u128(1);
/// A sandbox that is stopped.
pub(crate) const STOPPED: SandboxId = SandboxId::from_u128(2);
/// A sandbox that should run and whose daemon is gone.
pub(crate) const GONE: SandboxId = SandboxId::from_u128(3);
/// A sandbox about which the control plane cannot answer.
pub(crate) const UNKNOWN: SandboxId = SandboxId::from_u128(4);
/// A sandbox that is paused and goes on with a call; its daemon is the running one's.
pub(crate) const ASLEEP: SandboxId = SandboxId::from_u128(5);

/// Knows the five sandboxes.
#[derive(Debug)]
pub(crate) struct FakeDirectory {
    place: PathBuf,
    touches: AtomicUsize,
    /// How often a sandbox was to be woken.
    pub(crate) wakes: AtomicUsize,
    /// Lets the next wake end.
    pub(crate) awake: Notify,
    /// What a wake ends with, when not well.
    pub(crate) refusal: std::sync::Mutex<Option<Refusal>>,
}

#[async_trait]
impl Directory for FakeDirectory {
    async fn authorize(&self, proof: Proof<'_>, sandbox: &str) -> Result<Grant, Refusal> {
        let sandbox = sandbox.parse().ok();
        let holds = match proof {
            Proof::Key(key) => key == KEY,
            Proof::Token(token) => token == TOKEN && sandbox == Some(RUNNING),
            Proof::Signature(call) => call.holds(SIGNING_KEY) && sandbox == Some(RUNNING),
        };
        if !holds {
            return Err(Refusal::Unauthorized);
        }
        match sandbox {
            Some(STOPPED) => Err(Refusal::NotRunning { state: "stopped".to_owned() }),
            Some(UNKNOWN) => Err(Refusal::Unavailable),
            Some(ASLEEP) => Ok(Grant { sandbox_id: ASLEEP, is_asleep: true }),
            Some(sandbox_id) if [RUNNING, GONE].contains(&sandbox_id) => {
                Ok(Grant { sandbox_id, is_asleep: false })
            }
            _ => Err(Refusal::NotFound),
        }
    }

    async fn wake(&self, _sandbox_id: SandboxId) -> Result<(), Refusal> {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.awake.notified().await;
        self.refusal.lock().expect("a refusal").clone().map_or(Ok(()), Err)
    }

    fn socket(&self, sandbox_id: SandboxId) -> PathBuf {
        let whose = if sandbox_id == ASLEEP { RUNNING } else { sandbox_id };
        self.place.join(whose.to_string())
    }

    fn touched(&self, _sandbox_id: SandboxId) {
        self.touches.fetch_add(1, Ordering::SeqCst);
    }
}

/// A proxy that listens on a free port.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) directory: Arc<FakeDirectory>,
    pub(crate) tasks: Tasks,
    place: tempfile::TempDir,
}

impl House {
    /// Starts a proxy without any daemon.
    pub(crate) async fn open() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let directory = Arc::new(FakeDirectory {
            place: place.path().to_owned(),
            touches: AtomicUsize::new(0),
            wakes: AtomicUsize::new(0),
            awake: Notify::new(),
            refusal: std::sync::Mutex::default(),
        });
        let tasks = Tasks::new();
        let state = ProxyState::new(directory.clone(), Arc::new(SystemClock), tasks.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tasks.spawn("listener", proxy::listen::listen(listener, proxy::router(state), tasks.clone()));
        Self { address, directory, tasks, place }
    }

    /// Starts a proxy and the running sandbox's daemon.
    pub(crate) async fn with_daemon(router: Router) -> Self {
        let house = Self::open().await;
        let listener = house.daemon_listener();
        tokio::spawn(async move { axum::serve(listener, router).await });
        house
    }

    /// Starts a proxy and a daemon that reads some bytes and answers with these, on each of its connections.
    pub(crate) async fn with_raw_daemon(answer: &'static [u8]) -> Self {
        let house = Self::open().await;
        let listener = house.daemon_listener();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer).await;
            }
        });
        house
    }

    /// Binds the running sandbox's socket, in place of an earlier one.
    pub(crate) fn daemon_listener(&self) -> UnixListener {
        let path = self.place.path().join(RUNNING.to_string());
        let _ = std::fs::remove_file(&path);
        UnixListener::bind(path).expect("a socket")
    }

    /// Returns how often a sandbox was touched.
    pub(crate) fn touches(&self) -> usize {
        self.directory.touches.load(Ordering::SeqCst)
    }

    /// Connects as a client.
    pub(crate) async fn client(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connects")
    }

    /// Sends raw bytes and returns everything that comes back until the server closes.
    pub(crate) async fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.client().await;
        stream.write_all(request).await.expect("writes");
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        // A reset after the answer is how a server may end a request that it did not read.
        let _ = tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the server closes");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends one request with the valid key and a body.
    pub(crate) async fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        self.call_without_key(method, path, &format!("authorization: Bearer {KEY}\r\n{headers}"), body).await
    }

    /// Sends one request with a body.
    pub(crate) async fn call_without_key(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Answer {
        let head = format!(
            "{method} /toolbox/{RUNNING}{path} HTTP/1.1\r\nhost: d.example\r\nconnection: close\r\n\
             content-length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        Answer::read(&self.raw(head.as_bytes()).await)
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// Reads the text of one answer.
    pub(crate) fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in `{text}`"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Self {
            status: status.unwrap_or_else(|| panic!("no status in `{text}`")),
            headers,
            body: body.to_owned(),
        }
    }

    /// Returns a header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads the body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: `{}`", self.body))
    }
}

/// Waits until a condition holds, at most ten seconds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Ends a task at the end of a test.
pub(crate) struct Ending<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
