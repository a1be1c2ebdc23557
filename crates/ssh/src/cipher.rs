//! Packets, sealed and opened (RFC 4253 §6): in the clear until keys are agreed on, then with the client's choice of
//! ChaCha20-Poly1305 (as `OpenSSH` defines it) and AES-256-GCM (RFC 5647).

use ring::aead::chacha20_poly1305_openssh::{OpeningKey, SealingKey};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::error::SshError;

pub(crate) const CHACHA: &str = "chacha20-poly1305@openssh.com";
pub(crate) const AES_GCM: &str = "aes256-gcm@openssh.com";

/// The longest packet that is taken: what `OpenSSH` takes, too.
const PACKET_BYTES: usize = 256 * 1024;
const LENGTH_BYTES: usize = 4;
const TAG_BYTES: usize = 16;
const LEAST_PADDING: usize = 4;

/// The keys of one direction, in the length that each cipher wants.
#[derive(Debug)]
pub(crate) struct Keys {
    /// The cipher's name.
    pub(crate) cipher: &'static str,
    /// 64 bytes of key; the first 32 for AES.
    pub(crate) key: [u8; 64],
    /// 12 bytes of nonce, for AES only.
    pub(crate) nonce: [u8; 12],
}

/// AES-GCM with its counter.
struct Gcm {
    key: LessSafeKey,
    nonce: [u8; 12],
}

impl Gcm {
    fn new(keys: &Keys) -> Result<Self, SshError> {
        let failed = SshError::Exchange { step: "make an AES key" };
        let Some((half, _)) = keys.key.split_first_chunk::<32>() else { return Err(failed) };
        let Ok(key) = UnboundKey::new(&AES_256_GCM, half) else { return Err(failed) };
        Ok(Self { key: LessSafeKey::new(key), nonce: keys.nonce })
    }

    /// Returns the nonce of the next packet: four fixed bytes and a counter of eight.
    fn nonce(&mut self) -> Nonce {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        if let Some(counter) = self.nonce.last_chunk_mut::<8>() {
            *counter = u64::from_be_bytes(*counter).wrapping_add(1).to_be_bytes();
        }
        nonce
    }
}

enum Sealing {
    Clear,
    Chacha(Box<SealingKey>),
    Gcm(Box<Gcm>),
}

enum Opening {
    Clear,
    Chacha(Box<OpeningKey>),
    Gcm(Box<Gcm>),
}

/// Makes packets out of messages.
pub(crate) struct Sealer {
    sealing: Sealing,
    sequence: u32,
    /// How many packets were made with these keys.
    pub(crate) packets: u32,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sealer").field("packets", &self.packets).finish_non_exhaustive()
    }
}

impl Sealer {
    pub(crate) const fn clear() -> Self {
        Self { sealing: Sealing::Clear, sequence: 0, packets: 0 }
    }

    /// Takes new keys; the sequence goes on unless `is_reset`.
    pub(crate) fn renew(&mut self, keys: &Keys, is_reset: bool) -> Result<(), SshError> {
        self.sealing = if keys.cipher == CHACHA {
            Sealing::Chacha(Box::new(SealingKey::new(&keys.key)))
        } else {
            Sealing::Gcm(Box::new(Gcm::new(keys)?))
        };
        self.sequence = if is_reset { 0 } else { self.sequence };
        self.packets = 0;
        Ok(())
    }

    /// Puts a message behind what is there.
    pub(crate) fn seal(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), SshError> {
        // The length is part of what is aligned only where it is enciphered together with the rest.
        let (block, counted) = match self.sealing {
            Sealing::Clear => (8, LENGTH_BYTES),
            Sealing::Chacha(_) => (8, 0),
            Sealing::Gcm(_) => (16, 0),
        };
        let over = (counted + 1 + message.len() + LEAST_PADDING) % block;
        let padding = LEAST_PADDING + if over == 0 { 0 } else { block - over };
        let length = 1 + message.len() + padding;
        let start = out.len();
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        out.push(u8::try_from(padding).unwrap_or(u8::MAX));
        out.extend_from_slice(message);
        // Zeros do: the ciphers do not need unpredictable text.
        out.resize(start + LENGTH_BYTES + length, 0);
        let packet = out.get_mut(start..).unwrap_or_default();
        let tag = match &mut self.sealing {
            Sealing::Clear => None,
            Sealing::Chacha(key) => {
                let mut tag = [0; TAG_BYTES];
                key.seal_in_place(self.sequence, packet, &mut tag);
                Some(tag)
            }
            Sealing::Gcm(gcm) => {
                let nonce = gcm.nonce();
                let failed = || SshError::Exchange { step: "seal a packet" };
                let (length, body) = packet.split_first_chunk_mut::<LENGTH_BYTES>().ok_or_else(failed)?;
                let sealed = gcm.key.seal_in_place_separate_tag(nonce, Aad::from(&*length), body);
                let tag = sealed.map_err(|_| failed())?;
                Some(tag.as_ref().first_chunk::<TAG_BYTES>().copied().ok_or_else(failed)?)
            }
        };
        out.extend_from_slice(tag.as_ref().map_or(&[][..], |tag| &tag[..]));
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.saturating_add(1);
        Ok(())
    }
}

/// Makes messages out of packets.
pub(crate) struct Opener {
    opening: Opening,
    /// The number of the next packet.
    pub(crate) sequence: u32,
    /// How many packets were opened with these keys.
    pub(crate) packets: u32,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Opener").field("packets", &self.packets).finish_non_exhaustive()
    }
}

/// Where a message lies in the bytes that were received.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The message.
    pub(crate) message: std::ops::Range<usize>,
    /// How long the whole packet is.
    pub(crate) packet_bytes: usize,
}

impl Opener {
    pub(crate) const fn clear() -> Self {
        Self { opening: Opening::Clear, sequence: 0, packets: 0 }
    }

    /// Takes new keys; the sequence goes on unless `is_reset`.
    pub(crate) fn renew(&mut self, keys: &Keys, is_reset: bool) -> Result<(), SshError> {
        self.opening = if keys.cipher == CHACHA {
            Opening::Chacha(Box::new(OpeningKey::new(&keys.key)))
        } else {
            Opening::Gcm(Box::new(Gcm::new(keys)?))
        };
        self.sequence = if is_reset { 0 } else { self.sequence };
        self.packets = 0;
        Ok(())
    }

    /// Opens the packet at the front of `bytes` in place; `None` when it is not whole yet.
    pub(crate) fn open(&mut self, bytes: &mut [u8]) -> Result<Option<Opened>, SshError> {
        let Some(head) = bytes.first_chunk::<LENGTH_BYTES>().copied() else { return Ok(None) };
        let length = match &self.opening {
            Opening::Clear | Opening::Gcm(_) => head,
            Opening::Chacha(key) => key.decrypt_packet_length(self.sequence, head),
        };
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if !(1 + LEAST_PADDING..=PACKET_BYTES).contains(&length) {
            return Err(SshError::Malformed { what: "a packet's length" });
        }
        let tag_bytes = if matches!(self.opening, Opening::Clear) { 0 } else { TAG_BYTES };
        let end = LENGTH_BYTES + length;
        let Some(packet) = bytes.get_mut(..end + tag_bytes) else { return Ok(None) };
        let (packet, tag) = packet.split_at_mut(end);
        match &mut self.opening {
            Opening::Clear => {}
            Opening::Chacha(key) => {
                let tag = tag.first_chunk::<TAG_BYTES>().ok_or(SshError::Integrity)?;
                key.open_in_place(self.sequence, packet, tag).map_err(|_| SshError::Integrity)?;
            }
            Opening::Gcm(gcm) => {
                let nonce = gcm.nonce();
                let whole = bytes.get_mut(LENGTH_BYTES..end + tag_bytes).ok_or(SshError::Integrity)?;
                gcm.key.open_in_place(nonce, Aad::from(head), whole).map_err(|_| SshError::Integrity)?;
            }
        }
        let padding = usize::from(bytes.get(LENGTH_BYTES).copied().unwrap_or(0));
        let message = LENGTH_BYTES + 1..end.saturating_sub(padding);
        if message.is_empty() {
            return Err(SshError::Malformed { what: "a packet's padding" });
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.saturating_add(1);
        Ok(Some(Opened { message, packet_bytes: end + tag_bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(cipher: &'static str) -> Keys {
        Keys { cipher, key: std::array::from_fn(|index| u8::try_from(index).unwrap()), nonce: [9; 12] }
    }

    fn pair(cipher: Option<&'static str>) -> (Sealer, Opener) {
        let (mut sealer, mut opener) = (Sealer::clear(), Opener::clear());
        if let Some(cipher) = cipher {
            sealer.renew(&keys(cipher), false).unwrap();
            opener.renew(&keys(cipher), false).unwrap();
        }
        (sealer, opener)
    }

    #[test]
    fn messages_of_every_length_come_out_as_they_went_in() {
        for cipher in [None, Some(CHACHA), Some(AES_GCM)] {
            let (mut sealer, mut opener) = pair(cipher);
            let mut bytes = Vec::new();
            for length in (1..70).chain([32 * 1024]) {
                sealer.seal(&vec![7; length], &mut bytes).unwrap();
            }
            for length in (1..70).chain([32 * 1024]) {
                assert!(opener.open(&mut bytes[..3]).unwrap().is_none(), "not even a length");
                assert!(opener.open(&mut bytes[..5]).unwrap().is_none(), "not whole");
                let found = opener.open(&mut bytes).unwrap().expect("whole");
                assert_eq!(bytes[found.message], vec![7; length], "{cipher:?}");
                bytes.drain(..found.packet_bytes);
            }
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn a_changed_or_repeated_packet_is_refused() {
        for cipher in [CHACHA, AES_GCM] {
            let (mut sealer, mut opener) = pair(Some(cipher));
            let mut bytes = Vec::new();
            sealer.seal(b"message", &mut bytes).unwrap();
            let mut again = bytes.clone();
            opener.open(&mut bytes).unwrap().expect("whole");
            assert!(opener.open(&mut again).is_err() || opener.open(&mut again).is_ok_and(|it| it.is_none()));
            let mut changed = Vec::new();
            let (mut sealer, mut opener) = pair(Some(cipher));
            sealer.seal(b"message", &mut changed).unwrap();
            let middle = changed.len() / 2;
            changed[middle] ^= 1;
            assert!(matches!(opener.open(&mut changed), Err(SshError::Integrity)), "{cipher}");
        }
    }

    #[test]
    fn impossible_lengths_are_refused_at_once() {
        for head in [[0, 0, 0, 0], [0, 0, 0, 4], [0, 4, 0, 1], [255; 4]] {
            Opener::clear().open(&mut [head.as_slice(), &[255; 64]].concat()).unwrap_err();
        }
        Opener::clear().open(&mut [0, 0, 0, 5, 200, 1, 1, 1, 1]).unwrap_err();
    }
}
