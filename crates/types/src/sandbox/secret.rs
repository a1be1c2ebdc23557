//! The secrets of a sandbox.

use crate::random::{Random, lowercase_token};

/// Length of the secret of preview links, as in the contract.
const AUTH_TOKEN_CHARACTERS: usize = 32;
/// Length of the secret that signs the URLs of files.
const SIGNING_KEY_CHARACTERS: usize = 64;

/// Draws a secret for preview links.
pub fn auth_token(random: &dyn Random) -> String {
    lowercase_token(random, AUTH_TOKEN_CHARACTERS)
}

/// Draws a secret that signs the URLs of files.
pub fn signing_key(random: &dyn Random) -> String {
    lowercase_token(random, SIGNING_KEY_CHARACTERS)
}
