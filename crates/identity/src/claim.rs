//! What a token claims, once its signature holds.

use serde::Deserialize;
use serde_json::Value;
use types::{Timestamp, UserId};

use crate::error::Flaw;
use crate::settings::Settings;

/// By how much clocks may disagree.
const LEEWAY_SECONDS: f64 = 30.0;
/// The longest id of a user, as `OpenID` Connect has it.
const LONGEST_ID: usize = 255;
/// The longest name that is kept.
const LONGEST_NAME: usize = 255;
/// The longest address of mail there is.
const LONGEST_EMAIL: usize = 320;

/// For whom a good token speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: UserId,
    /// Their name, if it says.
    pub name: Option<String>,
    /// Their address of mail, if it says.
    pub email: Option<String>,
    /// Whether the address is theirs, if it says.
    pub email_verified: Option<bool>,
    /// When it stops to be good.
    pub expires_at: Timestamp,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
    // Of what follows providers have many opinions; what cannot be read is not there.
    cid: Option<Value>,
    uid: Option<Value>,
    name: Option<Value>,
    email: Option<Value>,
    email_verified: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn includes(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Several(several) => several.iter().any(|one| one == wanted),
        }
    }
}

/// Reads the claims of a token whose signature holds, and checks that it is for us and of now.
pub(crate) fn check(payload: &[u8], settings: &Settings, now: Timestamp) -> Result<Identity, Flaw> {
    let claims: Claims = serde_json::from_slice(payload).map_err(|_| Flaw::Malformed)?;
    if !claims.iss.as_deref().is_some_and(|issuer| settings.is_issuer(issuer)) {
        return Err(Flaw::Issuer);
    }
    if !claims.aud.as_ref().is_some_and(|audience| audience.includes(&settings.audience)) {
        return Err(Flaw::Audience);
    }
    let now = seconds(now);
    let end = claims.exp.ok_or(Flaw::Expired)? + LEEWAY_SECONDS;
    if now >= end {
        return Err(Flaw::Expired);
    }
    if claims.nbf.is_some_and(|start| now < start - LEEWAY_SECONDS) {
        return Err(Flaw::NotYetValid);
    }
    let email = text(claims.email.as_ref()).filter(|email| email.len() <= LONGEST_EMAIL);
    Ok(Identity {
        user_id: user_id(&claims).ok_or(Flaw::Subject)?,
        name: text(claims.name.as_ref()).map(|name| name.chars().take(LONGEST_NAME).collect()),
        email: email.map(str::to_owned),
        email_verified: truth(claims.email_verified.as_ref()),
        expires_at: moment(end),
    })
}

/// Returns the user's id: the subject, or what a provider that names clients apart says besides.
fn user_id(claims: &Claims) -> Option<UserId> {
    let apart = claims.cid.as_ref().and(text(claims.uid.as_ref()));
    let id = apart.or(claims.sub.as_deref())?;
    let is_plain = !id.is_empty() && id.len() <= LONGEST_ID && !id.chars().any(char::is_control);
    // The operator's own user has keys alone: whoever may choose names at a provider must not become it.
    (is_plain && id != types::user::OPERATOR).then(|| UserId(id.to_owned()))
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// Reads a truth, which some providers write as a word.
fn truth(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(truth) => Some(*truth),
        Value::String(word) => word.parse().ok(),
        _ => None,
    }
}

/// Returns a moment as tokens write it: seconds since 1970, of which a number of this kind holds milliseconds for longer
/// than anything here lives.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 need 41 of 53 bits")]
fn seconds(moment: Timestamp) -> f64 {
    moment.as_millisecond() as f64 / 1000.0
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a number out of range becomes the nearest, which is the last moment"
)]
fn moment(seconds: f64) -> Timestamp {
    Timestamp::from_second(seconds as i64).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn settings() -> Settings {
        Settings {
            issuer: "https://login.test/dex".to_owned(),
            public_issuer: Some("https://public.test".to_owned()),
            audience: "daytona".to_owned(),
        }
    }

    fn checked(change: &Value) -> Result<Identity, Flaw> {
        let mut claims =
            json!({"iss": "https://login.test/dex", "aud": "daytona", "sub": "ada", "exp": NOW + 60});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let now = Timestamp::from_second(NOW).unwrap();
        check(claims.to_string().as_bytes(), &settings(), now)
    }

    #[test]
    fn a_good_token_says_who_it_is() {
        let said = checked(&json!({"name": " Ada ", "email": "ada@test", "email_verified": "true"})).unwrap();
        let expected = Identity {
            user_id: UserId("ada".to_owned()),
            name: Some("Ada".to_owned()),
            email: Some("ada@test".to_owned()),
            email_verified: Some(true),
            expires_at: Timestamp::from_second(NOW + 90).unwrap(),
        };
        assert_eq!(said, expected);
        let odd =
            checked(&json!({"name": 7, "email": ["a"], "email_verified": 1, "groups": [{"a": []}]})).unwrap();
        assert_eq!((odd.name, odd.email, odd.email_verified), (None, None, None));
        let apart = checked(&json!({"cid": "client", "uid": "00u1"})).unwrap();
        assert_eq!(apart.user_id.0, "00u1");
        assert_eq!(checked(&json!({"uid": "00u1"})).unwrap().user_id.0, "ada");
    }

    #[test]
    fn what_is_near_enough_is_taken() {
        for change in [
            json!({"iss": "https://login.test/dex/"}),
            json!({"iss": "https://public.test/"}),
            json!({"aud": ["other", "daytona"]}),
            json!({"exp": NOW - 29}),
            json!({"exp": 1e300}),
            json!({"exp": 1_800_000_000.5}),
            json!({"nbf": NOW + 30}),
            json!({"nbf": NOW - 1000}),
        ] {
            assert!(checked(&change).is_ok(), "{change}");
        }
    }

    #[test]
    fn what_is_not_for_us_or_not_of_now_is_refused() {
        for (change, flaw) in [
            (json!({"iss": null}), Flaw::Issuer),
            (json!({"iss": "https://login.test"}), Flaw::Issuer),
            (json!({"iss": "https://login.test/dex//"}), Flaw::Issuer),
            (json!({"iss": "https://login.test/dex/x"}), Flaw::Issuer),
            (json!({"iss": "http://login.test/dex"}), Flaw::Issuer),
            (json!({"aud": null}), Flaw::Audience),
            (json!({"aud": "Daytona"}), Flaw::Audience),
            (json!({"aud": []}), Flaw::Audience),
            (json!({"aud": {"daytona": true}}), Flaw::Malformed),
            (json!({"exp": null}), Flaw::Expired),
            (json!({"exp": NOW - 30}), Flaw::Expired),
            (json!({"exp": -1e300}), Flaw::Expired),
            (json!({"exp": "soon"}), Flaw::Malformed),
            (json!({"nbf": NOW + 31}), Flaw::NotYetValid),
            (json!({"nbf": "now"}), Flaw::Malformed),
            (json!({"sub": null}), Flaw::Subject),
            (json!({"sub": ""}), Flaw::Subject),
            (json!({"sub": 7}), Flaw::Malformed),
            (json!({"sub": "a\nb"}), Flaw::Subject),
            (json!({"sub": "x".repeat(256)}), Flaw::Subject),
            (json!({"sub": "daytona-admin"}), Flaw::Subject),
            (json!({"cid": "client", "uid": "daytona-admin"}), Flaw::Subject),
        ] {
            assert_eq!(checked(&change), Err(flaw), "{change}");
        }
        let now = Timestamp::from_second(NOW).unwrap();
        for payload in ["", "[]", "null", r#"{"exp":1e999}"#, r#"{"sub":"a","sub":"b"}"#, "\u{0}"] {
            assert_eq!(check(payload.as_bytes(), &settings(), now), Err(Flaw::Malformed), "{payload}");
        }
    }
}
