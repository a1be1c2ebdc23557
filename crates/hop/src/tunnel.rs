//! The bytes behind an upgrade.

use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf, copy, sink, split};
use tokio::time::timeout;

/// How long a server may go on talking to a client that has ended.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How long a client may take to notice that the server has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// Carries bytes both ways. Once the client has ended, the server may finish what it says; once the server has ended, there is
/// nobody left to carry to. Fails when one side does not upgrade after all.
pub async fn tunnel(client_side: OnUpgrade, server_side: OnUpgrade) -> Result<(), hyper::Error> {
    let (client, server) = tokio::try_join!(client_side, server_side)?;
    let (mut from_client, mut to_client) = split(TokioIo::new(client));
    let (mut from_server, mut to_server) = split(TokioIo::new(server));
    let mut down = std::pin::pin!(carry(&mut from_server, &mut to_client));
    let client_ended = tokio::select! {
        () = carry(&mut from_client, &mut to_server) => true,
        () = &mut down => false,
    };
    if client_ended {
        let _ = timeout(LAST_WORDS, down).await;
    } else {
        // Closing with bytes unread would reset the connection, and the client could lose the server's last words.
        let _ = timeout(DRAIN, copy(&mut from_client, &mut sink())).await;
    }
    Ok(())
}

/// Carries one direction and says its end. A failed read or write is an end like any other: the peer is gone.
async fn carry(from: &mut ReadHalf<TokioIo<Upgraded>>, to: &mut WriteHalf<TokioIo<Upgraded>>) {
    let _ = copy(from, to).await;
    let _ = to.shutdown().await;
}
