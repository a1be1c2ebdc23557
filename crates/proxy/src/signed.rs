//! Calls that carry a signature in place of a key: one file, one way, until a moment. Pure.

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;
use types::Timestamp;

use crate::query::{self, Found};

/// What may be signed: nothing else of a sandbox opens to a signature.
const OPERATIONS: [(Method, &str); 2] =
    [(Method::GET, "/files/download"), (Method::POST, "/files/upload-v2")];
/// Begins every signature of the one scheme there is.
const SCHEME: &str = "v1_";
/// What a path may hold unescaped, so that no reader can take a sign of it for a sign of the query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The parameter that holds the signature.
pub(crate) const SIGNATURE: &str = "signature";
/// The parameter that holds the end, in seconds since 1970; 0 is never.
pub(crate) const EXPIRES: &str = "expires";
const PATH: &str = "path";

/// A call whose signature is yet to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCall {
    method: Method,
    operation: &'static str,
    path: String,
    expires: i64,
    signature: Vec<u8>,
}

impl SignedCall {
    /// Reads a request; `None` when it claims no signature, or is nothing that can be signed.
    pub fn read(method: &Method, path: &str, query: &str) -> Option<Result<Self, Flaw>> {
        let operation = OPERATIONS.iter().find(|(signable, known)| signable == method && *known == path)?.1;
        match query::find(query, SIGNATURE) {
            Found::Nowhere => None,
            found => Some(Self::of(method, operation, query, found)),
        }
    }

    fn of(method: &Method, operation: &'static str, query: &str, signature: Found) -> Result<Self, Flaw> {
        let once = |found| if let Found::Once(value) = found { Ok(value) } else { Err(Flaw::Parameters) };
        let signature = once(signature)?;
        let path = once(query::find(query, PATH))?;
        let expires = once(query::find(query, EXPIRES))?;
        let seconds: i64 = expires.parse().map_err(|_| Flaw::Parameters)?;
        // What was signed is the text, so there must be one text for one moment.
        if seconds < 0 || seconds.to_string() != expires {
            return Err(Flaw::Parameters);
        }
        let encoded = signature.strip_prefix(SCHEME).ok_or(Flaw::Signature)?;
        let signature = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Flaw::Signature)?;
        Ok(Self { method: method.clone(), operation, path, expires: seconds, signature })
    }

    /// Refuses a call whose time is over. It lives through the second that it names.
    pub(crate) fn in_time(&self, now: Timestamp) -> Result<(), Flaw> {
        if self.expires == 0 || now.as_second() <= self.expires { Ok(()) } else { Err(Flaw::Expired) }
    }

    /// Tells whether the signature was made with a sandbox's key. Takes the same time wherever the two differ.
    pub fn holds(&self, signing_key: &str) -> bool {
        // Everybody knows the empty key.
        if signing_key.is_empty() {
            return false;
        }
        let Ok(mut code) = Hmac::<Sha256>::new_from_slice(signing_key.as_bytes()) else { return false };
        code.update(format!("v1:files:{}:{}:{}", self.method, self.path, self.expires).as_bytes());
        code.verify_slice(&self.signature).is_ok()
    }

    /// Returns the path and query that the sandbox gets: written anew, so that it reads the path that was signed, and
    /// nothing else.
    pub(crate) fn forwarded(&self) -> String {
        format!("{}?{PATH}={}", self.operation, utf8_percent_encode(&self.path, PLAIN))
    }
}

/// What is wrong with a signed call, as the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A parameter is missing, unreadable or there more than once.
    Parameters,
    /// The signature is none.
    Signature,
    /// Its time is over.
    Expired,
}

impl Flaw {
    /// Returns the sentence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parameters => {
                "a signed URL has `path`, `expires` and `signature` once each, and whole seconds in `expires`"
            }
            Self::Signature => "the URL's signature is not valid",
            Self::Expired => "the signed URL has expired",
        }
    }
}

#[cfg(test)]
mod tests;
