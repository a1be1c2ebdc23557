//! By what a client knows the server again: an Ed25519 key (RFC 8709).

use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::encoding::Writer as _;
use crate::error::SshError;

/// The name of the algorithm.
pub(crate) const ALGORITHM: &str = "ssh-ed25519";

/// How long the secret from which a key is made is.
pub const SEED_BYTES: usize = 32;

/// A server's key.
#[derive(Debug)]
pub struct HostKey {
    pair: Ed25519KeyPair,
}

impl HostKey {
    /// Makes the key that belongs to a secret.
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Result<Self, SshError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| SshError::Exchange { step: "make the host key" })?;
        Ok(Self { pair })
    }

    /// Returns the public half as the protocol carries it.
    pub fn public(&self) -> Vec<u8> {
        Vec::new().string(ALGORITHM.as_bytes()).string(self.pair.public_key().as_ref())
    }

    /// Signs as the protocol carries signatures.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        Vec::new().string(ALGORITHM.as_bytes()).string(self.pair.sign(message).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_secret_makes_the_same_key_and_its_signatures_hold() {
        let (one, same) = (HostKey::from_seed(&[7; 32]).unwrap(), HostKey::from_seed(&[7; 32]).unwrap());
        let other = HostKey::from_seed(&[8; 32]).unwrap();
        assert_eq!(one.public(), same.public());
        assert_ne!(one.public(), other.public());
        let signature = one.sign(b"message");
        let (public, signature) = (one.public(), &signature[signature.len() - 64..]);
        let public = &public[public.len() - 32..];
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
        key.verify(b"message", signature).unwrap();
        key.verify(b"massage", signature).unwrap_err();
    }
}
