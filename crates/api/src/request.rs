//! What was sent: path segments, query and body, read as loosely as the SDKs write them.

use std::fmt::Display;
use std::str::FromStr;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::{header, request};
use http_body_util::LengthLimitError;
use percent_encoding::percent_decode_str;
use serde::de::{DeserializeOwned, IgnoredAny};
use types::Timestamp;

use crate::error::ApiError;
use crate::moment;
use crate::state::ApiState;

/// The path's variable segments, decoded one by one, so that a name may hold an encoded slash.
#[derive(Debug)]
pub(crate) struct Segments(Vec<(String, String)>);

/// The query's pairs, in order; a name may come again.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

/// The JSON body. Its content type is not asked for, because some SDKs send none or a wrong one; no body is `{}`.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl Segments {
    /// Returns the sandbox's id or name.
    pub(crate) fn sandbox(&self) -> &str {
        self.0.iter().find(|(name, _)| name.starts_with("sandboxId")).map_or("", |(_, value)| value)
    }

    /// Returns a segment.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Reads a segment as a whole number.
    pub(crate) fn integer(&self, name: &str) -> Result<i64, ApiError> {
        integer(name, self.get(name))
    }
}

impl Query {
    /// Returns the value of `name`; an empty one counts as missing.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// Returns every value of a list, written `name=a&name=b` or `name[]=a&name[1]=b`.
    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        let is_list = |known: &str| known.split_once('[').is_some_and(|(stem, _)| stem == name);
        self.0
            .iter()
            .filter(|(known, value)| (known == name || is_list(known)) && !value.is_empty())
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Reads a truth.
    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name) {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(_) => Err(ApiError::invalid(format!("{name} must be a boolean value"))),
        }
    }

    /// Reads a whole number of at least `least`.
    pub(crate) fn at_least(&self, name: &str, least: u32) -> Result<Option<u32>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let number = u32::try_from(integer(name, text)?).ok().filter(|number| *number >= least);
        number.map(Some).ok_or_else(|| ApiError::invalid(format!("{name} must not be less than {least}")))
    }

    /// Reads a moment.
    pub(crate) fn moment(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let moment = moment::read(text);
        moment
            .map(Some)
            .ok_or_else(|| ApiError::invalid(format!("{name} must be a valid ISO 8601 date string")))
    }
}

/// Reads a whole number; `2.0` is one, because clients of older versions send floats.
fn integer(name: &str, text: &str) -> Result<i64, ApiError> {
    let whole = text.split_once('.').filter(|(_, fraction)| fraction.bytes().all(|byte| byte == b'0'));
    i64::from_str(whole.map_or(text, |(whole, _)| whole))
        .map_err(|_| ApiError::invalid(format!("{name} must be an integer number")))
}

impl FromRequestParts<ApiState> for Segments {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::invalid("the path holds an encoded segment that is not UTF-8"))?;
        Ok(Self(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

impl FromRequestParts<ApiState> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, _: &ApiState) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((form_decode(name)?, form_decode(value)?))
        });
        pairs.collect::<Result<_, ApiError>>().map(Self)
    }
}

fn form_decode(text: &str) -> Result<String, ApiError> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded
        .map(Into::into)
        .map_err(|_| ApiError::invalid("the query holds an encoded value that is not UTF-8"))
}

impl<T: DeserializeOwned> FromRequest<ApiState> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let limit_bytes = state.settings.body_limit_bytes;
        let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if announced
            .and_then(|length| length.parse::<u64>().ok())
            .is_some_and(|length| length > limit_bytes as u64)
        {
            return Err(ApiError::BodyTooLarge { limit_bytes });
        }
        let bytes = read(request.into_body(), limit_bytes).await?;
        parse(&bytes).map(Self)
    }
}

/// Reads an object. A list is refused here, because `serde` would take its items for the fields in their order.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let parsed = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => serde_json::from_slice(b"{}"),
        Some(b'{') => serde_json::from_slice(bytes),
        Some(_) => {
            serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| body_error(&error))?;
            return Err(body_error(&"expected an object at line 1 column 1"));
        }
    };
    parsed.map_err(|error: serde_json::Error| body_error(&error))
}

async fn read(body: Body, limit_bytes: usize) -> Result<axum::body::Bytes, ApiError> {
    to_bytes(body, limit_bytes).await.map_err(|error| {
        let too_long =
            std::error::Error::source(&error).is_some_and(<dyn std::error::Error>::is::<LengthLimitError>);
        if too_long { ApiError::BodyTooLarge { limit_bytes } } else { body_error(&error) }
    })
}

fn body_error(error: &dyn Display) -> ApiError {
    ApiError::invalid(format!("request body: {error}"))
}
