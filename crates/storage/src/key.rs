//! The names of objects, made of ids alone: nothing that a user wrote becomes a part of a path.

use std::fmt;
use std::str::FromStr;

use types::{OrganizationId, Random, SandboxId};

/// Bytes of chance in a key: two copies of one sandbox never share it.
const TOKEN_BYTES: usize = 16;

/// The place of one sandbox's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shelf {
    /// Whose it is.
    pub organization: OrganizationId,
    /// The sandbox.
    pub sandbox: SandboxId,
}

impl fmt::Display for Shelf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sandboxes/{}/{}", self.organization, self.sandbox)
    }
}

/// The name of one object: its shelf, and a token of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where it lies.
    pub shelf: Shelf,
    token: String,
}

impl Key {
    /// Draws a key that no object has.
    pub fn new(shelf: Shelf, random: &dyn Random) -> Self {
        Self { shelf, token: types::random::hex_token(random, TOKEN_BYTES) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.shelf, self.token)
    }
}

/// The text is no key of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no key of the object storage")]
pub struct InvalidKey {
    /// The text that was given.
    pub text: String,
}

impl FromStr for Key {
    type Err = InvalidKey;

    /// Accepts what `Display` prints and nothing else: what a database says is no path yet.
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let read = || {
            let mut parts = text.split('/');
            let (name, organization, sandbox, token) =
                (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            let is_token = |token: &str| {
                token.len() == 2 * TOKEN_BYTES
                    && token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            };
            if name != "sandboxes" || parts.next().is_some() || !is_token(token) {
                return None;
            }
            let shelf = Shelf { organization: organization.parse().ok()?, sandbox: sandbox.parse().ok()? };
            Some(Self { shelf, token: token.to_owned() })
        };
        read().ok_or_else(|| InvalidKey { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_nothing_else_is_one() {
        let shelf =
            Shelf { organization: OrganizationId::from_u128(1), sandbox: SandboxId::from_u128(u128::MAX) };
        let key = Key::new(shelf, &types::SystemRandom);
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        let text = key.to_string();
        for wrong in [
            String::new(),
            "/".to_owned(),
            format!("/{text}"),
            format!("{text}/"),
            format!("{text}/x"),
            text.replace("sandboxes", ".."),
            text.replace("ffffffff-", "FFFFFFFF-"),
            format!("{shelf}/../../etc/passwd"),
            format!("{shelf}/{}", "g".repeat(32)),
            format!("{shelf}/{}", "a".repeat(31)),
        ] {
            assert_eq!(wrong.parse::<Key>(), Err(InvalidKey { text: wrong.clone() }));
        }
    }
}
