//! Agreeing on keys with X25519 (RFC 8731, RFC 4253 §7.2 and §8).

use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{Context, SHA256};
use ring::rand::SystemRandom;

use crate::cipher::Keys;
use crate::encoding::{Reader, Writer as _};
use crate::error::SshError;
use crate::host_key::HostKey;
use crate::message;

const HASH_BYTES: usize = 32;

/// What both sides have said before, which the exchange vouches for.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    pub(crate) client_version: &'a [u8],
    pub(crate) server_version: &'a [u8],
    pub(crate) client_offer: &'a [u8],
    pub(crate) server_offer: &'a [u8],
}

/// A finished exchange.
pub(crate) struct Secrets {
    /// The shared secret as it is hashed.
    shared: Vec<u8>,
    /// The exchange's hash.
    pub(crate) hash: [u8; HASH_BYTES],
}

/// Takes the client's half and returns the answer with what it leads to.
pub(crate) fn answer(
    request: &[u8],
    said: &Said<'_>,
    host_key: &HostKey,
) -> Result<(Vec<u8>, Secrets), SshError> {
    let failed = |step| move |_| SshError::Exchange { step };
    let mut reader = Reader::new(request);
    if reader.byte()? != message::KEX_ECDH_INIT {
        return Err(SshError::Protocol { what: "it sent something else during the key exchange" });
    }
    let client = reader.string()?;
    let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())
        .map_err(failed("make a key for once"))?;
    let server = private.compute_public_key().map_err(failed("make a public key"))?;
    let client_key = UnparsedPublicKey::new(&X25519, client);
    let shared = agree_ephemeral(private, &client_key, |secret| Vec::new().integer(secret))
        .map_err(failed("use the client's public key"))?;
    let public = host_key.public();
    let hashed = Vec::new().string(said.client_version).string(said.server_version);
    let hashed = hashed.string(said.client_offer).string(said.server_offer);
    let hashed = hashed.string(&public).string(client).string(server.as_ref()).raw(&shared);
    let hash = sha256(&[&hashed]);
    let reply = Vec::new().byte(message::KEX_ECDH_REPLY).string(&public);
    let reply = reply.string(server.as_ref()).string(&host_key.sign(&hash));
    Ok((reply, Secrets { shared, hash }))
}

impl Secrets {
    /// Derives the keys of one direction: `letters` are those of its nonce and its key.
    pub(crate) fn keys(
        &self,
        session_id: &[u8; HASH_BYTES],
        cipher: &'static str,
        letters: [u8; 2],
    ) -> Result<Keys, SshError> {
        let [nonce_letter, key_letter] = letters;
        let nonce = sha256(&[&self.shared, &self.hash, &[nonce_letter], session_id]);
        let first = sha256(&[&self.shared, &self.hash, &[key_letter], session_id]);
        let second = sha256(&[&self.shared, &self.hash, &first]);
        let mut key = [0; 64];
        let failed = SshError::Exchange { step: "derive keys" };
        let (Some((left, right)), Some(nonce)) =
            (key.split_first_chunk_mut::<HASH_BYTES>(), nonce.first_chunk::<12>())
        else {
            return Err(failed);
        };
        *left = first;
        right.copy_from_slice(&second);
        Ok(Keys { cipher, key, nonce: *nonce })
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; HASH_BYTES];
    // A SHA-256 has this length by definition.
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
