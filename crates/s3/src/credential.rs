//! Temporary credentials, made and checked without a table: an access key says whose it is and until when, and what
//! belongs to it is derived from it with a key that only this server has.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use types::clock::Timestamp;
use types::{OrganizationId, Random, hex};

/// Begins every access key of this form.
const FORM: &str = "DTN1";
/// An organisation's id, seconds, and chance, in hexadecimal.
const ORGANIZATION_DIGITS: usize = 32;
const SECONDS_DIGITS: usize = 16;
const CHANCE_BYTES: usize = 8;
/// How long credentials are good for.
pub const LIFETIME_SECONDS: i64 = 3600;
/// Bytes of the key that everything is derived from.
pub const KEY_BYTES: usize = 32;

/// What lets somebody in for a while.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Names it.
    pub access_key: String,
    /// Signs requests.
    pub secret: String,
    /// Goes with every request.
    pub session_token: String,
}

impl fmt::Debug for Credential {
    /// Leaves out what proves anything.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credential").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Why a credential does not let anybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is none of ours.
    Unknown,
    /// It is too old.
    Expired,
}

/// Makes credentials and knows its own again.
#[derive(Clone)]
pub struct Issuer {
    key: [u8; KEY_BYTES],
}

impl fmt::Debug for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Issuer")
    }
}

impl Issuer {
    /// Takes the key, which must stay the same as long as credentials are to be known.
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        Self { key }
    }

    /// Makes credentials for what belongs to an organisation.
    pub fn issue(&self, organization: OrganizationId, now: Timestamp, random: &dyn Random) -> Credential {
        let ends = now.as_second().saturating_add(LIFETIME_SECONDS);
        let id = organization.to_string().replace('-', "");
        let chance = types::random::hex_token(random, CHANCE_BYTES);
        let access_key = format!("{FORM}{id}{ends:016x}{chance}").to_uppercase();
        let secret = self.secret(&access_key);
        let session_token = self.token(&access_key);
        Credential { access_key, secret, session_token }
    }

    /// Returns the secret that belongs to an access key, whoever made that up: it helps nobody who does not know it.
    pub(crate) fn secret(&self, access_key: &str) -> String {
        self.derive("secret", access_key)
    }

    fn token(&self, access_key: &str) -> String {
        self.derive("token", access_key)
    }

    /// Tells whose an access key is, if its time is not over.
    pub(crate) fn read(access_key: &str, now: Timestamp) -> Result<OrganizationId, Refused> {
        let read = || {
            let digits = access_key.strip_prefix(FORM)?;
            let whole = ORGANIZATION_DIGITS + SECONDS_DIGITS + 2 * CHANCE_BYTES;
            let upper = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'A'..=b'F');
            if digits.len() != whole || !digits.bytes().all(upper) {
                return None;
            }
            let organization = u128::from_str_radix(digits.get(..ORGANIZATION_DIGITS)?, 16).ok()?;
            let seconds = digits.get(ORGANIZATION_DIGITS..ORGANIZATION_DIGITS + SECONDS_DIGITS)?;
            Some((OrganizationId::from_u128(organization), i64::from_str_radix(seconds, 16).ok()?))
        };
        let (organization, ends) = read().ok_or(Refused::Unknown)?;
        if now.as_second() >= ends { Err(Refused::Expired) } else { Ok(organization) }
    }

    /// Tells whether a session token is the one of an access key.
    pub(crate) fn knows(&self, access_key: &str, session_token: &str) -> bool {
        self.token(access_key).as_bytes().ct_eq(session_token.as_bytes()).into()
    }

    fn derive(&self, purpose: &str, access_key: &str) -> String {
        // A key of any length is one.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(b"daytona object storage\n");
        mac.update(purpose.as_bytes());
        mac.update(b"\n");
        mac.update(access_key.as_bytes());
        hex::encode(&mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use types::SystemRandom;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_credential_says_whose_it_is_until_its_time_is_over() {
        let issuer = Issuer::new([7; KEY_BYTES]);
        let organization = OrganizationId::from_u128(u128::MAX - 5);
        let given = issuer.issue(organization, at(1000), &SystemRandom);
        assert_eq!(Issuer::read(&given.access_key, at(1000)), Ok(organization));
        assert_eq!(Issuer::read(&given.access_key, at(1000 + LIFETIME_SECONDS - 1)), Ok(organization));
        assert_eq!(Issuer::read(&given.access_key, at(1000 + LIFETIME_SECONDS)), Err(Refused::Expired));
        assert_eq!(issuer.secret(&given.access_key), given.secret);
        assert!(issuer.knows(&given.access_key, &given.session_token));
        assert!(!issuer.knows(&given.access_key, &given.secret));
        let again = issuer.issue(organization, at(1000), &SystemRandom);
        assert_ne!(given.access_key, again.access_key);
        assert!(!issuer.knows(&again.access_key, &given.session_token));
        assert!(!format!("{given:?}").contains(&given.secret));
    }

    #[test]
    fn another_key_derives_something_else_and_no_other_text_is_an_access_key() {
        let (one, other) = (Issuer::new([1; KEY_BYTES]), Issuer::new([2; KEY_BYTES]));
        let given = one.issue(OrganizationId::from_u128(1), at(0), &SystemRandom);
        assert_ne!(other.secret(&given.access_key), given.secret);
        assert!(!other.knows(&given.access_key, &given.session_token));
        let access_key = &given.access_key;
        for wrong in [
            String::new(),
            "DTN1".to_owned(),
            access_key.to_lowercase(),
            format!("{access_key}0"),
            format!(" {access_key}"),
            access_key.replacen("DTN1", "DTN2", 1),
            format!("DTN1{}", "+".repeat(64)),
            format!("DTN1{}", "ü".repeat(32)),
        ] {
            assert_eq!(Issuer::read(&wrong, at(0)), Err(Refused::Unknown), "{wrong}");
        }
    }
}
