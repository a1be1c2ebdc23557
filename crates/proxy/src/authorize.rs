//! Phase 2: whether the caller may call this sandbox.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use crate::directory::{Directory, Grant, Refusal};
use crate::error::ProxyError;
use crate::target::Target;

/// Asks the directory about the key that the request carries.
pub(crate) async fn authorize(
    directory: &dyn Directory,
    headers: &HeaderMap,
    target: &Target,
) -> Result<Grant, ProxyError> {
    let bearer = bearer(headers).ok_or(ProxyError::MissingKey)?;
    directory.authorize(bearer, &target.sandbox).await.map_err(|refusal| match refusal {
        Refusal::Unauthorized => ProxyError::WrongKey,
        Refusal::Forbidden => ProxyError::Forbidden,
        Refusal::NotFound => ProxyError::NotFound,
        Refusal::NotRunning { state } => ProxyError::NotRunning { state },
        Refusal::Unavailable => ProxyError::Unavailable,
    })
}

/// Returns the one bearer key. Two are none: which of them another reader would take is not known.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty() && !key.contains(' ')).then_some(key)
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
