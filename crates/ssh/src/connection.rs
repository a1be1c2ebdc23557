//! One connection from its first byte to its last: a loop over the socket and over what the channels have to say.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::authentication;
use crate::channel::{Channel, Outgoing, PIECE_BYTES, Peer, WINDOW_BYTES};
use crate::encoding::{Reader, Writer as _};
use crate::error::SshError;
use crate::forward;
use crate::host::Host;
use crate::host_key::HostKey;
use crate::message;
use crate::remote::{self, Listeners};
use crate::session::Session;
use crate::target::{Stream, Target};
use crate::transport::Transport;

/// How long a client may take to get in.
const AUTHENTICATE_WITHIN: Duration = Duration::from_mins(2);
/// How long a client that is told to go may take to hear it.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);
/// How many channels a client may have at a time, those that are on their way to a target included.
const CHANNELS: usize = 64;
/// How much may wait for the client before nothing more is taken from it, nor from its programs.
const WAITING_BYTES: usize = 256 * 1024;
/// How many messages of channels may wait, of up to 32 KiB each.
const WAITING_MESSAGES: usize = 8;
const READ_BYTES: usize = 64 * 1024;

/// Why a channel is not opened (RFC 4254 §5.1).
const PROHIBITED: u32 = 1;
const CONNECT_FAILED: u32 = 2;
const UNKNOWN_TYPE: u32 = 3;
const SHORTAGE: u32 = 4;

#[derive(Debug)]
struct Entry {
    channel: Channel,
    /// What is asked of a session; a forwarded connection takes no requests.
    session: Option<Session>,
}

#[derive(Debug)]
struct Connection {
    host: Arc<Host>,
    transport: Transport,
    is_authenticated: bool,
    is_over: bool,
    may_open_sessions: bool,
    tries: u32,
    channels: HashMap<u32, Entry>,
    next_channel: u32,
    /// How many targets are being reached.
    reaching: usize,
    /// What the client has listened on in the sandbox.
    listeners: Listeners,
    /// Who has arrived there, under the channels that the client was offered for them.
    offered: HashMap<u32, Stream>,
    sender: Sender<Outgoing>,
    receiver: Receiver<Outgoing>,
}

/// Serves one client until it goes. Programs that still run are told so.
pub(crate) async fn serve(stream: &UnixStream, host: Arc<Host>) -> Result<(), SshError> {
    let mut connection = Connection::new(host)?;
    let outcome = connection.run(stream).await;
    for entry in connection.channels.values() {
        entry.channel.close();
        if let Some(session) = &entry.session {
            session.hang_up();
        }
    }
    if let Err(error) = &outcome {
        connection.transport.disconnect(error.disconnect_reason(), &error.to_string());
        let last_words = async {
            while !connection.transport.outgoing.is_empty() && connection.write(stream).await.is_ok() {}
        };
        let _ = tokio::time::timeout(LAST_WORDS_WITHIN, last_words).await;
    }
    outcome
}

impl Connection {
    fn new(host: Arc<Host>) -> Result<Self, SshError> {
        let host_key = HostKey::from_seed(&host.seed)?;
        let (sender, receiver) = channel(WAITING_MESSAGES);
        Ok(Self {
            host,
            transport: Transport::begin(host_key)?,
            is_authenticated: false,
            is_over: false,
            may_open_sessions: true,
            tries: 0,
            channels: HashMap::new(),
            next_channel: 0,
            reaching: 0,
            listeners: Listeners::default(),
            offered: HashMap::new(),
            sender,
            receiver,
        })
    }

    async fn run(&mut self, stream: &UnixStream) -> Result<(), SshError> {
        let mut deadline = std::pin::pin!(tokio::time::sleep(AUTHENTICATE_WITHIN));
        let mut buffer = vec![0; READ_BYTES];
        let mut message = Vec::new();
        while !self.is_over {
            let has_room = self.transport.outgoing.len() < WAITING_BYTES;
            tokio::select! {
                ready = stream.readable(), if has_room => {
                    ready.map_err(failed("read"))?;
                    match stream.try_read(&mut buffer) {
                        Ok(0) => return Ok(()),
                        Ok(bytes) => self.transport.feed(buffer.get(..bytes).unwrap_or_default()),
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(source) => return Err(SshError::Stream { action: "read", source }),
                    }
                    while !self.is_over && self.transport.next(&mut message)? {
                        self.take(&message)?;
                    }
                }
                written = write(stream, &mut self.transport.outgoing), if !self.transport.outgoing.is_empty() => written?,
                Some(outgoing) = self.receiver.recv(), if has_room && !self.transport.is_exchanging() => {
                    self.pass(outgoing)?;
                }
                () = &mut deadline, if !self.is_authenticated => {
                    return Err(SshError::TooSlow { seconds: AUTHENTICATE_WITHIN.as_secs() });
                }
            }
        }
        Ok(())
    }

    async fn write(&mut self, stream: &UnixStream) -> Result<(), SshError> {
        write(stream, &mut self.transport.outgoing).await
    }

    fn take(&mut self, message: &[u8]) -> Result<(), SshError> {
        let mut reader = Reader::new(message);
        match reader.byte()? {
            message::DISCONNECT => {
                self.is_over = true;
                Ok(())
            }
            message::SERVICE_REQUEST if !self.is_authenticated => self.take_service(reader.string()?),
            message::USERAUTH_REQUEST if !self.is_authenticated => {
                let verdict = authentication::judge(message, &mut self.tries)?;
                self.is_authenticated = verdict.is_accepted;
                self.transport.send(&verdict.answer)
            }
            // RFC 4252 §5.1: further requests to get in are passed over by who is in.
            message::USERAUTH_REQUEST => Ok(()),
            kind if self.is_authenticated => self.take_authenticated(kind, reader),
            _ => Err(SshError::Protocol { what: "it did not authenticate first" }),
        }
    }

    fn take_service(&mut self, name: &[u8]) -> Result<(), SshError> {
        if name != b"ssh-userauth" {
            return Err(SshError::Protocol { what: "it asked for an unknown service" });
        }
        self.transport.send(&Vec::new().byte(message::SERVICE_ACCEPT).string(name))
    }

    fn take_authenticated(&mut self, kind: u8, mut reader: Reader<'_>) -> Result<(), SshError> {
        match kind {
            message::GLOBAL_REQUEST => self.take_global(reader),
            message::CHANNEL_OPEN => self.take_open(reader),
            message::CHANNEL_OPEN_CONFIRMATION => self.take_confirmation(reader),
            message::CHANNEL_OPEN_FAILURE => {
                drop(self.offered.remove(&reader.number()?));
                Ok(())
            }
            message::CHANNEL_WINDOW_ADJUST => {
                let (id, bytes) = (reader.number()?, reader.number()?);
                self.with(id, |entry| {
                    entry.channel.widen(bytes);
                    Ok(())
                })
            }
            message::CHANNEL_DATA => {
                let (id, data) = (reader.number()?, reader.string()?);
                self.with(id, |entry| entry.channel.put(data))
            }
            message::CHANNEL_EXTENDED_DATA => {
                // A client has no second stream; its window counts all the same, so it is told at once.
                let (id, _kind, data) = (reader.number()?, reader.number()?, reader.string()?);
                let bytes = u32::try_from(data.len()).unwrap_or(0);
                let peer = self.channels.get(&id).map(|entry| entry.channel.peer);
                let Some(peer) = peer else { return Ok(()) };
                self.transport
                    .send(&Vec::new().byte(message::CHANNEL_WINDOW_ADJUST).number(peer).number(bytes))
            }
            message::CHANNEL_EOF => {
                let id = reader.number()?;
                self.with(id, |entry| {
                    entry.channel.end();
                    Ok(())
                })
            }
            message::CHANNEL_CLOSE => self.close(reader.number()?),
            message::CHANNEL_REQUEST => self.take_request(reader),
            // Answers to what was never asked.
            message::REQUEST_SUCCESS
            | message::REQUEST_FAILURE
            | message::CHANNEL_SUCCESS
            | message::CHANNEL_FAILURE => Ok(()),
            _ => self.transport.send(&Vec::new().byte(message::UNIMPLEMENTED).number(0)),
        }
    }

    /// Does something to a channel. One that is closed already is none of the client's fault.
    fn with(
        &mut self,
        id: u32,
        act: impl FnOnce(&mut Entry) -> Result<(), SshError>,
    ) -> Result<(), SshError> {
        self.channels.get_mut(&id).map_or(Ok(()), act)
    }

    fn take_global(&mut self, mut reader: Reader<'_>) -> Result<(), SshError> {
        let (name, wants_answer) = (reader.string()?, reader.boolean()?);
        if name == b"no-more-sessions@openssh.com" {
            self.may_open_sessions = false;
        }
        let granted = self.listeners.request(name, reader, &self.sender)?;
        // A refusal is also what a client that asks for a sign of life waits for.
        let answer = granted.unwrap_or_else(|| vec![message::REQUEST_FAILURE]);
        if wants_answer { self.transport.send(&answer) } else { Ok(()) }
    }

    fn take_open(&mut self, mut reader: Reader<'_>) -> Result<(), SshError> {
        let kind = reader.string()?;
        let peer =
            Peer { id: reader.number()?, window_bytes: reader.number()?, packet_bytes: reader.number()? };
        if self.is_full() {
            return self.refuse(peer, SHORTAGE, "too many channels are open; close one first");
        }
        let target = match kind {
            b"session" if self.may_open_sessions => {
                return self.open(peer, Some(Session::default())).map(drop);
            }
            b"session" => return self.refuse(peer, PROHIBITED, "no more sessions were wanted"),
            b"direct-tcpip" => {
                let (host, port) = (reader.text()?.to_owned(), reader.number()?);
                let Ok(port) = u16::try_from(port) else {
                    return self.refuse(peer, CONNECT_FAILED, "a port is at most 65535");
                };
                Target::Port { host, port }
            }
            b"direct-streamlocal@openssh.com" => Target::Path(reader.text()?.to_owned()),
            _ => return self.refuse(peer, UNKNOWN_TYPE, "this type of channel is not served"),
        };
        self.reaching += 1;
        tokio::spawn(forward::reach(target, peer, self.sender.clone()));
        Ok(())
    }

    fn open(&mut self, peer: Peer, session: Option<Session>) -> Result<Channel, SshError> {
        let id = self.number()?;
        let channel = Channel::new(id, peer, self.sender.clone());
        self.channels.insert(id, Entry { channel: channel.clone(), session });
        let message = Vec::new().byte(message::CHANNEL_OPEN_CONFIRMATION).number(peer.id).number(id);
        self.transport.send(&message.number(WINDOW_BYTES).number(PIECE_BYTES))?;
        Ok(channel)
    }

    /// Returns a channel's number, which is not used again: a message of an old task must not reach a new channel.
    fn number(&mut self) -> Result<u32, SshError> {
        let id = self.next_channel;
        self.next_channel =
            id.checked_add(1).ok_or(SshError::Protocol { what: "it opened too many channels" })?;
        Ok(id)
    }

    fn is_full(&self) -> bool {
        self.channels.len() + self.reaching + self.offered.len() >= CHANNELS
    }

    /// The client takes what it was offered.
    fn take_confirmation(&mut self, mut reader: Reader<'_>) -> Result<(), SshError> {
        let id = reader.number()?;
        let peer =
            Peer { id: reader.number()?, window_bytes: reader.number()?, packet_bytes: reader.number()? };
        let Some(stream) = self.offered.remove(&id) else {
            return Err(SshError::Protocol { what: "it took a channel that it was not offered" });
        };
        let channel = Channel::new(id, peer, self.sender.clone());
        self.channels.insert(id, Entry { channel: channel.clone(), session: None });
        tokio::spawn(forward::live(stream, channel));
        Ok(())
    }

    fn refuse(&mut self, peer: Peer, reason: u32, description: &str) -> Result<(), SshError> {
        let message = Vec::new().byte(message::CHANNEL_OPEN_FAILURE).number(peer.id).number(reason);
        self.transport.send(&message.string(description.as_bytes()).string(&[]))
    }

    fn take_request(&mut self, mut reader: Reader<'_>) -> Result<(), SshError> {
        let (id, kind, wants_answer) = (reader.number()?, reader.string()?, reader.boolean()?);
        let Some(entry) = self.channels.get_mut(&id) else { return Ok(()) };
        let is_granted = match &mut entry.session {
            Some(session) => session.request(kind, reader, &self.host, &entry.channel)?,
            None => false,
        };
        if !wants_answer {
            return Ok(());
        }
        let answer = if is_granted { message::CHANNEL_SUCCESS } else { message::CHANNEL_FAILURE };
        let message = Vec::new().byte(answer).number(entry.channel.peer);
        self.transport.send(&message)
    }

    /// Does what a channel's task asks for.
    fn pass(&mut self, outgoing: Outgoing) -> Result<(), SshError> {
        match outgoing {
            Outgoing::Message { channel, message } if self.channels.contains_key(&channel) => {
                self.transport.send(&message)
            }
            // The channel was closed meanwhile.
            Outgoing::Message { .. } => Ok(()),
            Outgoing::Close(id) => self.close(id),
            Outgoing::Reached { peer, outcome } => {
                self.reaching = self.reaching.saturating_sub(1);
                match outcome {
                    Ok(stream) => {
                        let channel = self.open(peer, None)?;
                        tokio::spawn(forward::live(stream, channel));
                        Ok(())
                    }
                    Err(error) => self.refuse(peer, CONNECT_FAILED, &error.to_string()),
                }
            }
            // Whoever comes when there is no room finds the connection closed.
            Outgoing::Arrived(_) if self.is_full() => Ok(()),
            Outgoing::Arrived(arrival) => {
                let id = self.number()?;
                self.transport.send(&remote::opening(&arrival, id))?;
                self.offered.insert(id, arrival.stream);
                Ok(())
            }
        }
    }

    /// Closes a channel from both sides at once: whoever closes first, the other side's answer says nothing new.
    fn close(&mut self, id: u32) -> Result<(), SshError> {
        let Some(entry) = self.channels.remove(&id) else { return Ok(()) };
        entry.channel.close();
        self.transport.send(&Vec::new().byte(message::CHANNEL_CLOSE).number(entry.channel.peer))
    }
}

async fn write(stream: &UnixStream, outgoing: &mut Vec<u8>) -> Result<(), SshError> {
    stream.writable().await.map_err(failed("write"))?;
    match stream.try_write(outgoing) {
        Ok(bytes) => {
            outgoing.drain(..bytes);
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
        Err(source) => Err(SshError::Stream { action: "write", source }),
    }
}

const fn failed(action: &'static str) -> impl FnOnce(std::io::Error) -> SshError {
    move |source| SshError::Stream { action, source }
}

#[cfg(test)]
mod tests;
