//! One channel of a connection (RFC 4254 §5): bytes both ways, each side telling how many it can take.
//!
//! What the client may send is given back only as it is consumed. So a program that reads slowly slows its own sender,
//! nobody else's, and no channel holds more than one window in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

use crate::arrival::Arrival;
use crate::encoding::Writer as _;
use crate::error::SshError;
use crate::message;
use crate::target::Stream;

/// How much a client may send ahead.
pub(crate) const WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// How much is consumed before the client is told.
const TELL_BYTES: u32 = WINDOW_BYTES / 8;
/// The longest piece of data in one message, both ways.
pub(crate) const PIECE_BYTES: u32 = 32 * 1024;

/// The channel is closed, or the whole connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// What a channel's own task asks of the connection.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// To send a message that belongs to a channel.
    Message {
        /// Our number of the channel.
        channel: u32,
        /// The message.
        message: Vec<u8>,
    },
    /// To close a channel.
    Close(u32),
    /// To answer a client that wants to reach something.
    Reached {
        /// The client's side of the channel that is to be opened.
        peer: Peer,
        /// The connection, or why there is none.
        outcome: std::io::Result<Stream>,
    },
    /// To offer the client a connection that somebody made to what it has listened on.
    Arrived(Arrival),
}

/// Where data goes on the client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Standard output, or the only one.
    Output,
    /// Standard error.
    Error,
}

#[derive(Debug)]
struct State {
    received: Vec<u8>,
    /// How much the client may still send.
    may_receive: u32,
    /// What was consumed and not told yet.
    consumed: u32,
    /// How much may still be sent to the client.
    may_send: u32,
    is_ended: bool,
    is_closed: bool,
}

/// What the connection and the channel's tasks share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    received: Notify,
    may_send: Notify,
}

/// A channel; copies are the same channel.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    /// Our number.
    pub(crate) id: u32,
    /// The client's number.
    pub(crate) peer: u32,
    piece_bytes: u32,
    shared: Arc<Shared>,
    outgoing: Sender<Outgoing>,
}

/// What a client says of itself when a channel opens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its number.
    pub(crate) id: u32,
    /// How much it takes ahead.
    pub(crate) window_bytes: u32,
    /// The longest message that it takes.
    pub(crate) packet_bytes: u32,
}

impl Channel {
    pub(crate) fn new(id: u32, peer: Peer, outgoing: Sender<Outgoing>) -> Self {
        let state = State {
            received: Vec::new(),
            may_receive: WINDOW_BYTES,
            consumed: 0,
            may_send: peer.window_bytes,
            is_ended: false,
            is_closed: false,
        };
        let shared = Shared { state: Mutex::new(state), received: Notify::new(), may_send: Notify::new() };
        let piece_bytes = peer.packet_bytes.clamp(1, PIECE_BYTES);
        Self { id, peer: peer.id, piece_bytes, shared: Arc::new(shared), outgoing }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes data from the client, for the connection.
    pub(crate) fn put(&self, data: &[u8]) -> Result<(), SshError> {
        let mut state = self.lock();
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        state.may_receive = state
            .may_receive
            .checked_sub(length)
            .filter(|_| !state.is_ended)
            .ok_or(SshError::Protocol { what: "it sent more than it may" })?;
        state.received.extend_from_slice(data);
        drop(state);
        self.shared.received.notify_waiters();
        Ok(())
    }

    /// Notes that the client sends no more data.
    pub(crate) fn end(&self) {
        self.lock().is_ended = true;
        self.shared.received.notify_waiters();
    }

    /// Notes that nothing passes any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.received = Vec::new();
        drop(state);
        self.shared.received.notify_waiters();
        self.shared.may_send.notify_waiters();
    }

    /// Notes that the client can take more.
    pub(crate) fn widen(&self, bytes: u32) {
        let mut state = self.lock();
        state.may_send = state.may_send.saturating_add(bytes);
        drop(state);
        self.shared.may_send.notify_waiters();
    }

    /// Waits for data from the client and puts it into `data`; returns false when none will come any more.
    pub(crate) async fn receive(&self, data: &mut Vec<u8>) -> bool {
        data.clear();
        loop {
            let changed = self.shared.received.notified();
            {
                let mut state = self.lock();
                if !state.received.is_empty() {
                    std::mem::swap(data, &mut state.received);
                    return true;
                }
                if state.is_ended || state.is_closed {
                    return false;
                }
            }
            changed.await;
        }
    }

    /// Waits until the channel is closed.
    pub(crate) async fn closed(&self) {
        loop {
            let changed = self.shared.received.notified();
            if self.lock().is_closed {
                return;
            }
            changed.await;
        }
    }

    /// Gives the client back what it may send.
    pub(crate) async fn consumed(&self, bytes: usize) {
        let told = {
            let mut state = self.lock();
            state.consumed = state.consumed.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
            if state.consumed < TELL_BYTES || state.is_ended || state.is_closed {
                return;
            }
            let told = std::mem::take(&mut state.consumed);
            state.may_receive = state.may_receive.saturating_add(told);
            told
        };
        let message = Vec::new().byte(message::CHANNEL_WINDOW_ADJUST).number(self.peer).number(told);
        let _ = self.send_message(message).await;
    }

    /// Sends data, as fast as the client takes it.
    pub(crate) async fn send(&self, flow: Flow, mut data: &[u8]) -> Result<(), Gone> {
        while !data.is_empty() {
            let length = self.reserve(data.len()).await?;
            let (piece, rest) = data.split_at_checked(length).unwrap_or((data, &[]));
            data = rest;
            let message = Vec::with_capacity(piece.len() + 16);
            let message = match flow {
                Flow::Output => message.byte(message::CHANNEL_DATA).number(self.peer),
                Flow::Error => message.byte(message::CHANNEL_EXTENDED_DATA).number(self.peer).number(1),
            };
            self.send_message(message.string(piece)).await?;
        }
        Ok(())
    }

    /// Waits until something may be sent, and returns how much of `wanted` bytes.
    async fn reserve(&self, wanted: usize) -> Result<usize, Gone> {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.piece_bytes);
        loop {
            let changed = self.shared.may_send.notified();
            {
                let mut state = self.lock();
                if state.is_closed {
                    return Err(Gone);
                }
                let length = wanted.min(state.may_send);
                if length > 0 {
                    state.may_send -= length;
                    return Ok(usize::try_from(length).unwrap_or(0));
                }
            }
            changed.await;
        }
    }

    /// Sends any message of this channel.
    pub(crate) async fn send_message(&self, message: Vec<u8>) -> Result<(), Gone> {
        let outgoing = Outgoing::Message { channel: self.id, message };
        self.outgoing.send(outgoing).await.map_err(|_| Gone)
    }

    /// Says that no more data comes from here.
    pub(crate) async fn send_end(&self) -> Result<(), Gone> {
        self.send_message(Vec::new().byte(message::CHANNEL_EOF).number(self.peer)).await
    }

    /// Asks the connection to close the channel.
    pub(crate) async fn send_close(&self) {
        let _ = self.outgoing.send(Outgoing::Close(self.id)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(window_bytes: u32) -> (Channel, tokio::sync::mpsc::Receiver<Outgoing>) {
        let (sender, receiver) = tokio::sync::mpsc::channel(64);
        (Channel::new(1, Peer { id: 2, window_bytes, packet_bytes: 1 << 20 }, sender), receiver)
    }

    #[tokio::test]
    async fn a_client_that_sends_more_than_it_may_is_told_so() {
        let (channel, mut outgoing) = channel(0);
        let piece = vec![0; 32 * 1024];
        for _ in 0..64 {
            channel.put(&piece).unwrap();
        }
        channel.put(&[0]).unwrap_err();
        // Reading alone gives nothing back; consuming does.
        let mut data = Vec::new();
        assert!(channel.receive(&mut data).await);
        assert_eq!(data.len(), 2 << 20);
        channel.put(&[0]).unwrap_err();
        channel.consumed(1 << 20).await;
        assert!(matches!(outgoing.try_recv(), Ok(Outgoing::Message { message, .. }) if message[0] == 93));
        channel.put(&piece).unwrap();
        channel.end();
        channel.put(&[0]).unwrap_err();
    }

    #[tokio::test]
    async fn nothing_is_sent_beyond_the_clients_window() {
        let (channel, mut outgoing) = channel(5);
        let sending = channel.clone();
        let task = tokio::spawn(async move { sending.send(Flow::Output, b"0123456789").await });
        let Some(Outgoing::Message { message, .. }) = outgoing.recv().await else { panic!("no message") };
        assert_eq!(&message[9..], b"01234");
        assert!(outgoing.try_recv().is_err());
        channel.widen(2);
        let Some(Outgoing::Message { message, .. }) = outgoing.recv().await else { panic!("no message") };
        assert_eq!(&message[9..], b"56");
        channel.close();
        assert_eq!(task.await.unwrap(), Err(Gone));
    }
}
