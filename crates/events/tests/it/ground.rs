//! A server on a port of its own, and a client of the protocol without a library.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use events::{Changes, Directory, EventsState, Refusal, Settings, router};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use service::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use types::sandbox::{Desired, Observed, Sandbox};
use types::snapshot::{SavedSnapshot, SnapshotChange};
use types::{OrganizationId, SandboxId, SystemRandom, Timestamp};

use crate::sample;

/// Far more than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Keys, rows, and whether anything can be asked.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) keys: Mutex<HashMap<String, OrganizationId>>,
    /// The organisations of those who logged in, by their tokens.
    pub(crate) members: Mutex<HashMap<String, Vec<OrganizationId>>>,
    pub(crate) there: Mutex<BTreeMap<SandboxId, Sandbox>>,
    pub(crate) snapshots: Mutex<Vec<SavedSnapshot>>,
    pub(crate) unavailable: Mutex<bool>,
}

#[async_trait]
impl Directory for Rows {
    async fn authenticate(
        &self,
        token: &str,
        wanted: Option<OrganizationId>,
    ) -> Result<OrganizationId, Refusal> {
        if *self.unavailable.lock().expect("lock") {
            return Err(Refusal::Unavailable);
        }
        if let Some(members) = self.members.lock().expect("lock").get(token) {
            return wanted.filter(|wanted| members.contains(wanted)).ok_or(Refusal::Unauthorized);
        }
        self.keys.lock().expect("lock").get(token).copied().ok_or(Refusal::Unauthorized)
    }

    async fn sandboxes(&self, after: Option<SandboxId>) -> Result<Vec<Sandbox>, Refusal> {
        if *self.unavailable.lock().expect("lock") {
            return Err(Refusal::Unavailable);
        }
        let rows = self.there.lock().expect("lock");
        let follows = |id: &SandboxId| after.is_none_or(|after| *id > after);
        Ok(rows.iter().filter(|(id, _)| follows(id)).take(2).map(|(_, row)| row.clone()).collect())
    }

    async fn snapshots(&self) -> Result<Vec<SavedSnapshot>, Refusal> {
        Ok(self.snapshots.lock().expect("lock").clone())
    }

    fn show_snapshot(&self, snapshot: &SavedSnapshot) -> Value {
        json!({ "id": snapshot.id.to_string(), "state": snapshot.state.as_str() })
    }

    fn show(&self, sandbox: &Sandbox) -> Value {
        json!({ "id": sandbox.id.to_string(), "state": sandbox.reported(), "labels": sandbox.labels })
    }
}

/// A server, its rows and the channel of their changes.
pub(crate) struct Ground {
    pub(crate) directory: Arc<Rows>,
    pub(crate) changes: broadcast::Sender<Sandbox>,
    pub(crate) snapshot_changes: broadcast::Sender<SnapshotChange>,
    pub(crate) tasks: Tasks,
    pub(crate) address: String,
}

pub(crate) fn organization(number: u128) -> OrganizationId {
    OrganizationId::from_u128(number)
}

/// A row; the same id and a higher generation make it change.
pub(crate) fn row(
    id: u128,
    organization: u128,
    generation: i64,
    desired: Desired,
    observed: Observed,
) -> Sandbox {
    let now = Timestamp::from_second(1_000).expect("moment");
    let made = sample::sandbox(SandboxId::from_u128(id), OrganizationId::from_u128(organization), now);
    let applied = Some(made.network.clone());
    let limits = Some(made.resources);
    Sandbox { generation, desired, observed, network_applied: applied, resources_applied: limits, ..made }
}

/// Starts a server that knows the keys `one` and `two`, of the organisations 1 and 2.
pub(crate) async fn ground(settings: Settings) -> Ground {
    ground_with(settings, 1_024, Vec::new()).await
}

pub(crate) async fn ground_with(settings: Settings, room: usize, rows: Vec<Sandbox>) -> Ground {
    let directory = Arc::new(Rows::default());
    for (key, number) in [("one", 1), ("two", 2)] {
        directory.keys.lock().expect("lock").insert(key.to_owned(), organization(number));
    }
    directory.there.lock().expect("lock").extend(rows.into_iter().map(|row| (row.id, row)));
    let changes = broadcast::Sender::new(room);
    let snapshot_changes = broadcast::Sender::new(16);
    let rows = Changes { sandboxes: changes.subscribe(), snapshots: snapshot_changes.subscribe() };
    let tasks = Tasks::new();
    let state = EventsState::start(settings, directory.clone(), Arc::new(SystemRandom), rows, tasks.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    tasks.spawn_until_shutdown("listener", async move {
        axum::serve(listener, router(state)).await.expect("serve");
    });
    Ground { directory, changes, snapshot_changes, tasks, address }
}

impl Ground {
    /// Writes a row as the store does.
    pub(crate) fn write(&self, row: &Sandbox) {
        self.directory.there.lock().expect("lock").insert(row.id, row.clone());
        let _ = self.changes.send(row.clone());
    }

    pub(crate) async fn socket(&self) -> Client {
        self.try_socket().await.expect("a socket")
    }

    pub(crate) async fn try_socket(&self) -> Result<Client, tokio_tungstenite::tungstenite::Error> {
        self.socket_with("source=test").await
    }

    /// Connects with parameters, as a client that wants one of several organisations does.
    pub(crate) async fn socket_with(
        &self,
        parameters: &str,
    ) -> Result<Client, tokio_tungstenite::tungstenite::Error> {
        let url = format!("ws://{}/api/socket.io/?{parameters}&transport=websocket&EIO=4", self.address);
        let (stream, _) = connect_async(url).await?;
        Ok(Client { stream })
    }

    /// Connects and says who it is.
    pub(crate) async fn client(&self, key: &str) -> Client {
        let mut client = self.socket().await;
        assert!(client.text().await.starts_with('0'));
        client.send(&format!("40{}", json!({ "token": key }))).await;
        let welcome = client.text().await;
        assert!(welcome.starts_with(r#"40{"sid":""#), "{welcome}");
        client
    }

    /// Waits until nothing of a socket is left.
    pub(crate) async fn no_sockets(&self) {
        timeout(PATIENCE, async {
            while self.tasks.running().contains(&"event socket") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("all sockets end");
    }
}

/// One end of a socket.
pub(crate) struct Client {
    pub(crate) stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.expect("send");
    }

    /// Returns the next text; a close becomes `close <code>`, a broken connection `gone`.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(Message::Close(frame))) => {
                    return format!("close {}", frame.map_or(0, |frame| u16::from(frame.code)));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return "gone".to_owned(),
            }
        }
    }

    /// Returns the next event, pings answered meanwhile.
    pub(crate) async fn event(&mut self) -> (String, Value) {
        loop {
            let text = self.text().await;
            if text == "2" {
                self.send("3").await;
                continue;
            }
            let body = text.strip_prefix("42").unwrap_or_else(|| panic!("no event: {text}"));
            let (name, payload): (String, Value) = serde_json::from_str(body).expect("a name and a payload");
            return (name, payload);
        }
    }
}
