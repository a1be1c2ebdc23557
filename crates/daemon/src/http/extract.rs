//! Reads parameters and bodies, forgiving what SDKs send and naming what is wrong.
//!
//! Content types are ignored: one official SDK sends JSON without one, another declares JSON on empty bodies.

use std::collections::HashMap;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use futures_util::StreamExt as _;
use percent_encoding::percent_decode;
use serde::de::DeserializeOwned;

use crate::error::DaemonError;

/// The longest JSON body: a program text may be long, a file has its own way in.
const BODY_BYTES: usize = 32 * 1024 * 1024;

/// The parameters behind the `?`.
#[derive(Debug, Default)]
pub struct Query(HashMap<String, String>);

impl Query {
    /// Parses a query; the first of several parameters of one name counts.
    pub fn parse(query: &str) -> Result<Self, DaemonError> {
        let mut parameters = HashMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            parameters.entry(name).or_insert(value);
        }
        Ok(Self(parameters))
    }

    /// Returns a parameter that is present and not empty.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns a parameter that must be there.
    pub fn required(&self, name: &str) -> Result<&str, DaemonError> {
        self.optional(name).ok_or_else(|| DaemonError::Invalid {
            reason: format!("query parameter `{name}` is required; add `?{name}=…`"),
        })
    }

    /// Returns whether a switch is on; absent means off.
    pub fn switch(&self, name: &str) -> Result<bool, DaemonError> {
        match self.optional(name) {
            None | Some("false" | "False" | "0") => Ok(false),
            Some("true" | "True" | "1") => Ok(true),
            Some(other) => Err(unreadable(name, other, "true or false")),
        }
    }

    /// Returns a count of at least one; absent means one.
    pub fn count(&self, name: &str) -> Result<usize, DaemonError> {
        let Some(text) = self.optional(name) else { return Ok(1) };
        text.parse().ok().filter(|count| *count >= 1).ok_or_else(|| unreadable(name, text, "a number from 1"))
    }
}

fn unreadable(name: &str, value: &str, wanted: &str) -> DaemonError {
    let shown: String = value.chars().take(40).collect();
    DaemonError::Invalid {
        reason: format!("query parameter `{name}` is `{}`; use {wanted}", shown.escape_debug()),
    }
}

fn decode(text: &str) -> Result<String, DaemonError> {
    let text = text.replace('+', " ");
    let decoded = percent_decode(text.as_bytes()).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| DaemonError::Invalid {
        reason: "the query is not UTF-8 after percent-decoding; encode names and values as UTF-8".to_owned(),
    })
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = DaemonError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, DaemonError> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

/// A JSON body, whatever its content type says; an empty one counts as `{}`.
#[derive(Debug)]
pub struct LaxJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for LaxJson<T> {
    type Rejection = DaemonError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, DaemonError> {
        let mut pieces = request.into_body().into_data_stream();
        let mut bytes = Vec::new();
        let mut is_too_large = false;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| DaemonError::Body { reason: error.to_string() })?;
            // Read to its end all the same: a client that is still sending would not hear the answer.
            is_too_large = is_too_large || bytes.len() + piece.len() > BODY_BYTES;
            if is_too_large {
                bytes = Vec::new();
            } else {
                bytes.extend_from_slice(&piece);
            }
        }
        if is_too_large {
            return Err(DaemonError::BodyTooLarge { limit_bytes: BODY_BYTES });
        }
        let bytes: &[u8] = if bytes.trim_ascii().is_empty() { b"{}" } else { &bytes };
        if bytes.trim_ascii_start().first() == Some(&b'[') {
            // A list would be taken for the fields in their order.
            return Err(DaemonError::Body { reason: "expected an object, not a list".to_owned() });
        }
        serde_json::from_slice(bytes)
            .map(Self)
            .map_err(|error| DaemonError::Body { reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_once_and_strictly() {
        let query = Query::parse("path=/a%20b+c/%C3%A9%2Fd&x&path=second&&y=1=2").expect("query");
        assert_eq!(query.required("path").expect("path"), "/a b c/é/d");
        assert_eq!(query.optional("x"), None);
        assert_eq!(query.optional("y"), Some("1=2"));
        assert_eq!(Query::parse("p=%25%00").expect("query").optional("p"), Some("%\0"));
        Query::parse("path=%ff").expect_err("not UTF-8");
        assert!(query.required("nothing").expect_err("missing").message().contains("`nothing` is required"));
    }

    #[test]
    fn switches_and_counts_refuse_nonsense() {
        let query =
            Query::parse("a=true&b=False&c=maybe&d=2&e=0&f=-1&g=99999999999999999999").expect("query");
        assert!(
            query.switch("a").expect("on")
                && !query.switch("b").expect("off")
                && !query.switch("z").expect("off")
        );
        query.switch("c").expect_err("neither");
        assert_eq!((query.count("d").expect("two"), query.count("z").expect("default")), (2, 1));
        for name in ["e", "f", "g", "c"] {
            query.count(name).expect_err(name);
        }
    }
}
