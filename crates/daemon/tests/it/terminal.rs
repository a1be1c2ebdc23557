//! Terminals: their life, their clients, full-screen programs, and the page for browsers.

mod life;
mod client;
mod screen;
mod web;

use daemon::settings::Settings;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Socket, TestDaemon};

/// What newer SDKs offer.
const EXIT_CONTROL: &str = "X-Daytona-Pty-Exit-Control";

/// Starts a daemon whose shells read no start-up file of whoever runs the tests.
fn start() -> TestDaemon {
    TestDaemon::start_with(|settings: &mut Settings| {
        settings.home = settings.work_dir.clone();
        settings.env.insert("PS1".into(), "$ ".into());
    })
}

/// A connected client, and what it has seen.
struct Client {
    socket: Socket,
    seen: Vec<u8>,
}

impl Client {
    /// Makes a terminal as newer SDKs do, and connects to it.
    async fn create(daemon: &TestDaemon, id: &str) -> Self {
        Self::open(daemon, &format!("/process/pty/create-connect?id={id}&cols=80&rows=24"), &[EXIT_CONTROL])
            .await
    }

    async fn connect(daemon: &TestDaemon, id: &str) -> Self {
        Self::open(daemon, &format!("/process/pty/{id}/connect"), &[EXIT_CONTROL]).await
    }

    async fn open(daemon: &TestDaemon, path: &str, protocols: &[&str]) -> Self {
        let mut socket = daemon.websocket(path, protocols).await;
        assert_eq!(socket.json().await, json!({"type": "control", "status": "connected"}), "the first frame");
        Self { socket, seen: Vec::new() }
    }

    async fn type_in(&mut self, text: &str) {
        self.socket.send(Message::binary(text.as_bytes().to_vec())).await;
    }

    /// Waits until the output contains a text, and returns what came before it and has not been returned yet.
    async fn until(&mut self, text: &str) -> String {
        loop {
            let seen = self.seen.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(start) = seen {
                let before: Vec<u8> = self.seen.drain(..start + text.len()).take(start).collect();
                return String::from_utf8_lossy(&before).into_owned();
            }
            self.more().await;
        }
    }

    async fn more(&mut self) {
        match self.socket.next().await {
            Message::Binary(bytes) => self.seen.extend_from_slice(&bytes),
            other => panic!("{other:?} after {}", String::from_utf8_lossy(&self.seen)),
        }
    }

    /// Runs a command line and returns what it shows; typed text and answer are told apart by quotes in the marker.
    async fn run(&mut self, command: &str) -> String {
        self.type_in(&format!("echo be''gin; {command}; echo e''nd\r")).await;
        self.until("begin\r\n").await;
        self.until("end\r\n").await.replace("\r\n", "\n").trim_end().to_owned()
    }

    /// Reads to the end; returns the exit frame, the close code and the close reason.
    async fn end(&mut self) -> (Value, u16, Value) {
        let (payloads, code, reason) = self.socket.rest().await;
        let exit = payloads.last().and_then(|last| serde_json::from_slice(last).ok()).unwrap_or(Value::Null);
        (exit, code, serde_json::from_str(&reason).unwrap_or(Value::Null))
    }
}

/// Returns the names that are listed.
async fn listed(daemon: &TestDaemon) -> Vec<String> {
    let list = daemon.get("/process/pty").await.json();
    let sessions = list["sessions"].as_array().expect("sessions").clone();
    sessions.iter().map(|session| session["id"].as_str().expect("id").to_owned()).collect()
}
