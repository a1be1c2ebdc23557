//! Where ports and files are reached, and the secrets of that.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::TestApi;
use types::{Clock as _, SandboxId};

async fn with_box() -> (TestApi, SandboxId) {
    let api = TestApi::start().await.unwrap();
    let created = api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    let id = created.text("id").parse().unwrap();
    (api, id)
}

#[tokio::test]
async fn a_port_has_a_url_and_a_token_until_the_next_start() {
    let (api, id) = with_box().await;
    let shown = api.call("GET", "/api/sandbox/box/ports/8080/preview-url", Value::Null).await;
    let token = api.store.sandbox_get(id).await.unwrap().unwrap().auth_token;
    let expected = json!({"sandboxId": id.to_string(), "url": format!("http://8080-{id}.localhost:3000"), "token": token});
    assert_eq!((shown.status.as_u16(), shown.json()), (200, expected));
    for wish in ["pause", "start"] {
        api.call("POST", &format!("/api/sandbox/box/{wish}"), Value::Null).await;
    }
    let again = api.call("GET", "/api/sandbox/box/ports/8080/preview-url", Value::Null).await;
    assert_eq!(again.text("token"), token, "a pause is no stop");
    for wish in ["stop", "start"] {
        api.call("POST", &format!("/api/sandbox/box/{wish}"), Value::Null).await;
    }
    let again = api.call("GET", "/api/sandbox/box/ports/8080/preview-url", Value::Null).await;
    assert_ne!(again.text("token"), token);
}

#[tokio::test]
async fn a_signed_url_holds_for_one_port_and_a_while() {
    let (api, id) = with_box().await;
    let path = "/api/sandbox/box/ports/3000/signed-preview-url";
    for (query, seconds) in [("", 60), ("?expiresInSeconds=1", 1), ("?expiresInSeconds=86400", 86_400)] {
        let signed = api.call("GET", &format!("{path}{query}"), Value::Null).await;
        assert_eq!(signed.status, 200);
        let token = signed.text("token");
        assert_eq!(token.len(), 16);
        assert!(token.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        let expected = json!({
            "sandboxId": id.to_string(), "port": 3000, "token": token,
            "url": format!("http://3000-{token}.localhost:3000"),
        });
        assert_eq!(signed.json(), expected);
        let link = api.store.signed_preview_get(&token, api.clock.now()).await.unwrap().unwrap();
        assert_eq!((link.sandbox_id, link.port), (id, 3000));
        assert_eq!(link.expires_at, api.clock.now() + Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn a_signed_url_is_ended_by_its_own_sandbox_and_port_alone() {
    let (api, _) = with_box().await;
    api.call("POST", "/api/sandbox", json!({"name": "other"})).await;
    let signed = api.call("GET", "/api/sandbox/box/ports/3000/signed-preview-url", Value::Null).await;
    let token = signed.text("token");
    for (name, port, ended) in
        [("other", 3000, false), ("box", 3001, false), ("box", 3000, true), ("box", 3000, true)]
    {
        let path = format!("/api/sandbox/{name}/ports/{port}/signed-preview-url/{token}/expire");
        let answer = api.call("POST", &path, Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
        let link = api.store.signed_preview_get(&token, api.clock.now()).await.unwrap();
        assert_eq!(link.is_none(), ended, "{name} {port}");
    }
}

#[tokio::test]
async fn a_port_is_a_port() {
    let (api, _) = with_box().await;
    for port in ["0", "65536", "-1", "+80", "80.0", "x", "%20", "8080%2F1", "99999999999999999999"] {
        for tail in ["preview-url", "signed-preview-url"] {
            let answer = api.call("GET", &format!("/api/sandbox/box/ports/{port}/{tail}"), Value::Null).await;
            assert_eq!(
                (answer.status.as_u16(), answer.text("message").as_str()),
                (400, "Invalid port"),
                "{port}"
            );
        }
    }
    for (query, message) in [
        ("expiresInSeconds=0", "expiresInSeconds must not be less than 1"),
        ("expiresInSeconds=-5", "expiresInSeconds must not be less than 1"),
        ("expiresInSeconds=86401", "expiresInSeconds must not be greater than 86400"),
        ("expiresInSeconds=x", "expiresInSeconds must be an integer number"),
    ] {
        let path = format!("/api/sandbox/box/ports/80/signed-preview-url?{query}");
        let answer = api.call("GET", &path, Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.text("message").as_str()), (400, message));
    }
}

#[tokio::test]
async fn the_signing_key_is_a_text_that_rotates_when_asked() {
    let (api, _) = with_box().await;
    let first = api.call("GET", "/api/sandbox/box/signing-key", Value::Null).await.json();
    assert_eq!(first.as_str().unwrap().len(), 64);
    api.call("POST", "/api/sandbox/box/stop", Value::Null).await;
    api.call("POST", "/api/sandbox/box/start", Value::Null).await;
    assert_eq!(
        api.call("GET", "/api/sandbox/box/signing-key", Value::Null).await.json(),
        first,
        "over restarts"
    );
    let rotated = api.call("POST", "/api/sandbox/box/signing-key/rotate", Value::Null).await;
    assert_eq!(rotated.status, 200);
    assert_ne!(rotated.json(), first);
    assert_eq!(api.call("GET", "/api/sandbox/box/signing-key", Value::Null).await.json(), rotated.json());
    let reader = api.key_with(&[]).await.unwrap();
    for secret in ["signing-key", "ports/80/preview-url"] {
        let denied = api.call_as(&reader, "GET", &format!("/api/sandbox/box/{secret}"), Value::Null).await;
        assert_eq!(denied.status, 403, "whoever has the secret may write files: {secret}");
    }
}
