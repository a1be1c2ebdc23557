//! A token's three parts, read and not yet believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::Flaw;

/// The longest token. Providers put many groups into one, and proxies on the way take little more than this.
const LONGEST_BYTES: usize = 16 << 10;

/// What a token says of itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    /// How it says that it is signed; the key decides.
    pub(crate) alg: String,
    /// Which key it says that it is signed with.
    pub(crate) kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

/// A token whose parts can be read.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
    /// The bytes that are signed.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

/// Tells whether a bearer is a token of a login provider rather than a key: three parts between dots, the first of which
/// holds a JSON object.
pub fn is_token(bearer: &str) -> bool {
    let mut parts = bearer.split('.');
    let Some(header) = parts.next() else { return false };
    let has_three = parts.next().is_some() && parts.next().is_some() && parts.next().is_none();
    // Four characters are three bytes; an object's text begins at once, as every library writes it.
    let begins = header.get(..header.len().min(4)).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    has_three && begins.is_some_and(|bytes| bytes.first() == Some(&b'{'))
}

impl<'a> Token<'a> {
    /// Reads the parts; none of them is true yet.
    pub(crate) fn read(text: &'a str) -> Result<Self, Flaw> {
        if text.len() > LONGEST_BYTES {
            return Err(Flaw::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Flaw::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Flaw::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Flaw::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Flaw::Malformed)?;
        // Whoever makes a part critical wants to be refused by those who do not know it.
        if header.crit.is_some() || !header.is_access_token() {
            return Err(Flaw::Kind);
        }
        Ok(Self {
            header,
            payload: decode(payload)?,
            signed: signed.as_bytes(),
            signature: decode(signature)?,
        })
    }
}

impl Header {
    /// Tells whether it is a token to call with, as far as it says: a notice of a logout, say, is none.
    fn is_access_token(&self) -> bool {
        let Some(kind) = &self.typ else { return true };
        let kind = kind.to_ascii_lowercase();
        matches!(kind.strip_prefix("application/").unwrap_or(&kind), "jwt" | "at+jwt")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", encode(header), encode(payload), encode("signature"))
    }

    #[test]
    fn keys_are_told_from_tokens() {
        assert!(is_token(&token(r#"{"alg":"none"}"#, "{}")));
        assert!(is_token(&token(r"{", "")), "what begins as one is judged as one");
        for key in ["", "dtn_0123456789abcdef", "a.b.c", "eyJ", "eyJh", "eyJh.b", "eyJh.b.c.d", "..", "é.é.é"]
        {
            assert!(!is_token(key), "{key}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = r#"{"alg":"RS256"}"#;
        assert!(Token::read(&token(good, "{}")).is_ok());
        for kind in ["JWT", "at+jwt", "application/at+JWT"] {
            assert!(
                Token::read(&token(&format!(r#"{{"alg":"RS256","typ":"{kind}"}}"#), "{}")).is_ok(),
                "{kind}"
            );
        }
        for (text, flaw) in [
            (String::new(), Flaw::Malformed),
            ("..".to_owned(), Flaw::Malformed),
            ("a.b".to_owned(), Flaw::Malformed),
            (token("[]", "{}"), Flaw::Malformed),
            (token(r#"{"alg":7}"#, "{}"), Flaw::Malformed),
            (token(r#"{"alg":"RS256","alg":"none"}"#, "{}"), Flaw::Malformed),
            (token(&"[".repeat(8_000), "{}"), Flaw::Malformed),
            (format!("{}=", token(good, "{}")), Flaw::Malformed),
            (format!("{}.x", token(good, "{}")), Flaw::Malformed),
            (token(good, &"x".repeat(LONGEST_BYTES)), Flaw::TooLong),
            (token(r#"{"alg":"RS256","typ":"logout+jwt"}"#, "{}"), Flaw::Kind),
            (token(r#"{"alg":"RS256","crit":["b64"],"b64":false}"#, "{}"), Flaw::Kind),
        ] {
            assert_eq!(Token::read(&text).unwrap_err(), flaw, "{text}");
        }
    }
}
