//! One client of a terminal: frames in and out until either side ends.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use daytona_wire::toolbox::terminal::{Control, PtyExit, Status};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};

use crate::http::socket::{HEAR_WITHIN, close, offered, prepare};
use crate::terminal::Attachment;
use crate::terminal::feed::{News, Viewer};
use crate::terminal::shell::{Shell, Unread};

/// Offered by clients that want to hear of the shell's end in a frame, and not only in the close.
const EXIT_PROTOCOL: &str = "X-Daytona-Pty-Exit-Control";
/// The longest input frame of the contract.
const INPUT_BYTES: usize = 64 * 1024;
/// How long the last words of a client that has closed are waited for.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// What close codes mean (RFC 6455 §7.4.1).
mod code {
    pub(super) const NORMAL: u16 = 1000;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const TOO_BIG: u16 = 1009;
    pub(super) const ERROR: u16 = 1011;
}

/// Why a connection ends.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The client has gone, or has asked to.
    Gone,
    /// The client takes too little of what is shown.
    TooSlow,
    /// The client sends more than the program reads.
    Unread,
    /// The client has sent a frame that is too long.
    TooBig,
    /// The shell has ended with this exit code.
    Exited(i32),
}

/// Accepts a client.
pub fn answer(upgrade: WebSocketUpgrade, headers: &HeaderMap, attachment: Attachment) -> Response {
    let hears_exit = offered(headers).iter().any(|protocol| protocol == EXIT_PROTOCOL);
    let mut upgrade = prepare(upgrade, headers);
    if hears_exit {
        // Rather than whatever else is offered: the variables of the shell, for example.
        upgrade = upgrade.protocols([EXIT_PROTOCOL]);
    }
    upgrade.on_upgrade(move |socket| async move {
        let Attachment { viewer, shell } = attachment;
        let (mut sink, stream) = socket.split();
        let shown = async {
            match sink.send(text(&Control { status: Status::Connected })).await {
                Ok(()) => show(&mut sink, viewer).await,
                Err(_) => End::Gone,
            }
        };
        let (end, stream) = race(shown, stream, |message| type_in(&shell, message)).await;
        drop(shell);
        finish(sink, stream, end, hears_exit).await;
    })
}

/// Shows output and reads frames until one of both ends.
pub async fn race<F: Future<Output = Result<(), Unread>>>(
    shown: impl Future<Output = End>,
    mut stream: SplitStream<WebSocket>,
    mut take: impl FnMut(Message) -> F,
) -> (End, SplitStream<WebSocket>) {
    let read = async {
        loop {
            let message = match stream.next().await {
                Some(Ok(Message::Close(_))) | None => return End::Gone,
                // The library says only that it was too long or not a frame; neither can be read on from.
                Some(Err(_)) => return End::TooBig,
                Some(Ok(message)) => message,
            };
            let length = match &message {
                Message::Text(text) => text.len(),
                Message::Binary(bytes) => bytes.len(),
                _ => continue,
            };
            if length > INPUT_BYTES {
                return End::TooBig;
            }
            if take(message).await.is_err() {
                return End::Unread;
            }
        }
    };
    let end = tokio::select! {
        biased;
        end = shown => end,
        end = read => end,
    };
    (end, stream)
}

/// Sends what a terminal shows until there is no more.
pub async fn show(sink: &mut SplitSink<WebSocket, Message>, mut viewer: Viewer) -> End {
    loop {
        match viewer.next().await {
            News::Output(bytes) => {
                if sink.send(Message::Binary(bytes)).await.is_err() {
                    return End::Gone;
                }
            }
            News::TooSlow => return End::TooSlow,
            News::Ended(exit_code) => return End::Exited(exit_code),
        }
    }
}

/// Types what a frame holds, whatever its kind.
pub async fn type_in(shell: &Shell, message: Message) -> Result<(), Unread> {
    let bytes: Bytes = message.into_data();
    if bytes.is_empty() { Ok(()) } else { shell.write(bytes).await }
}

/// Tells the client why and closes.
pub async fn finish(
    mut sink: SplitSink<WebSocket, Message>,
    mut stream: SplitStream<WebSocket>,
    end: End,
    hears_exit: bool,
) {
    let (code, reason) = match end {
        End::Gone => {
            // Reading on sends the answer to its close.
            let answered = async { while let Some(Ok(_)) = stream.next().await {} };
            let _ = tokio::time::timeout(GONE_WITHIN, answered).await;
            return;
        }
        End::TooSlow => {
            (code::POLICY, "too slow: output was lost; connect again to see the last of it".to_owned())
        }
        End::Unread => (code::POLICY, "the program does not read its input".to_owned()),
        End::TooBig => (code::TOO_BIG, format!("a frame has at most {INPUT_BYTES} bytes")),
        End::Exited(exit_code) => {
            let exit = PtyExit::from(exit_code);
            let reason = serde_json::to_string(&exit).unwrap_or_default();
            let code = if hears_exit || exit_code == 0 { code::NORMAL } else { code::ERROR };
            if hears_exit {
                // The close says it once more.
                let said = sink.send(text(&Control { status: Status::Exited(exit) }));
                let _ = tokio::time::timeout(HEAR_WITHIN, said).await;
            }
            (code, reason)
        }
    };
    if let Ok(socket) = sink.reunite(stream) {
        close(socket, code, &reason).await;
    }
}

fn text(control: &Control) -> Message {
    Message::Text(Utf8Bytes::from(serde_json::to_string(control).unwrap_or_default()))
}
