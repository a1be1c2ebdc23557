//! Good tokens, and every kind of bad one.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::Mac as _;
use identity::{Flaw, IdentityError, Verifier};
use serde_json::{Value, json};
use service::Tasks;
use testkit::issuer::{AUDIENCE, Key, token};
use testkit::{Issuer, TestClock};
use types::Clock as _;

/// A provider, whoever judges its tokens, and the time.
pub(crate) struct Ground {
    pub(crate) issuer: Issuer,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) clock: Arc<TestClock>,
}

impl Ground {
    pub(crate) async fn start() -> Self {
        let issuer = Issuer::start().await.unwrap();
        let clock = Arc::new(TestClock::default());
        let verifier = Verifier::new(issuer.settings(), Arc::<TestClock>::clone(&clock), Tasks::new());
        Self { issuer, verifier: Arc::new(verifier.unwrap()), clock }
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now().as_second()
    }

    /// Returns claims that are good for an hour.
    pub(crate) fn claims(&self) -> Value {
        json!({"iss": self.issuer.url, "aud": AUDIENCE, "sub": "ada", "exp": self.now() + 3600})
    }

    pub(crate) fn token(&self, key: &str) -> String {
        self.issuer.sign(key, &self.claims()).unwrap()
    }

    /// Returns what is wrong with a token; nothing when it is taken.
    pub(crate) async fn flaw(&self, token: &str) -> Option<Flaw> {
        match self.verifier.verify(token).await {
            Ok(identity) => {
                assert_eq!(identity.user_id.0, "ada");
                None
            }
            Err(IdentityError::Token { flaw }) => Some(flaw),
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn both_ways_of_signing_are_taken() {
    let ground = Ground::start().await;
    assert_eq!(ground.flaw(&ground.token("rsa")).await, None);
    assert_eq!(ground.flaw(&ground.token("curve")).await, None);
    assert_eq!(ground.issuer.asked(), 1);
}

#[tokio::test]
async fn signed_claims_that_are_not_for_us_or_not_of_now_are_refused() {
    let ground = Ground::start().await;
    for (name, value, flaw) in [
        ("exp", json!(ground.now() - 30), Flaw::Expired),
        ("exp", Value::Null, Flaw::Expired),
        ("nbf", json!(ground.now() + 31), Flaw::NotYetValid),
        ("aud", json!("another"), Flaw::Audience),
        ("iss", json!("http://127.0.0.1:1"), Flaw::Issuer),
        ("sub", json!("daytona-admin"), Flaw::Subject),
    ] {
        let mut claims = ground.claims();
        claims[name] = value;
        for key in ["rsa", "curve"] {
            let token = ground.issuer.sign(key, &claims).unwrap();
            assert_eq!(ground.flaw(&token).await, Some(flaw), "{claims}");
        }
    }
    let token = ground.token("rsa");
    ground.advance(3600 + 29);
    assert_eq!(ground.flaw(&token).await, None, "within the leeway");
    ground.advance(1);
    assert_eq!(ground.flaw(&token).await, Some(Flaw::Expired));
}

#[tokio::test]
async fn a_token_cannot_choose_how_it_is_checked() {
    let ground = Ground::start().await;
    let claims = ground.claims();
    let (rsa, curve) = (ground.issuer.key("rsa").unwrap(), ground.issuer.key("curve").unwrap());
    let described = rsa.public("rsa");
    let modulus = described["n"].as_str().unwrap();
    let secrets = [
        modulus.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(modulus).unwrap(),
        described.to_string().into_bytes(),
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(modulus))
            .into_bytes(),
        Vec::new(),
    ];
    for secret in secrets {
        for algorithm in ["HS256", "RS256"] {
            let header = json!({"alg": algorithm, "typ": "JWT", "kid": "rsa"});
            let forged = token(&header, &claims, |bytes| {
                let mut code = hmac::Hmac::<sha2::Sha256>::new_from_slice(&secret).unwrap();
                code.update(bytes);
                Ok(code.finalize().into_bytes().to_vec())
            });
            let expected = if algorithm == "RS256" { Flaw::Signature } else { Flaw::Algorithm };
            assert_eq!(ground.flaw(&forged.unwrap()).await, Some(expected));
        }
    }
    for algorithm in
        ["none", "None", "NONE", "", "RS384", "RS512", "PS256", "ES384", "EdDSA", "rs256", "HS512"]
    {
        let header = json!({"alg": algorithm, "kid": "rsa"});
        for signature in [rsa.sign(b"x").unwrap(), Vec::new()] {
            let forged = token(&header, &claims, |_| Ok(signature)).unwrap();
            assert_eq!(ground.flaw(&forged).await, Some(Flaw::Algorithm), "{algorithm}");
        }
    }
    // A key that is there, used as the other kind.
    for (key, id, algorithm) in [(&rsa, "rsa", "ES256"), (&curve, "curve", "RS256")] {
        let header = json!({"alg": algorithm, "kid": id});
        let forged = token(&header, &claims, |bytes| key.sign(bytes)).unwrap();
        assert_eq!(ground.flaw(&forged).await, Some(Flaw::UnknownKey));
    }
    // A key that the token brings along.
    let own = Key::p256().unwrap();
    let header = json!({
        "alg": "ES256", "kid": "curve", "jwk": own.public("curve"),
        "jku": format!("{}/keys", ground.issuer.url), "x5u": "http://127.0.0.1:1/",
    });
    let forged = token(&header, &claims, |bytes| own.sign(bytes)).unwrap();
    assert_eq!(ground.flaw(&forged).await, Some(Flaw::Signature));
}

#[tokio::test]
async fn what_was_changed_after_it_was_signed_is_refused() {
    let ground = Ground::start().await;
    for key in ["rsa", "curve"] {
        let good = ground.token(key);
        let parts: Vec<&str> = good.split('.').collect();
        let mut claims = ground.claims();
        claims["sub"] = json!("eve");
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        let other = ground.issuer.sign(key, &claims).unwrap();
        let others = other.rsplit('.').next().unwrap();
        let mut bent = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        bent[10] ^= 1;
        let short = &bent[..bent.len() - 1];
        for tampered in [
            format!("{}.{payload}.{}", parts[0], parts[2]),
            format!("{}.{}.{others}", parts[0], parts[1]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode(&bent)),
            format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode(short)),
            format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([0; 64])),
        ] {
            assert_eq!(ground.flaw(&tampered).await, Some(Flaw::Signature), "{tampered}");
        }
        assert_eq!(ground.flaw(&good).await, None);
    }
}

#[tokio::test]
async fn a_token_without_the_name_of_a_key_means_the_only_one() {
    let ground = Ground::start().await;
    let curve = ground.issuer.key("curve").unwrap();
    let nameless = token(&json!({"alg": "ES256"}), &ground.claims(), |bytes| curve.sign(bytes)).unwrap();
    assert_eq!(ground.flaw(&nameless).await, None);
    ground.issuer.publish("second", Arc::new(Key::p256().unwrap()));
    ground.advance(10);
    assert_eq!(ground.flaw(&ground.token("second")).await, None, "which fetches the keys");
    assert_eq!(ground.flaw(&nameless).await, Some(Flaw::UnknownKey), "there are two now");
}

#[tokio::test]
async fn nothing_that_is_sent_is_too_much() {
    let ground = Ground::start().await;
    let mut claims = ground.claims();
    claims["groups"] = json!(vec!["a group of the company"; 600]);
    let big = ground.issuer.sign("rsa", &claims).unwrap();
    assert!(big.len() > 16 << 10);
    assert_eq!(ground.flaw(&big).await, Some(Flaw::TooLong));
    assert_eq!(ground.flaw(&"eyJh.".repeat(1 << 20)).await, Some(Flaw::TooLong));
    assert_eq!(ground.issuer.asked(), 0, "nothing of it needed a key");
    claims["groups"] = json!(vec!["a group of the company"; 300]);
    assert_eq!(ground.flaw(&ground.issuer.sign("rsa", &claims).unwrap()).await, None);
}
