//! The keys of a login provider, each good for one way of signing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Flaw;
use crate::token::Token;

/// The most keys that are kept of a provider; they publish a few.
const MOST_KEYS: usize = 64;
/// Bytes of a coordinate on the curve.
const COORDINATE_BYTES: usize = 32;
/// The longest number that is taken for a modulus.
const LONGEST_MODULUS_BYTES: usize = 1024;

/// The document in which a provider publishes its keys.
#[derive(Debug, Deserialize)]
pub(crate) struct Published {
    keys: Vec<Value>,
}

/// The keys of a provider that we can use.
#[derive(Debug)]
pub(crate) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    material: Material,
}

/// A key says by what it is how it signs.
#[derive(Debug)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256 { point: Vec<u8> },
}

/// One key as it is published.
#[derive(Debug, Deserialize)]
struct Described {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Takes what we can use; a provider may publish other keys beside.
    pub(crate) fn of(published: Published) -> Self {
        let described = published.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Self(described.filter_map(Key::of).take(MOST_KEYS).collect())
    }

    /// Tells whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that one of the keys made the signature of a token.
    pub(crate) fn check(&self, token: &Token<'_>) -> Result<(), Flaw> {
        let algorithm = token.header.alg.as_str();
        if !matches!(algorithm, Material::RS256 | Material::ES256) {
            return Err(Flaw::Algorithm);
        }
        let fit = |key: &&Key| {
            let is_named = token.header.kid.is_none() || token.header.kid == key.id;
            is_named && key.material.algorithm() == algorithm
        };
        let fitting: Vec<&Key> = self.0.iter().filter(fit).collect();
        // A token that names no key can only mean the only one.
        if fitting.is_empty() || (token.header.kid.is_none() && fitting.len() > 1) {
            return Err(Flaw::UnknownKey);
        }
        let holds = fitting.iter().any(|key| key.material.made(token.signed, &token.signature));
        if holds { Ok(()) } else { Err(Flaw::Signature) }
    }
}

impl Key {
    fn of(described: Described) -> Option<Self> {
        let signs = described.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && described.key_ops.as_ref().is_none_or(|uses| uses.iter().any(|one| one == "verify"));
        let number = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let material = match (described.kty.as_str(), described.crv.as_deref()) {
            ("RSA", _) => {
                let (modulus, exponent) = (unsigned(number(&described.n)?), unsigned(number(&described.e)?));
                (modulus.len() <= LONGEST_MODULUS_BYTES).then_some(Material::Rsa { modulus, exponent })?
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (number(&described.x)?, number(&described.y)?);
                let is_whole = x.len() == COORDINATE_BYTES && y.len() == COORDINATE_BYTES;
                // The mark of a point that is written out.
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                is_whole.then_some(Material::P256 { point })?
            }
            _ => return None,
        };
        let agrees = described.alg.as_deref().is_none_or(|algorithm| algorithm == material.algorithm());
        (signs && agrees).then_some(Self { id: described.kid, material })
    }
}

impl Material {
    const RS256: &str = "RS256";
    const ES256: &str = "ES256";

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => Self::RS256,
            Self::P256 { .. } => Self::ES256,
        }
    }

    /// Tells whether this key made a signature of these bytes.
    fn made(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { modulus, exponent } => {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
            }
            Self::P256 { point } => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok()
            }
        }
    }
}

/// Leaves out zeros at the front, which some providers write.
fn unsigned(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn count(keys: &Value) -> usize {
        KeySet::of(serde_json::from_value(json!({ "keys": keys })).unwrap()).0.len()
    }

    #[test]
    fn only_keys_that_sign_in_our_ways_are_taken() {
        let (long, coordinate) = ("A".repeat(342), "A".repeat(43));
        let rsa = json!({"kty": "RSA", "n": long, "e": "AQAB"});
        let curve = json!({"kty": "EC", "crv": "P-256", "x": coordinate, "y": coordinate});
        assert_eq!(count(&json!([rsa, curve])), 2);
        let with = |key: &Value, name: &str, value: Value| {
            let mut key = key.clone();
            key[name] = value;
            key
        };
        for good in [
            with(&rsa, "use", json!("sig")),
            with(&rsa, "alg", json!("RS256")),
            with(&curve, "key_ops", json!(["verify"])),
            with(&curve, "x5c", json!(["ignored"])),
        ] {
            assert_eq!(count(&json!([good])), 1, "{good}");
        }
        for other in [
            with(&rsa, "use", json!("enc")),
            with(&rsa, "alg", json!("RS512")),
            with(&rsa, "alg", json!("HS256")),
            with(&rsa, "key_ops", json!(["encrypt"])),
            with(&rsa, "n", json!("+/")),
            with(&rsa, "n", json!("BB".repeat(1000))),
            with(&rsa, "kty", json!("oct")),
            with(&rsa, "kid", json!(7)),
            with(&curve, "crv", json!("P-384")),
            with(&curve, "x", json!("AA")),
            with(&curve, "y", Value::Null),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!("key"),
            json!(null),
        ] {
            assert_eq!(count(&json!([other, rsa])), 1, "only the other: {other}");
        }
        assert_eq!(count(&json!(vec![rsa; 1000])), MOST_KEYS);
    }
}
