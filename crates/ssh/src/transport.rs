//! The protected stream of messages (RFC 4253): bytes in, messages out, and back. Without input or output of its own.

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::cipher::{Keys, Opener, Sealer};
use crate::encoding::Writer as _;
use crate::error::SshError;
use crate::exchange::{self, Said};
use crate::host_key::HostKey;
use crate::message;
use crate::negotiation::{self, Choice};

const VERSION: &[u8] = b"SSH-2.0-daytona";
/// The longest version line (RFC 4253 §4.2).
const VERSION_BYTES: usize = 255;
/// Long before a cipher's counter comes round. Clients change keys a thousand times as often.
const PACKETS_PER_KEY: u32 = 1 << 31;

#[derive(Debug)]
enum Stage {
    /// The client's version line is awaited.
    Version,
    /// The client's first offer is awaited.
    Offer,
    /// The client's half of the exchange is awaited.
    Half { client_offer: Vec<u8>, choice: Choice },
    /// The client's last message with the old keys is awaited.
    NewKeys(Box<Keys>),
    /// Keys are in use.
    Open,
}

/// One connection's stream.
#[derive(Debug)]
pub(crate) struct Transport {
    host_key: HostKey,
    incoming: Vec<u8>,
    /// How much of `incoming` is done with.
    taken: usize,
    /// What is to be written to the connection.
    pub(crate) outgoing: Vec<u8>,
    opener: Opener,
    sealer: Sealer,
    stage: Stage,
    client_version: Vec<u8>,
    server_offer: Vec<u8>,
    session_id: Option<[u8; 32]>,
    is_strict: bool,
}

impl Transport {
    /// Begins: the version line and the first offer lie in `outgoing`.
    pub(crate) fn begin(host_key: HostKey) -> Result<Self, SshError> {
        let mut transport = Self {
            host_key,
            incoming: Vec::new(),
            taken: 0,
            outgoing: [VERSION, b"\r\n"].concat(),
            opener: Opener::clear(),
            sealer: Sealer::clear(),
            stage: Stage::Version,
            client_version: Vec::new(),
            server_offer: Vec::new(),
            session_id: None,
            is_strict: false,
        };
        transport.offer()?;
        Ok(transport)
    }

    /// Returns whether messages of the layers above must wait for keys.
    pub(crate) const fn is_exchanging(&self) -> bool {
        !matches!(self.stage, Stage::Open | Stage::NewKeys(_)) || self.session_id.is_none()
    }

    /// Takes bytes that were received.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.incoming.drain(..self.taken);
        self.taken = 0;
        self.incoming.extend_from_slice(bytes);
    }

    /// Puts the next message of the layers above into `message`; returns false when more bytes are needed.
    pub(crate) fn next(&mut self, message: &mut Vec<u8>) -> Result<bool, SshError> {
        if matches!(self.stage, Stage::Version) && !self.take_version()? {
            return Ok(false);
        }
        loop {
            let bytes = self.incoming.get_mut(self.taken..).unwrap_or_default();
            let Some(opened) = self.opener.open(bytes)? else { return Ok(false) };
            message.clear();
            message.extend_from_slice(bytes.get(opened.message).unwrap_or_default());
            self.taken += opened.packet_bytes;
            if self.opener.packets > PACKETS_PER_KEY || self.sealer.packets > PACKETS_PER_KEY {
                return Err(SshError::Protocol { what: "it never changed its keys" });
            }
            if self.take(message)? {
                return Ok(true);
            }
        }
    }

    /// Protects a message and puts it behind what is to be written.
    pub(crate) fn send(&mut self, message: &[u8]) -> Result<(), SshError> {
        self.sealer.seal(message, &mut self.outgoing)
    }

    /// Tells the client why the connection ends, as far as it can be told.
    pub(crate) fn disconnect(&mut self, reason: u32, description: &str) {
        let message = Vec::new().byte(message::DISCONNECT).number(reason);
        // Nothing is left to do when this fails, too.
        let _ = self.send(&message.string(description.as_bytes()).string(&[]));
    }

    fn take_version(&mut self) -> Result<bool, SshError> {
        let end = self.incoming.iter().take(VERSION_BYTES).position(|byte| *byte == b'\n');
        let Some(end) = end else {
            let is_hopeless = self.incoming.len() >= VERSION_BYTES || !starts_alike(&self.incoming);
            return if is_hopeless { Err(SshError::Version) } else { Ok(false) };
        };
        let line = self.incoming.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.starts_with(b"SSH-2.0-") && !line.starts_with(b"SSH-1.99-") {
            return Err(SshError::Version);
        }
        self.client_version = line.to_vec();
        self.taken = end + 1;
        self.stage = Stage::Offer;
        Ok(true)
    }

    fn offer(&mut self) -> Result<(), SshError> {
        let mut cookie = [0; 16];
        SystemRandom::new().fill(&mut cookie).map_err(|_| SshError::Exchange { step: "draw a number" })?;
        self.server_offer = negotiation::offer(cookie);
        self.sealer.seal(&self.server_offer, &mut self.outgoing)
    }

    /// Handles what belongs to this layer; returns whether the message is for those above.
    fn take(&mut self, message: &[u8]) -> Result<bool, SshError> {
        let kind = message.first().copied().unwrap_or(0);
        let is_first = self.session_id.is_none();
        match kind {
            message::DISCONNECT => return Ok(true),
            // The strict rules allow nothing beside the exchange until there are keys.
            message::IGNORE | message::DEBUG | message::UNIMPLEMENTED if !(is_first && self.is_strict) => {
                return Ok(false);
            }
            _ => {}
        }
        match std::mem::replace(&mut self.stage, Stage::Open) {
            Stage::Offer if kind == message::KEXINIT => self.take_offer(message).map(|()| false),
            Stage::Open if kind == message::KEXINIT => {
                self.offer()?;
                self.take_offer(message).map(|()| false)
            }
            Stage::Half { client_offer, mut choice } if choice.is_guess_wrong => {
                choice.is_guess_wrong = false;
                self.stage = Stage::Half { client_offer, choice };
                Ok(false)
            }
            Stage::Half { client_offer, choice } => {
                self.take_half(message, &client_offer, choice).map(|()| false)
            }
            Stage::NewKeys(keys) if kind == message::NEWKEYS => {
                self.opener.renew(&keys, self.is_strict).map(|()| false)
            }
            Stage::Open
                if kind > message::NEWKEYS
                    || matches!(kind, message::SERVICE_REQUEST | message::EXT_INFO) =>
            {
                Ok(kind != message::EXT_INFO)
            }
            _ => Err(SshError::Protocol { what: "it sent a message out of turn" }),
        }
    }

    fn take_offer(&mut self, offer: &[u8]) -> Result<(), SshError> {
        let choice = negotiation::choose(offer)?;
        if self.session_id.is_none() {
            self.is_strict = choice.is_strict;
            if self.is_strict && self.opener.sequence != 1 {
                return Err(SshError::Protocol { what: "it sent something before its offer" });
            }
        }
        self.stage = Stage::Half { client_offer: offer.to_vec(), choice };
        Ok(())
    }

    fn take_half(&mut self, message: &[u8], client_offer: &[u8], choice: Choice) -> Result<(), SshError> {
        let said = Said {
            client_version: &self.client_version,
            server_version: VERSION,
            client_offer,
            server_offer: &self.server_offer,
        };
        let (reply, secrets) = exchange::answer(message, &said, &self.host_key)?;
        self.send(&reply)?;
        self.send(&[message::NEWKEYS])?;
        let session_id = *self.session_id.get_or_insert(secrets.hash);
        self.sealer.renew(&secrets.keys(&session_id, choice.outward, *b"BD")?, self.is_strict)?;
        self.stage = Stage::NewKeys(Box::new(secrets.keys(&session_id, choice.inward, *b"AC")?));
        Ok(())
    }
}

/// Returns whether bytes may become a version line.
fn starts_alike(bytes: &[u8]) -> bool {
    bytes.iter().zip(b"SSH-").all(|(byte, expected)| byte == expected)
}

#[cfg(test)]
mod tests;
