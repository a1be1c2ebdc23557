//! Who may do what: keys, permissions, and the wall between tenants.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use testkit::TestApi;
use types::OrganizationId;
use types::api_key::Permission;

/// Every operation on one sandbox, with a body that would be accepted.
const OPERATIONS: [(&str, &str, &str); 41] = [
    ("GET", "", ""),
    ("DELETE", "", ""),
    ("POST", "/start", ""),
    ("POST", "/stop", ""),
    ("POST", "/pause", ""),
    ("POST", "/archive", ""),
    ("POST", "/recover", ""),
    ("POST", "/resize", r#"{"cpu":2}"#),
    ("POST", "/backup", ""),
    ("POST", "/snapshot", r#"{"name":"snap"}"#),
    ("POST", "/fork", ""),
    ("GET", "/forks", ""),
    ("GET", "/parent", ""),
    ("GET", "/ancestors", ""),
    ("GET", "/egress", ""),
    ("PUT", "/labels", r#"{"labels":{}}"#),
    ("POST", "/autostop/1", ""),
    ("POST", "/autopause/1", ""),
    ("POST", "/ttl/1", ""),
    ("POST", "/autoarchive/1", ""),
    ("POST", "/autodelete/1", ""),
    ("POST", "/public/true", ""),
    ("POST", "/network-settings", r#"{"networkBlockAll":true}"#),
    ("PUT", "/secrets", r#"{"secrets":[]}"#),
    ("POST", "/volumes", r#"{"volumeId":"data","mountPath":"/data"}"#),
    ("POST", "/last-activity", ""),
    ("GET", "/ports/80/preview-url", ""),
    ("GET", "/ports/80/signed-preview-url", ""),
    ("POST", "/ports/80/signed-preview-url/abc/expire", ""),
    ("GET", "/signing-key", ""),
    ("POST", "/signing-key/rotate", ""),
    ("GET", "/telemetry/metrics?from=2026-11-22T04:00:00Z&to=2026-11-22T05:00:00Z", ""),
    ("GET", "/telemetry/logs?from=2026-11-22T04:00:00Z&to=2026-11-22T05:00:00Z", ""),
    ("GET", "/telemetry/traces?from=2026-11-22T04:00:00Z&to=2026-11-22T05:00:00Z", ""),
    ("GET", "/telemetry/traces/abc", ""),
    ("GET", "/toolbox-proxy-url", ""),
    ("GET", "/build-logs-url", ""),
    ("GET", "/build-logs", ""),
    ("GET", "/organization", ""),
    ("GET", "/region-quota", ""),
    ("HEAD", "", ""),
];

/// What a key may do that may only look, although it is no reading.
const HARMLESS: [&str; 2] = ["/last-activity", "/ports/80/signed-preview-url/abc/expire"];

fn body(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[tokio::test]
async fn what_belongs_to_another_tenant_does_not_exist() {
    let api = TestApi::start().await.unwrap();
    let created = api.call("POST", "/api/sandbox", json!({"name": "mine"})).await;
    let before = api.call("GET", "/api/sandbox/mine", Value::Null).await.json();
    let stranger = api.tenant(OrganizationId::from_u128(7), &Permission::ALL).await.unwrap();
    for reference in [created.text("id"), "mine".to_owned()] {
        for (method, path, text) in OPERATIONS {
            let path = format!("/api/sandbox/{reference}{path}");
            let answer = api.call_as(&stranger, method, &path, body(text)).await;
            assert_eq!(answer.status, 404, "{method} {path}");
            if method != "HEAD" {
                assert_eq!(answer.text("message"), format!("Sandbox with ID or name {reference} not found"));
            }
        }
    }
    for path in ["/api/sandbox", "/api/sandbox/paginated"] {
        assert_eq!(api.call_as(&stranger, "GET", path, Value::Null).await.json()["items"], json!([]));
    }
    assert_eq!(
        api.call("GET", "/api/sandbox/mine", Value::Null).await.json(),
        before,
        "and nothing happened to it"
    );
}

#[tokio::test]
async fn every_operation_on_a_sandbox_is_in_the_table_above() {
    let document: Value = serde_json::from_str(&api::openapi_json()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let documented: usize = paths
        .iter()
        .filter(|(path, _)| path.starts_with("/sandbox/{"))
        .map(|(_, item)| {
            item.as_object()
                .unwrap()
                .keys()
                .filter(|key| ["get", "post", "put", "delete", "patch"].contains(&key.as_str()))
                .count()
        })
        .sum();
    assert_eq!(documented, OPERATIONS.len() - 1, "HEAD is not documented");
}

#[tokio::test]
async fn a_key_does_only_what_it_may() {
    let api = TestApi::start().await.unwrap();
    api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    let reader = api.key_with(&[]).await.unwrap();
    let writer = api.key_with(&[Permission::WriteSandboxes]).await.unwrap();
    let deleter = api.key_with(&[Permission::DeleteSandboxes]).await.unwrap();
    let denied =
        [(&reader, "POST"), (&reader, "PUT"), (&reader, "DELETE"), (&writer, "DELETE"), (&deleter, "PUT")];
    for (method, path, text) in OPERATIONS {
        for (key, denied_method) in denied {
            if method == denied_method && !HARMLESS.contains(&path) {
                let answer = api.call_as(key, method, &format!("/api/sandbox/box{path}"), body(text)).await;
                assert_eq!(
                    (answer.status.as_u16(), answer.text("message").as_str()),
                    (403, "Access denied"),
                    "{method} {path}"
                );
            }
        }
    }
    let create = api.call_as(&reader, "POST", "/api/sandbox", json!({})).await;
    assert_eq!(create.status, 403);
    assert_eq!(api.call_as(&reader, "GET", "/api/sandbox/box", Value::Null).await.status, 200);
    assert_eq!(api.call_as(&reader, "POST", "/api/sandbox/box/last-activity", Value::Null).await.status, 201);
    assert_eq!(api.call_as(&writer, "POST", "/api/sandbox/box/stop", Value::Null).await.status, 200);
    assert_eq!(api.call_as(&deleter, "DELETE", "/api/sandbox/box", Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_bad_header_is_no_key() {
    let api = TestApi::start().await.unwrap();
    let key = &api.key;
    for header in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer   ",
        "Basic abc",
        "bearer x y",
        key,
        &format!("Bearer {key}x"),
        &format!("Token {key}"),
    ] {
        let request =
            Request::get("/api/sandbox").header("authorization", header).body(Body::empty()).unwrap();
        let answer = api.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text("message").as_str()),
            (401, "Invalid credentials"),
            "{header}"
        );
    }
    let not_text =
        Request::get("/api/sandbox").header("authorization", &b"Bearer \xff\xfe"[..]).body(Body::empty());
    assert_eq!(api.send(not_text.unwrap()).await.status, 401);
    let lower =
        Request::get("/api/sandbox").header("authorization", format!("bearer {key}")).body(Body::empty());
    assert_eq!(api.send(lower.unwrap()).await.status, 200);
}

#[tokio::test]
async fn the_organisation_header_means_nothing_with_a_key() {
    let api = TestApi::start().await.unwrap();
    api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    for value in ["00000000-0000-0000-0000-000000000007", "a preview token", ""] {
        let request = Request::get("/api/sandbox/box")
            .header("authorization", format!("Bearer {}", api.key))
            .header("x-daytona-organization-id", value);
        assert_eq!(api.send(request.body(Body::empty()).unwrap()).await.status, 200);
    }
}

#[tokio::test]
async fn a_key_ends_when_it_expires_and_at_once_when_it_is_forgotten() {
    let api = TestApi::start().await.unwrap();
    let hash = store::api_key::hash(&api.key);
    assert_eq!(api.call("GET", "/api/sandbox", Value::Null).await.status, 200);
    let row = api.store.api_key_find(&hash).await.unwrap().unwrap();
    api.store.api_key_delete(row.id).await.unwrap();
    assert_eq!(api.call("GET", "/api/sandbox", Value::Null).await.status, 200, "still believed");
    api.callers.forget(&hash);
    assert_eq!(api.call("GET", "/api/sandbox", Value::Null).await.status, 401);

    let until = types::Clock::now(api.clock.as_ref()) + Duration::from_secs(5);
    api.store.api_key_insert(&types::api_key::ApiKey { expires_at: Some(until), ..row }).await.unwrap();
    assert_eq!(api.call("GET", "/api/sandbox", Value::Null).await.status, 200);
    api.clock.advance(Duration::from_secs(5));
    assert_eq!(api.call("GET", "/api/sandbox", Value::Null).await.status, 401, "belief ends with the key");
}

#[tokio::test]
async fn a_deleted_key_is_believed_for_ten_seconds_at_most() {
    let api = TestApi::start().await.unwrap();
    assert_eq!(api.call("GET", "/api/sandbox", Value::Null).await.status, 200);
    let row = api.store.api_key_find(&store::api_key::hash(&api.key)).await.unwrap().unwrap();
    api.store.api_key_delete(row.id).await.unwrap();
    api.clock.advance(Duration::from_secs(10));
    assert_eq!(api.call("GET", "/api/sandbox", Value::Null).await.status, 401);
}
