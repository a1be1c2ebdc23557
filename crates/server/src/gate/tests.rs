//! Secrets, and the moment in which they are none any more.

use base64::Engine as _;
use serde_json::{Value, json};
use testkit::TestApi;
use types::OrganizationId;

use super::*;

/// Signs a download as the SDKs do, without an end.
fn signed(key: &str) -> proxy::SignedCall {
    use hmac::Mac as _;
    let mut code = hmac::Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    code.update(b"v1:files:GET:/x:0");
    let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(code.finalize().into_bytes());
    let query = format!("path=/x&expires=0&signature=v1_{signature}");
    let get = axum::http::Method::GET;
    proxy::SignedCall::read(&get, "/files/download", &query).unwrap().unwrap()
}

struct Ground {
    app: TestApi,
    gate: Gate,
    id: String,
}

impl Ground {
    async fn with_a_sandbox() -> Self {
        let app = TestApi::start().await.unwrap();
        let made = app.call("POST", "/api/sandbox", json!({})).await;
        assert_eq!(made.text("state"), "started", "{}", made.json());
        let gate = Gate { store: app.store.clone(), callers: Arc::clone(&app.callers) };
        Self { id: made.text("id"), app, gate }
    }

    async fn secrets(&self) -> (String, String) {
        let row = self.app.store.sandbox_get(self.id.parse().unwrap()).await.unwrap().unwrap();
        (row.auth_token, row.signing_key)
    }

    async fn admit(&self, proof: Proof<'_>) -> Result<Grant, Refusal> {
        self.gate.admit(proof, &self.id).await
    }

    async fn post(&self, operation: &str) -> Value {
        let answer = self.app.call("POST", &format!("/api/sandbox/{}/{operation}", self.id), json!({})).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.json());
        answer.json()
    }
}

#[tokio::test]
async fn each_secret_opens_its_sandbox_alone() {
    let ground = Ground::with_a_sandbox().await;
    let (token, key) = ground.secrets().await;
    let grant = Grant { sandbox_id: ground.id.parse().unwrap(), is_asleep: false };
    for proof in [Proof::Key(&ground.app.key), Proof::Token(&token), Proof::Signature(&signed(&key))] {
        assert_eq!(ground.admit(proof).await, Ok(grant), "{proof:?}");
    }
    for proof in [
        Proof::Key("wrong"),
        Proof::Key(&token),
        Proof::Token("wrong"),
        Proof::Token(""),
        Proof::Token(&key),
        Proof::Signature(&signed(&token)),
        Proof::Signature(&signed("")),
    ] {
        assert_eq!(ground.admit(proof).await, Err(Refusal::Unauthorized), "{proof:?}");
    }
    // What opens one is nothing elsewhere, and tells nothing of what is there.
    let other = ground.app.call("POST", "/api/sandbox", json!({})).await.text("id");
    for elsewhere in [other.as_str(), "00000000-0000-4000-8000-000000000000", "a-name", "", "..", "\u{0}"] {
        for proof in [Proof::Token(&token), Proof::Signature(&signed(&key))] {
            assert_eq!(ground.gate.admit(proof, elsewhere).await, Err(Refusal::Unauthorized), "{elsewhere}");
        }
    }
}

#[tokio::test]
async fn keys_of_others_find_nothing() {
    let ground = Ground::with_a_sandbox().await;
    let stranger = ground.app.tenant(OrganizationId::from_u128(77), &Permission::ALL).await.unwrap();
    assert_eq!(ground.admit(Proof::Key(&stranger)).await, Err(Refusal::NotFound));
    let reader = ground.app.key_with(&[]).await.unwrap();
    assert_eq!(ground.admit(Proof::Key(&reader)).await, Err(Refusal::Forbidden));
}

/// Somebody who logged in calls the sandboxes of every organisation of theirs, and names none.
#[tokio::test]
async fn who_logged_in_calls_what_is_theirs() {
    let issuer = testkit::Issuer::start().await.unwrap();
    let app = TestApi::start_with_login(&issuer).await.unwrap();
    let gate = Gate { store: app.store.clone(), callers: Arc::clone(&app.callers) };
    let token = |user: &str, end: i64| {
        let end = types::Clock::now(app.clock.as_ref()).as_second() + end;
        let audience = testkit::issuer::AUDIENCE;
        issuer.sign("curve", &json!({"iss": issuer.url, "aud": audience, "sub": user, "exp": end})).unwrap()
    };
    let (ada, eve) = (token("ada", 600), token("eve", 600));
    let home = app.call_as(&ada, "GET", "/api/organizations", Value::Null).await.json();
    let home = home[0]["id"].as_str().unwrap().to_owned();
    let request = axum::http::Request::post("/api/sandbox")
        .header("authorization", format!("Bearer {ada}"))
        .header("x-daytona-organization-id", &home);
    let made = app.send(request.body(axum::body::Body::empty()).unwrap()).await.text("id");
    let grant = Grant { sandbox_id: made.parse().unwrap(), is_asleep: false };
    assert_eq!(gate.admit(Proof::Key(&ada), &made).await, Ok(grant));
    for (bearer, sandbox, refusal) in [
        (&eve, made.as_str(), Refusal::NotFound),
        (&app.key, made.as_str(), Refusal::NotFound),
        (&ada, "00000000-0000-4000-8000-000000000000", Refusal::NotFound),
        (&ada, "..", Refusal::NotFound),
        (&token("ada", -60), made.as_str(), Refusal::Unauthorized),
        (&format!("{ada}x"), made.as_str(), Refusal::Unauthorized),
    ] {
        assert_eq!(gate.admit(Proof::Key(bearer), sandbox).await, Err(refusal), "{sandbox}");
    }
}

#[tokio::test]
async fn a_start_ends_the_token_and_keeps_the_signing_key() {
    let ground = Ground::with_a_sandbox().await;
    let (token, key) = ground.secrets().await;
    ground.admit(Proof::Token(&token)).await.expect("remembered from here on");
    ground.post("stop").await;
    let stopped = Refusal::NotRunning { state: "stopped".to_owned() };
    assert_eq!(ground.admit(Proof::Token(&token)).await, Err(stopped.clone()));
    assert_eq!(ground.admit(Proof::Signature(&signed(&key))).await, Err(stopped));
    ground.post("start").await;
    assert_eq!(ground.admit(Proof::Token(&token)).await, Err(Refusal::Unauthorized));
    ground.admit(Proof::Signature(&signed(&key))).await.expect("lives on");
    let (newer, _) = ground.secrets().await;
    ground.admit(Proof::Token(&newer)).await.expect("the new one");
}

#[tokio::test]
async fn a_rotation_ends_what_was_signed_before() {
    let ground = Ground::with_a_sandbox().await;
    let (token, key) = ground.secrets().await;
    ground.admit(Proof::Signature(&signed(&key))).await.expect("remembered from here on");
    let rotated = ground.post("signing-key/rotate").await;
    assert_eq!(ground.admit(Proof::Signature(&signed(&key))).await, Err(Refusal::Unauthorized));
    let newer = rotated.as_str().expect("a key");
    assert_ne!(newer, key);
    ground.admit(Proof::Signature(&signed(newer))).await.expect("the new one");
    ground.admit(Proof::Token(&token)).await.expect("is another secret");
}

#[test]
fn only_the_same_secret_is_the_same() {
    assert!(same("abc", "abc"));
    for (secret, shown) in [("abc", "abd"), ("abc", "ab"), ("abc", "abcd"), ("abc", ""), ("", "")] {
        assert!(!same(secret, shown), "{secret} {shown}");
    }
}
