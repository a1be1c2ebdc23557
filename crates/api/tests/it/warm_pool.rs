//! Warm pools over HTTP: made, listed, changed and deleted, and taken from by creates.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::TestApi;
use types::api_key::Permission;
use types::quota::Quota;
use types::{OrganizationId, SystemRandom};

async fn start() -> TestApi {
    let api = TestApi::start().await.unwrap();
    api.engine.keep_warm(Arc::new(SystemRandom), Quota::default());
    api
}

async fn make(api: &TestApi, size: u32) -> String {
    let made = api.call("POST", "/api/warm-pools", json!({"snapshot": "default", "pool": size})).await;
    assert_eq!(made.status, 201, "{}", made.json());
    assert_eq!(made.json()["errorReason"], Value::Null);
    made.text("id")
}

async fn ready(api: &TestApi, id: &str) -> Value {
    let listed = api.call("GET", "/api/warm-pools", Value::Null).await.json();
    let pools = listed.as_array().unwrap();
    pools.iter().find(|pool| pool["id"] == id).map_or(Value::Null, |pool| pool["currentSize"].clone())
}

async fn assert_ready(api: &TestApi, id: &str, count: u32) {
    for _ in 0..5_000 {
        if ready(api, id).await == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{} are ready, not {count}", ready(api, id).await);
}

#[tokio::test]
async fn a_create_takes_one_and_nobody_sees_the_others() {
    let api = start().await;
    let pool = make(&api, 2).await;
    assert_ready(&api, &pool, 2).await;
    let all = api.call("GET", "/api/sandbox", Value::Null).await.json();
    assert_eq!(all["items"], json!([]));
    let warm = api.call("GET", "/api/sandbox?includeWarm=true", Value::Null).await.json();
    let warm: Vec<Value> = warm["items"].as_array().unwrap().clone();
    assert_eq!(warm.len(), 2);
    assert!(warm.iter().all(|item| item["warmPoolId"] == pool.as_str()));

    let asked =
        json!({"name": "mine", "labels": {"a": "b"}, "env": {}, "autoStopInterval": 7, "volumes": []});
    let mine = api.call("POST", "/api/sandbox", asked).await;
    assert_eq!(mine.status, 200, "{}", mine.json());
    let shown = mine.json();
    assert!(warm.iter().any(|item| item["id"] == shown["id"]), "it was made anew");
    assert_eq!((shown["name"].as_str(), shown["state"].as_str()), (Some("mine"), Some("started")));
    assert_eq!((&shown["labels"], &shown["autoStopInterval"]), (&json!({"a": "b"}), &json!(7)));
    assert_eq!(shown.get("warmPoolId"), None);
    let all = api.call("GET", "/api/sandbox", Value::Null).await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
    assert_ready(&api, &pool, 2).await;
    let taken = api.call("POST", "/api/sandbox", json!({"name": "mine"})).await;
    assert_eq!(taken.status, 409, "{}", taken.json());
}

#[tokio::test]
async fn what_a_pool_cannot_answer_is_made_anew() {
    let api = start().await;
    let pool = make(&api, 1).await;
    assert_ready(&api, &pool, 1).await;
    let warm = api.call("GET", "/api/sandbox?includeWarm=true", Value::Null).await.json();
    for asked in [json!({"env": {"A": "1"}}), json!({"user": "root"}), json!({"memory": 2})] {
        let made = api.call("POST", "/api/sandbox", asked.clone()).await;
        assert_eq!(made.status, 200, "{}", made.json());
        assert_ne!(made.json()["id"], warm["items"][0]["id"], "{asked}");
    }
    assert_ready(&api, &pool, 1).await;
}

#[tokio::test]
async fn its_own_network_policy_holds_before_the_caller_has_it() {
    let api = start().await;
    let pool = make(&api, 1).await;
    assert_ready(&api, &pool, 1).await;
    let warm = api.call("GET", "/api/sandbox?includeWarm=true", Value::Null).await.json();
    let mine = api.call("POST", "/api/sandbox", json!({"networkBlockAll": true})).await.json();
    assert_eq!(mine["id"], warm["items"][0]["id"]);
    assert_eq!(mine["state"], "started");
    let id = mine["id"].as_str().unwrap().parse().unwrap();
    assert!(api.runner.network(id).unwrap().block_all);
}

#[tokio::test]
async fn what_waits_can_be_deleted_and_nothing_else() {
    let api = start().await;
    let pool = make(&api, 1).await;
    assert_ready(&api, &pool, 1).await;
    let warm = api.call("GET", "/api/sandbox?includeWarm=true", Value::Null).await.json();
    let id = warm["items"][0]["id"].as_str().unwrap();
    let refused = api.call("POST", &format!("/api/sandbox/{id}/stop"), Value::Null).await;
    assert_eq!(refused.status, 409, "{}", refused.json());
    assert!(refused.text("message").contains("waits in a warm pool"));
    let gone = api.call("DELETE", &format!("/api/sandbox/{id}"), Value::Null).await;
    assert_eq!(gone.status, 200, "{}", gone.json());
    assert_ready(&api, &pool, 1).await;
}

#[tokio::test]
async fn a_pool_is_changed_and_deleted_by_its_own_organisation_alone() {
    let api = start().await;
    let pool = make(&api, 1).await;
    let again = api.call("POST", "/api/warm-pools", json!({"snapshot": "default", "pool": 2})).await;
    assert_eq!(again.status, 409, "{}", again.json());
    let other = api.tenant(OrganizationId::random(&SystemRandom), &Permission::ALL).await.unwrap();
    let path = format!("/api/warm-pools/{pool}");
    assert_eq!(api.call_as(&other, "PATCH", &path, json!({"pool": 3})).await.status, 404);
    assert_eq!(api.call_as(&other, "DELETE", &path, Value::Null).await.status, 404);
    assert_eq!(api.call_as(&other, "GET", "/api/warm-pools", Value::Null).await.json(), json!([]));
    let weak = api.key_with(&[]).await.unwrap();
    assert_eq!(api.call_as(&weak, "PATCH", &path, json!({"pool": 3})).await.status, 403);

    let changed = api.call("PATCH", &path, json!({"pool": 3.0})).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["pool"]), (200, &json!(3)));
    assert_ready(&api, &pool, 3).await;
    assert_eq!(api.call("PATCH", &path, json!({"pool": 0})).await.status, 200);
    assert_ready(&api, &pool, 0).await;
    assert_eq!(api.call("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(api.call("DELETE", &path, Value::Null).await.status, 404);
    assert_eq!(api.call("DELETE", "/api/warm-pools/nonsense", Value::Null).await.status, 404);
}

#[tokio::test]
async fn nonsense_is_refused_by_name() {
    let api = start().await;
    for (asked, word) in [
        (json!({"snapshot": "default", "pool": 0}), "pool must be a whole number from 1"),
        (json!({"snapshot": "default", "pool": 1.5}), "pool must be a whole number from 1"),
        (json!({"snapshot": "default", "pool": 100_000}), "pool must be a whole number from 1 to 1000"),
        (json!({"snapshot": "default", "pool": -1}), "pool must be a whole number from 1"),
        (json!({"snapshot": "none", "pool": 1}), "Snapshot none not found"),
        (json!({"snapshot": "default", "pool": 1, "target": "mars"}), "Region mars not found"),
        (json!({"pool": 1}), "snapshot"),
    ] {
        let refused = api.call("POST", "/api/warm-pools", asked.clone()).await;
        assert_eq!(refused.status, 400, "{asked}");
        assert!(refused.text("message").contains(word), "{asked}: {}", refused.text("message"));
    }
    assert_eq!(api.call("GET", "/api/warm-pools", Value::Null).await.json(), json!([]));
}
