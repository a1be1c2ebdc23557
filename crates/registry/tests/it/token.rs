//! A registry that wants tokens, and a service that gives them.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use testkit::docker_registry::{DockerRegistry, USER};

use crate::image::{client, explain, name, noise, plain, pull, push, resolve, settings, user};
use crate::liar::{Asked, Liar, answer};

/// Signs what a caller may do (the distribution project's token specification).
struct Service {
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
    pem: String,
}

impl Service {
    fn new() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut parameters = CertificateParams::new(vec!["tokens".to_owned()]).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&pair).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &pair.serialize_der(),
            &SystemRandom::new(),
        );
        Self { key: key.unwrap(), certificate: certificate.der().to_vec(), pem: certificate.pem() }
    }

    fn token(&self, access: &serde_json::Value) -> String {
        let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&self.certificate)] });
        let claims = json!({
            "iss": "test", "sub": "", "aud": "registry", "jti": "1",
            // Long ago until long after.
            "nbf": 1_000_000_000_u64, "iat": 1_000_000_000_u64, "exp": 4_000_000_000_u64,
            "access": access,
        });
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// Gives who has the password all that is asked for, and others reading of what begins with `public`.
    fn answer(&self, asked: &Asked) -> serde_json::Value {
        let known = format!("Basic {}", STANDARD.encode(format!("{}:{}", USER.0, USER.1)));
        let is_known = asked.header("authorization").is_some_and(|value| value == known);
        let query = asked.path.split_once('?').map_or("", |(_, query)| query).to_owned();
        let scopes = query.split('&').filter_map(|pair| pair.strip_prefix("scope="));
        let access: Vec<_> = scopes
            .filter_map(|scope| {
                let scope = scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
                let mut parts = scope.splitn(3, ':').map(ToOwned::to_owned);
                let (kind, name, actions) = (parts.next()?, parts.next()?, parts.next()?);
                let may = |action: &&str| is_known || (*action == "pull" && name.starts_with("public"));
                let actions: Vec<&str> = actions.split(',').filter(may).collect();
                Some(json!({ "type": kind, "name": name, "actions": actions }))
            })
            .collect();
        json!({ "token": self.token(&json!(access)), "expires_in": 60 })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_asked_for_where_the_registry_says() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::new();
    let bundle = home.path().join("bundle.pem");
    std::fs::write(&bundle, &service.pem).unwrap();
    let paths = Arc::new(Mutex::new(Vec::new()));
    let heard = paths.clone();
    let tokens = Liar::start(move |asked| {
        heard.lock().unwrap().push(asked.path.clone());
        answer(
            "200 OK",
            &[("Content-Type", "application/json")],
            service.answer(asked).to_string().as_bytes(),
        )
    })
    .await;
    let sections = format!(
        "auth:\n  token:\n    realm: http://{}/token\n    service: registry\n    issuer: test\n    rootcertbundle: {}\n",
        tokens.address,
        bundle.display()
    );
    let server = DockerRegistry::start(&sections, "").unwrap();
    let client = client(&settings(&[(server.address(), plain())]));
    let (public, private) = (
        name(&format!("{}/public/a:1", server.address())),
        name(&format!("{}/private/a:1", server.address())),
    );
    let layers = vec![noise(70_000), noise(10)];
    for target in [&public, &private] {
        push(&client, target, Some(&user()), &layers).await.unwrap();
        assert_eq!(pull(&client, target, Some(&user())).await.unwrap(), layers);
    }
    assert_eq!(pull(&client, &public, None).await.unwrap(), layers);
    let denied = resolve(&client, &private, None).await.unwrap_err();
    assert!(explain(&denied).contains("needs credentials"), "{}", explain(&denied));
    assert!(push(&client, &public, None, &layers).await.is_err());
    // Each session asks for its own repository alone.
    let paths = paths.lock().unwrap().clone();
    assert!(
        paths.iter().all(|path| path.matches("scope=").count() == 1 && path.contains("service=registry")),
        "{paths:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_service_that_lies_harms_nobody() {
    for (case, token) in [
        ("no token", r#"{"token":""}"#.to_owned()),
        ("no JSON", "<html>".to_owned()),
        ("a line of its own", r#"{"token":"x\r\nHost: evil"}"#.to_owned()),
        ("too much", format!(r#"{{"token":"{}"}}"#, "x".repeat(2 << 20))),
        ("a wrong one", r#"{"access_token":"wrong"}"#.to_owned()),
    ] {
        let tokens = Liar::start(move |_| answer("200 OK", &[], token.as_bytes())).await;
        let realm = format!("Bearer realm=\"http://{}/t\",service=\"s\"", tokens.address);
        let liar =
            Liar::start(move |_| answer("401 Unauthorized", &[("WWW-Authenticate", &realm)], b"")).await;
        let client = client(&settings(&[(&liar.address, plain())]));
        assert!(resolve(&client, &name(&format!("{}/x:1", liar.address)), None).await.is_err(), "{case}");
        // Not for ever.
        assert!(liar.asked().len() <= 2, "{case}");
        assert_eq!(tokens.asked().len(), 1, "{case}");
    }
}
