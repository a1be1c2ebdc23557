//! The way in: a route that becomes a socket.

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{RawQuery, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use serde_json::json;
use service::Tasks;
use tokio::sync::Semaphore;
use tracing::debug;
use types::{Random, random};

use crate::directory::{Changes, Directory};
use crate::hub::Hub;
use crate::rooms::Rooms;
use crate::session::Session;
use crate::settings::Settings;

/// Bytes of a socket's id.
const ID_BYTES: usize = 10;

/// What sockets work with. Clones share everything.
#[derive(Debug, Clone)]
pub struct EventsState {
    settings: Settings,
    directory: Arc<dyn Directory>,
    random: Arc<dyn Random>,
    rooms: Arc<Rooms>,
    tasks: Tasks,
    sockets: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl EventsState {
    /// Starts to tell of `changes`.
    pub fn start(
        settings: Settings,
        directory: Arc<dyn Directory>,
        random: Arc<dyn Random>,
        changes: Changes,
        tasks: Tasks,
    ) -> Self {
        let rooms = Arc::new(Rooms::default());
        let hub = Hub::new(directory.clone(), rooms.clone());
        tasks.spawn_until_shutdown("events", hub.run(changes));
        let sockets = Arc::new(Semaphore::new(settings.sockets));
        let strangers = Arc::new(Semaphore::new(settings.strangers));
        Self { settings, directory, random, rooms, tasks, sockets, strangers }
    }
}

/// Routes `/api/socket.io`; merge it into a router that serves HTTP/1.1 with upgrades. Only sockets are served: clients
/// that would ask again and again instead are told so, as the contract's server does.
pub fn router(state: EventsState) -> Router {
    let socket = any(handle);
    Router::new().route("/api/socket.io/", socket.clone()).route("/api/socket.io", socket).with_state(state)
}

async fn handle(
    State(state): State<EventsState>,
    method: Method,
    RawQuery(query): RawQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let query = query.unwrap_or_default();
    if let Err(refusal) = check(&method, &query) {
        return refusal.answer();
    }
    let Ok(upgrade) = upgrade else { return Refused::BadRequest.answer() };
    let (Ok(place), Ok(stranger)) =
        (state.sockets.clone().try_acquire_owned(), state.strangers.clone().try_acquire_owned())
    else {
        return Refused::Full.answer();
    };
    let session = Session {
        settings: state.settings,
        directory: state.directory.clone(),
        rooms: state.rooms.clone(),
        shutdown: state.tasks.shutdown().clone(),
        wanted: value(&query, "organizationId").and_then(|id| id.parse().ok()),
        id: random::hex_token(&*state.random, ID_BYTES),
    };
    let tasks = state.tasks.clone();
    upgrade
        .max_message_size(state.settings.packet_bytes)
        .max_frame_size(state.settings.packet_bytes)
        .max_write_buffer_size(state.settings.queue_bytes.saturating_mul(2))
        .on_upgrade(move |socket| async move {
            tasks.spawn("event socket", async move {
                let id = session.id.clone();
                let end = session.run(socket, stranger).await;
                debug!("event socket {id} ended: {end:?}");
                drop(place);
            });
        })
}

/// Why a request does not become a socket; the numbers are those of Engine.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Transport,
    Session,
    Method,
    BadRequest,
    Version,
    Full,
}

/// Returns the first value of a parameter. None of those that are read here has a character to be decoded.
fn value<'query>(query: &'query str, name: &str) -> Option<&'query str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn check(method: &Method, query: &str) -> Result<(), Refused> {
    let value = |name: &str| value(query, name);
    if value("transport") != Some("websocket") {
        return Err(Refused::Transport);
    }
    if value("EIO") != Some("4") {
        return Err(Refused::Version);
    }
    // Nothing becomes a socket later: each is one from its first request on.
    if value("sid").is_some() {
        return Err(Refused::Session);
    }
    if method == Method::GET { Ok(()) } else { Err(Refused::Method) }
}

impl Refused {
    fn answer(self) -> Response {
        let (status, code, message) = match self {
            Self::Transport => (StatusCode::BAD_REQUEST, 0, "Transport unknown"),
            Self::Session => (StatusCode::BAD_REQUEST, 1, "Session ID unknown"),
            Self::Method => (StatusCode::BAD_REQUEST, 2, "Bad handshake method"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, 3, "Bad request"),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, 4, "Too many connections"),
            Self::Version => (StatusCode::BAD_REQUEST, 5, "Unsupported protocol version"),
        };
        (status, axum::Json(json!({ "code": code, "message": message }))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fresh_socket_of_version_4_is_let_in() {
        let get = |query: &str| check(&Method::GET, query);
        assert_eq!(get("source=sdk-python&sdkVersion=0.226.1&transport=websocket&EIO=4&t=1"), Ok(()));
        assert_eq!(get("EIO=4&transport=polling"), Err(Refused::Transport));
        assert_eq!(get(""), Err(Refused::Transport));
        assert_eq!(get("EIO=3&transport=websocket"), Err(Refused::Version));
        assert_eq!(get("EIO=4&transport=websocket&sid=a"), Err(Refused::Session));
        assert_eq!(check(&Method::POST, "EIO=4&transport=websocket"), Err(Refused::Method));
    }
}
