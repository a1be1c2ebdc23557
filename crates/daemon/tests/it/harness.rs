//! Starts `daytona-daemon` as the runner does, and speaks HTTP to it.

use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use daemon::settings::Settings;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running daemon; dropping it ends it and everything it started.
pub(crate) struct TestDaemon {
    pub(crate) child: Child,
    pub(crate) directory: TempDir,
    pub(crate) ready: String,
    pub(crate) socket: PathBuf,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII")).unwrap_or_default()
    }

    /// Checks the status, the code and the whole shape of an error, and returns its message.
    pub(crate) fn error(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!(self.status.as_u16(), status, "{body}");
        assert_eq!(body["statusCode"], status, "{body}");
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["source"], "DAYTONA_DAEMON", "{body}");
        for field in ["error", "message", "path", "method", "timestamp"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "no `{field}` in {body}");
        }
        body["message"].as_str().expect("text").to_owned()
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The user that tests run as, as the settings name it.
fn current_user() -> String {
    format!("{}:{}", rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

impl TestDaemon {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_under(&[], change)
    }

    /// Starts the daemon behind a wrapper command, which gets the program and its argument appended.
    pub(crate) fn start_under(wrapper: &[&str], change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let socket = directory.path().join("daemon.sock");
        let work = directory.path().join("work");
        std::fs::create_dir(&work).expect("work directory");
        let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
        let (ready_reader, ready_writer) = std::io::pipe().expect("pipe");
        let path = std::env::var_os("PATH").unwrap_or_default().to_string_lossy().into_owned();
        let mut settings = Settings::from_argument(r#"{"listener_fd": 0, "ready_fd": 0}"#).expect("settings");
        settings.listener_fd = listener.as_raw_fd();
        settings.ready_fd = ready_writer.as_raw_fd();
        settings.user = current_user();
        settings.sandbox_id = "test-sandbox".into();
        settings.work_dir = Some(work.to_string_lossy().into_owned());
        settings.env.insert("PATH".into(), path);
        settings.grace_ms = 500;
        change(&mut settings);
        for descriptor in [listener.as_fd(), ready_writer.as_fd()] {
            rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty()).expect("keep open");
        }
        let argument = serde_json::to_string(&settings).expect("JSON");
        let mut words: Vec<&str> = wrapper.to_vec();
        words.extend([env!("CARGO_BIN_EXE_daytona-daemon"), &argument]);
        let child = Command::new(words[0]).args(&words[1..]).spawn().expect("start the daemon");
        drop((listener, ready_writer));
        let ready = read_line(ready_reader);
        Self { child, directory, ready, socket }
    }

    /// The directory that relative paths start from.
    pub(crate) fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    pub(crate) async fn connect(&self) -> SendRequest<Body> {
        let stream = tokio::net::UnixStream::connect(&self.socket).await.expect("connect");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("handshake");
        tokio::spawn(connection);
        sender
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        send(&mut self.connect().await, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Body::empty()).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(path).header("host", "daemon");
        self.send(request.body(body.into()).expect("request")).await
    }

    /// Posts JSON, with [`unique`] numbers.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, unique(&body.to_string())).await
    }

    /// Runs a command that must be answered; returns its exit code and output.
    pub(crate) async fn execute(&self, body: Value) -> (i64, String) {
        let answer = self.post("/process/execute", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let json = answer.json();
        (json["exitCode"].as_i64().expect("code"), json["result"].as_str().expect("result").to_owned())
    }

    /// Runs a shell command that must succeed; returns its output without the last line feed.
    pub(crate) async fn shell(&self, command: &str) -> String {
        let (code, result) = self.execute(serde_json::json!({ "command": command })).await;
        assert_eq!(code, 0, "{command}: {result}");
        result.trim_end_matches('\n').to_owned()
    }

    /// Opens a web socket that must be accepted; `protocols` are the subprotocols that are offered.
    pub(crate) async fn websocket(&self, path: &str, protocols: &[&str]) -> Socket {
        let stream = tokio::net::UnixStream::connect(&self.socket).await.expect("connect");
        let request = upgrade(path, protocols, &[]).body(()).expect("request");
        let connected = tokio_tungstenite::client_async(request, stream);
        let (stream, response) = connected.await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let protocol = response.headers().get("sec-websocket-protocol");
        let protocol = protocol.map(|value| value.to_str().expect("ASCII").to_owned());
        Socket { stream, protocol }
    }

    /// Asks for a web socket that must be refused, and returns the answer; `headers` are sent besides.
    pub(crate) async fn refused_websocket(
        &self,
        path: &str,
        protocols: &[&str],
        headers: &[(&str, &str)],
    ) -> Answer {
        let answer = self.send(upgrade(path, protocols, headers).body(Body::empty()).expect("request")).await;
        assert_ne!(answer.status, StatusCode::SWITCHING_PROTOCOLS, "{path} is not refused");
        answer
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).expect("id")).expect("id");
        rustix::process::kill_process(pid, signal).expect("signal");
    }
}

/// The client's end of a web socket; it answers pings by itself while it waits for a frame.
pub(crate) struct Socket {
    stream: WebSocketStream<tokio::net::UnixStream>,
    /// The subprotocol that was chosen.
    pub(crate) protocol: Option<String>,
}

impl Socket {
    /// Returns the next text, binary, pong or close frame; it must come.
    pub(crate) async fn next(&mut self) -> Message {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("a frame in time");
            match next.expect("a frame before the end").expect("a whole frame") {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    }

    /// Sends a frame: text, bytes, or any [`Message`].
    pub(crate) async fn send(&mut self, message: impl Into<Message>) {
        self.stream.send(message.into()).await.expect("send");
    }

    /// Returns the next text frame as JSON; it must be one.
    pub(crate) async fn json(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("not text: {other:?}"),
        }
    }

    /// Reads to the close frame; returns the payload of each text and binary frame, the code and the reason.
    pub(crate) async fn rest(&mut self) -> (Vec<Bytes>, u16, String) {
        let mut payloads = Vec::new();
        loop {
            match self.next().await {
                Message::Close(frame) => {
                    let CloseFrame { code, reason } = frame.expect("a close with a code");
                    return (payloads, code.into(), reason.to_string());
                }
                Message::Pong(_) => {}
                message => payloads.push(message.into_data()),
            }
        }
    }
}

/// A request for a web socket (RFC 6455 §4.1), with a key that is always the same.
fn upgrade(path: &str, protocols: &[&str], headers: &[(&str, &str)]) -> axum::http::request::Builder {
    let mut request = Request::builder()
        .uri(format!("ws://daemon{path}"))
        .header("host", "daemon")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
    if !protocols.is_empty() {
        request = request.header("sec-websocket-protocol", protocols.join(", "));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
}

impl Drop for TestDaemon {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(rustix::process::Signal::TERM);
            let deadline = Instant::now() + Duration::from_secs(5);
            while self.child.try_wait().is_ok_and(|status| status.is_none()) {
                if Instant::now() > deadline {
                    let _ = self.child.kill();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

pub(crate) async fn send(sender: &mut SendRequest<Body>, request: Request<Body>) -> Answer {
    let response = sender.send_request(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("the whole body").to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Reads to the line feed or the end; other test processes may hold copies of the writing end.
fn read_line(mut reader: std::io::PipeReader) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while reader.read(&mut byte).expect("ready") == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("UTF-8")
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Returns whether any process has this text, with its [`unique`] number, in its command line.
pub(crate) fn is_running(text: &str) -> bool {
    let text = unique(text);
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|entry| {
            // A zombie has an empty command line, so it does not count as running.
            std::fs::read(entry.path().join("cmdline")).ok()
        })
        .any(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(&text))
}

/// Encodes a path for a query.
pub(crate) fn encode(path: impl AsRef<Path>) -> String {
    percent_encoding::utf8_percent_encode(
        path.as_ref().to_str().expect("UTF-8"),
        percent_encoding::NON_ALPHANUMERIC,
    )
    .to_string()
}

/// Puts this process's number for `@@`: so the processes of one test run are not taken for those of another.
pub(crate) fn unique(text: &str) -> String {
    text.replace("@@", &std::process::id().to_string())
}
