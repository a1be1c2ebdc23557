//! One socket, from its first packet to its last.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use types::OrganizationId;

use crate::directory::{Directory, Refusal};
use crate::packet::{self, Packet};
use crate::queue::Queue;
use crate::rooms::{Rooms, Seat};
use crate::settings::Settings;

/// How long a client that was refused may take to read why, and one that is let go to say goodbye.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often in a row the check of a key may go unanswered.
const UNANSWERED: u32 = 6;

/// What a socket works with.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) settings: Settings,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) shutdown: CancellationToken,
    /// The organisation that the client wants to hear of, for those who may hear of several.
    pub(crate) wanted: Option<OrganizationId>,
    /// Names the connection and, with another letter, the client's place in the namespace. Neither opens anything.
    pub(crate) id: String,
}

/// Why a socket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client left.
    Left,
    /// The client is gone, or takes nothing.
    Gone,
    /// The client did not say who it is in time.
    Late,
    /// The client has no right to be here, or no longer.
    Refused,
    /// The client sent what nobody sends, or too much of it.
    Hostile,
    /// The client was too slow for what happened.
    Slow,
    /// The server ends.
    Shutdown,
}

impl Session {
    /// Serves the socket to its end. `stranger` is given back once the client has said who it is.
    pub(crate) async fn run(self, mut socket: WebSocket, stranger: OwnedSemaphorePermit) -> End {
        let ControlFlow::Break(end) = self.phases(&mut socket, stranger).await else { return End::Left };
        let (code, reason) = match end {
            End::Left | End::Gone => return end,
            End::Late => (close_code::POLICY, "no connect packet came"),
            End::Refused => (close_code::POLICY, "unauthorized"),
            End::Hostile => (close_code::POLICY, "unexpected packet"),
            End::Slow => (close_code::AGAIN, "too slow"),
            End::Shutdown => (close_code::AWAY, "the server ends"),
        };
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let _ = timeout(FAREWELL, socket.send(Message::Close(Some(frame)))).await;
        end
    }

    async fn phases(&self, socket: &mut WebSocket, stranger: OwnedSemaphorePermit) -> ControlFlow<End> {
        self.send(socket, packet::open(&self.id, &self.settings)).await?;
        let deadline = Instant::now() + self.settings.connect_patience;
        let said = match timeout_at(deadline, self.introduction(socket)).await {
            Ok(said) => said?,
            Err(_) => return ControlFlow::Break(End::Late),
        };
        let token = packet::token(&said);
        let Some(token) = token else { return self.refuse(socket, "Unauthorized").await };
        let asked = timeout_at(deadline, self.directory.authenticate(&token, self.wanted)).await;
        let organization = match asked {
            Ok(Ok(organization)) => organization,
            Ok(Err(Refusal::Unauthorized)) => return self.refuse(socket, "Unauthorized").await,
            Ok(Err(Refusal::Unavailable)) | Err(_) => return self.refuse(socket, "Unavailable").await,
        };
        drop(stranger);
        let queue = Arc::new(Queue::new(self.settings.queue_messages, self.settings.queue_bytes));
        // Before the welcome: what happens after the client knows that it is in must not be missed.
        let most = self.settings.sockets_per_organization;
        let seat: Option<Seat> = self.rooms.join(organization, queue.clone(), most);
        let Some(_seat) = seat else { return self.refuse(socket, "Too many connections").await };
        self.send(socket, packet::welcome(&format!("{}s", self.id))).await?;
        self.tell(socket, &queue, &token, organization).await
    }

    /// Waits for the packet in which the client says who it is.
    async fn introduction(&self, socket: &mut WebSocket) -> ControlFlow<End, String> {
        let mut budget = Budget::new(self.settings.packets_per_interval);
        loop {
            let text = tokio::select! {
                text = next(socket) => text?,
                () = self.shutdown.cancelled() => return ControlFlow::Break(End::Shutdown),
            };
            budget.take()?;
            match packet::read(text.as_str()) {
                Ok(Packet::Connect(said)) => return ControlFlow::Continue(said.to_owned()),
                other => self.react(socket, other).await?,
            }
        }
    }

    /// Tells the client what happens, asks whether it is there, and whether it may be.
    async fn tell(
        &self,
        socket: &mut WebSocket,
        queue: &Queue,
        token: &str,
        organization: OrganizationId,
    ) -> ControlFlow<End> {
        let mut pings = every(self.settings.ping_interval);
        let mut checks = every(self.settings.check_period);
        let mut silent_since: Option<Instant> = None;
        let mut unanswered = 0;
        let mut budget = Budget::new(self.settings.packets_per_interval);
        loop {
            let patience = silent_since.unwrap_or_else(Instant::now) + self.settings.ping_timeout;
            tokio::select! {
                message = queue.next() => match message {
                    Some(message) => self.send(socket, message).await?,
                    None => return ControlFlow::Break(End::Slow),
                },
                text = next(socket) => {
                    let text = text?;
                    silent_since = None;
                    budget.take()?;
                    match packet::read(text.as_str()) {
                        // Nobody says twice who it is.
                        Ok(Packet::Connect(_)) => return ControlFlow::Break(End::Hostile),
                        other => self.react(socket, other).await?,
                    }
                }
                _ = pings.tick() => {
                    self.send(socket, packet::PING).await?;
                    silent_since = silent_since.or_else(|| Some(Instant::now()));
                    budget = Budget::new(self.settings.packets_per_interval);
                }
                () = sleep_until(patience), if silent_since.is_some() => return ControlFlow::Break(End::Gone),
                _ = checks.tick() => {
                    unanswered = self.check(socket, token, organization, unanswered).await?;
                }
                () = self.shutdown.cancelled() => return ControlFlow::Break(End::Shutdown),
            }
        }
    }

    /// Asks again whether the key is good; returns how often that went unanswered.
    async fn check(
        &self,
        socket: &mut WebSocket,
        token: &str,
        organization: OrganizationId,
        unanswered: u32,
    ) -> ControlFlow<End, u32> {
        let asked =
            timeout(self.settings.check_period, self.directory.authenticate(token, self.wanted)).await;
        match asked {
            Ok(Ok(still)) if still == organization => ControlFlow::Continue(0),
            Ok(Err(Refusal::Unavailable)) | Err(_) if unanswered < UNANSWERED => {
                ControlFlow::Continue(unanswered + 1)
            }
            _ => {
                self.send(socket, packet::LEAVE).await?;
                ControlFlow::Break(End::Refused)
            }
        }
    }

    /// Does what a packet asks that is allowed at any time.
    async fn react(
        &self,
        socket: &mut WebSocket,
        packet: Result<Packet<'_>, packet::Malformed>,
    ) -> ControlFlow<End> {
        match packet {
            Ok(Packet::Ping(question)) => self.send(socket, packet::pong(question)).await,
            Ok(Packet::Elsewhere(namespace)) => {
                self.send(socket, packet::refuse(namespace, "Invalid namespace")).await
            }
            Ok(Packet::Pong | Packet::Other) => ControlFlow::Continue(()),
            Ok(Packet::Close | Packet::Disconnect) => ControlFlow::Break(End::Left),
            Ok(Packet::Connect(_)) | Err(packet::Malformed) => ControlFlow::Break(End::Hostile),
        }
    }

    /// Says why a client is not let in, and gives it a moment to leave by itself.
    async fn refuse(&self, socket: &mut WebSocket, message: &str) -> ControlFlow<End> {
        self.send(socket, packet::refuse("/", message)).await?;
        let _ = timeout(FAREWELL, next(socket)).await;
        ControlFlow::Break(End::Refused)
    }

    /// Sends a message, and gives up on a client that does not take it.
    async fn send(&self, socket: &mut WebSocket, message: Utf8Bytes) -> ControlFlow<End> {
        match timeout(self.settings.write_patience, socket.send(Message::Text(message))).await {
            Ok(Ok(())) => ControlFlow::Continue(()),
            Ok(Err(_)) | Err(_) => ControlFlow::Break(End::Gone),
        }
    }
}

/// Waits for the client's next text. Giving the wait up loses nothing.
async fn next(socket: &mut WebSocket) -> ControlFlow<End, Utf8Bytes> {
    match socket.recv().await {
        Some(Ok(Message::Text(text))) => ControlFlow::Continue(text),
        // Answered by the library; they count as any other packet does.
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => ControlFlow::Continue(NOTHING),
        Some(Ok(Message::Binary(_))) => ControlFlow::Break(End::Hostile),
        Some(Ok(Message::Close(_))) => ControlFlow::Break(End::Left),
        Some(Err(_)) | None => ControlFlow::Break(End::Gone),
    }
}

/// The Engine.IO packet that says nothing.
const NOTHING: Utf8Bytes = Utf8Bytes::from_static("6");

/// How many packets a client may still send.
#[derive(Debug)]
struct Budget(u32);

impl Budget {
    const fn new(packets: u32) -> Self {
        Self(packets)
    }

    const fn take(&mut self) -> ControlFlow<End> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(End::Hostile),
        }
    }
}

/// Ticks once a period, the first time after one.
fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
