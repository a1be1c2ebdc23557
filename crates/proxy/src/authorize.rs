//! Phase 2: whether the caller may call this sandbox, by one of the ways in which it can show so.

use axum::http::header::AUTHORIZATION;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method};
use types::Timestamp;

use crate::directory::{Directory, Grant, Proof, Refusal};
use crate::error::ProxyError;
use crate::header::PREVIEW_TOKEN;
use crate::query::{self, Found};
use crate::signed::{EXPIRES, Flaw, SIGNATURE, SignedCall};
use crate::target::Target;

/// The parameter that holds a preview token, for those who cannot set a header.
const TOKEN_PARAMETER: &str = "DAYTONA_SANDBOX_AUTH_KEY";

/// A call that is let through.
#[derive(Debug)]
pub(crate) struct Admission {
    /// To which sandbox.
    pub(crate) grant: Grant,
    /// The path and query that the sandbox gets: without what was shown to be let through.
    pub(crate) path: PathAndQuery,
}

/// Asks the directory about everything that the request shows, in the contract's order, until something is enough: a
/// key, a token in the header, a token in the query, a signature.
pub(crate) async fn authorize(
    directory: &dyn Directory,
    method: &Method,
    headers: &HeaderMap,
    target: &Target,
    now: Timestamp,
) -> Result<Admission, ProxyError> {
    let shown = Shown::of(method, headers, target);
    let mut reasons = Vec::new();
    let mut told = None;
    for (proof, reason) in shown.proofs(now) {
        let Some(proof) = proof else {
            reasons.push(reason);
            continue;
        };
        match directory.authorize(proof, &target.sandbox).await {
            Ok(grant) => return Ok(Admission { grant, path: shown.forwarded(proof, target)? }),
            Err(Refusal::Unauthorized) => reasons.push(reason),
            // It holds, and not here: another may. Only if none does, this is what the caller is told.
            Err(refusal @ (Refusal::Forbidden | Refusal::NotFound)) => told = told.or(Some(refusal)),
            Err(refusal) => return Err(refusal.into()),
        }
    }
    match told {
        Some(refusal) => Err(refusal.into()),
        None if reasons.is_empty() => Err(ProxyError::MissingProof),
        None => Err(ProxyError::WrongProof { reasons: reasons.join(",") }),
    }
}

/// Everything that a request shows.
struct Shown<'a> {
    key: Option<&'a str>,
    header_token: Option<&'a str>,
    query_token: Option<String>,
    signed: Option<Result<SignedCall, Flaw>>,
}

impl<'a> Shown<'a> {
    fn of(method: &Method, headers: &'a HeaderMap, target: &Target) -> Self {
        let query = target.path.query().unwrap_or_default();
        let query_token = match query::find(query, TOKEN_PARAMETER) {
            Found::Once(token) => Some(token).filter(|token| !token.is_empty()),
            Found::Nowhere | Found::Unclear => None,
        };
        Self {
            key: bearer(headers),
            header_token: preview_token(headers),
            query_token,
            signed: SignedCall::read(method, target.path.path(), query),
        }
    }

    /// Returns what is there, in order, each with the reason that is given when it is not enough. What cannot be enough
    /// comes as a reason alone.
    fn proofs(&self, now: Timestamp) -> Vec<(Option<Proof<'_>>, &'static str)> {
        let mut proofs = Vec::new();
        if let Some(key) = self.key {
            proofs.push((Some(Proof::Key(key)), "the API key or JWT is not valid"));
        }
        if let Some(token) = self.header_token {
            proofs.push((Some(Proof::Token(token)), "the preview token in the header is not valid"));
        }
        if let Some(token) = &self.query_token {
            proofs.push((Some(Proof::Token(token)), "the preview token in the query is not valid"));
        }
        match &self.signed {
            None => {}
            Some(Ok(call)) => match call.in_time(now) {
                Ok(()) => proofs.push((Some(Proof::Signature(call)), Flaw::Signature.as_str())),
                Err(flaw) => proofs.push((None, flaw.as_str())),
            },
            Some(Err(flaw)) => proofs.push((None, flaw.as_str())),
        }
        proofs
    }

    /// Returns the path and query to send on. Secrets go whichever of them was enough; a signature opens nothing but
    /// the path that it was made for.
    fn forwarded(&self, proof: Proof<'_>, target: &Target) -> Result<PathAndQuery, ProxyError> {
        if let Proof::Signature(call) = proof {
            return path_and_query(call.forwarded());
        }
        let Some(query) = target.path.query() else { return Ok(target.path.clone()) };
        let secrets: &[&str] =
            if self.signed.is_some() { &[TOKEN_PARAMETER, SIGNATURE, EXPIRES] } else { &[TOKEN_PARAMETER] };
        let left = query::without(query, secrets);
        if left == query {
            return Ok(target.path.clone());
        }
        let path = target.path.path();
        path_and_query(if left.is_empty() { path.to_owned() } else { format!("{path}?{left}") })
    }
}

fn path_and_query(text: String) -> Result<PathAndQuery, ProxyError> {
    PathAndQuery::try_from(text).map_err(|source| ProxyError::BadPath { source })
}

/// Returns the one bearer key. Two are none: which of them another reader would take is not known.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty() && !key.contains(' ')).then_some(key)
}

/// Returns the one token in the header.
fn preview_token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(PREVIEW_TOKEN).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    value.to_str().ok().map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, axum::http::HeaderValue::from_static(value));
        }
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn one_bearer_key_is_read() {
        assert_eq!(read(&["Bearer k"]).as_deref(), Some("k"));
        assert_eq!(read(&["bearer  k"]).as_deref(), Some("k"));
    }

    #[test]
    fn anything_else_is_none() {
        for values in [
            &[][..],
            &["k"],
            &["Basic k"],
            &["Bearer"],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer a", "Bearer a"],
        ] {
            assert_eq!(read(values), None, "{values:?}");
        }
    }
}
