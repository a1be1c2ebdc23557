//! Web sockets as the official SDKs expect them: a protocol that was offered is echoed, and every end has a code.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;

/// The longest frame that a client may send, and that one is sent: one official client takes no more than 4 MiB.
pub const FRAME_BYTES: usize = 1024 * 1024;
/// How long a client that takes nothing may take to hear how its connection ends.
pub const HEAR_WITHIN: Duration = Duration::from_mins(1);
/// How long a client has to answer a close before the connection is dropped.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Returns the protocols that a client offers, in its order (RFC 6455 §4.1).
pub fn offered(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Prepares an upgrade: bounded frames, and the first offered protocol echoed, without which some clients hang up.
pub fn prepare(upgrade: WebSocketUpgrade, headers: &HeaderMap) -> WebSocketUpgrade {
    let upgrade = upgrade.max_message_size(FRAME_BYTES).max_frame_size(FRAME_BYTES);
    match offered(headers).into_iter().next() {
        Some(protocol) => upgrade.protocols([protocol]),
        None => upgrade,
    }
}

/// Ends a connection with a code and a reason of at most 123 bytes (RFC 6455 §7.4), and waits for the client's answer; not
/// for ever for either.
pub async fn close(mut socket: WebSocket, code: u16, reason: &str) {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = reason.get(..end).unwrap_or_default().into();
    let said = socket.send(Message::Close(Some(CloseFrame { code, reason })));
    if !matches!(tokio::time::timeout(HEAR_WITHIN, said).await, Ok(Ok(()))) {
        return;
    }
    // Until the client has answered or gone: a connection that is dropped at once may lose its last frames.
    let answered = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _ = tokio::time::timeout(CLOSE_WITHIN, answered).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time passes as soon as nobody has anything to do.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_not_waited_for_for_ever() {
        let (gone, is_gone) = tokio::sync::oneshot::channel();
        let gone = std::sync::Arc::new(std::sync::Mutex::new(Some(gone)));
        let answer = move |upgrade: WebSocketUpgrade| {
            let gone = gone.lock().expect("lock").take();
            std::future::ready(upgrade.on_upgrade(async move |mut socket| {
                // More than fits on the way to the client: from now on nothing does.
                let much = socket.send(Message::Binary(vec![0; 64 * 1024].into()));
                let _ = tokio::time::timeout(Duration::from_secs(1), much).await;
                close(socket, 1000, "").await;
                let _ = gone.map(|gone| gone.send(()));
            }))
        };
        let router = axum::Router::new().route("/", axum::routing::get(answer));
        let (mut client, server) = tokio::io::duplex(1024);
        let service = hyper_util::service::TowerToHyperService::new(router);
        let server = hyper::server::conn::http1::Builder::new()
            .serve_connection(hyper_util::rt::TokioIo::new(server), service)
            .with_upgrades();
        let server = tokio::spawn(server);
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut client, request).await.expect("ask");
        let waited = tokio::time::timeout(HEAR_WITHIN * 2, is_gone).await;
        waited.expect("the client was given up").expect("by the server itself");
        drop((client, server));
    }

    #[test]
    fn offers_come_in_one_header_or_in_several() {
        let mut headers = HeaderMap::new();
        assert!(offered(&headers).is_empty());
        headers.append(SEC_WEBSOCKET_PROTOCOL, "A, B~x".parse().expect("value"));
        headers.append(SEC_WEBSOCKET_PROTOCOL, "C".parse().expect("value"));
        assert_eq!(offered(&headers), ["A", "B~x", "C"]);
    }
}
