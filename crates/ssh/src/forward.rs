//! Forwarding (RFC 4254 §7.2): the client reaches what a program of the sandbox could reach, and no more; and the bytes of
//! every forwarded connection, whoever made it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc::Sender;

use crate::channel::{Channel, Flow, Outgoing, Peer};
use crate::target::{Stream, Target, connect};

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 32 * 1024;

/// Connects, and tells the connection's loop.
pub(crate) async fn reach(target: Target, peer: Peer, outgoing: Sender<Outgoing>) {
    let outcome = tokio::time::timeout(CONNECT_WITHIN, connect(target)).await;
    let outcome = outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let _ = outgoing.send(Outgoing::Reached { peer, outcome }).await;
}

/// Carries bytes both ways until both are done or the channel is closed.
pub(crate) async fn live(stream: Stream, channel: Channel) {
    tokio::select! {
        () = async {
            match stream {
                Stream::Port(stream) => { let (from, to) = stream.into_split(); carry(from, to, &channel).await; }
                Stream::Path(stream) => { let (from, to) = stream.into_split(); carry(from, to, &channel).await; }
            }
        } => {}
        () = channel.closed() => {}
    }
    channel.send_close().await;
}

async fn carry(
    mut from: impl AsyncRead + Unpin + Send,
    mut to: impl AsyncWrite + Unpin + Send,
    channel: &Channel,
) {
    let inward = async {
        let mut data = Vec::new();
        while channel.receive(&mut data).await {
            let mut rest = data.as_slice();
            while !rest.is_empty() {
                let Ok(bytes) = to.write(rest).await else { break };
                rest = rest.get(bytes..).unwrap_or_default();
                channel.consumed(bytes).await;
            }
            // What nobody reads is thrown away, so that the client can go on.
            channel.consumed(rest.len()).await;
        }
        let _ = to.shutdown().await;
    };
    let outward = async {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
            if channel.send(Flow::Output, buffer.get(..bytes).unwrap_or_default()).await.is_err() {
                return;
            }
        }
        let _ = channel.send_end().await;
    };
    tokio::join!(inward, outward);
}
