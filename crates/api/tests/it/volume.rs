//! Volumes over HTTP: made, found, deleted, and mounted into sandboxes.

use std::time::Duration;

use engine::port::Class;
use serde_json::{Value, json};
use testkit::TestApi;
use testkit::app::Answer;
use types::api_key::Permission;
use types::{OrganizationId, SystemRandom, VolumeId};

async fn start() -> TestApi {
    TestApi::start().await.unwrap()
}

async fn make(api: &TestApi, name: &str) -> Answer {
    api.call("POST", "/api/volumes", json!({"name": name})).await
}

async fn made(api: &TestApi, name: &str) -> String {
    let answer = make(api, name).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.text("id")
}

async fn assert_state(api: &TestApi, id: &str, state: &str) {
    let mut seen = String::new();
    for _ in 0..5_000 {
        seen = api.call("GET", &format!("/api/volumes/{id}"), Value::Null).await.text("state");
        if seen == state {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the volume is {seen}, not {state}");
}

#[tokio::test]
async fn a_volume_is_ready_when_it_is_answered() {
    let api = start().await;
    let answer = make(&api, "data").await;
    assert_eq!(answer.status, 200);
    let shown = answer.json();
    assert_eq!((shown["state"].as_str(), &shown["lastUsedAt"]), (Some("ready"), &Value::Null));
    assert_eq!(shown["errorReason"], Value::Null);
    let id: VolumeId = answer.text("id").parse().unwrap();
    assert!(api.runner.has_volume(id));
    assert_eq!(api.call("GET", "/api/volumes/by-name/data", Value::Null).await.json(), shown);
    assert_eq!(api.call("GET", "/api/volumes", Value::Null).await.json(), json!([shown]));
    let again = make(&api, "data").await;
    assert_eq!(
        (again.status.as_u16(), again.text("message").as_str()),
        (400, "Volume with name data already exists")
    );
    let nameless = make(&api, "").await;
    assert_eq!(nameless.text("id"), nameless.text("name"));
}

#[tokio::test]
async fn a_deleted_volume_is_a_memory_and_its_name_is_free() {
    let api = start().await;
    let id = made(&api, "data").await;
    let path = format!("/api/volumes/{id}");
    assert_eq!(api.call("DELETE", &path, Value::Null).await.status, 200);
    assert_state(&api, &id, "deleted").await;
    assert!(!api.runner.has_volume(id.parse().unwrap()));
    assert_eq!(api.call("GET", &path, Value::Null).await.text("name"), "data-deleted");
    assert_eq!(api.call("GET", "/api/volumes", Value::Null).await.json(), json!([]));
    let all = api.call("GET", "/api/volumes?includeDeleted=true", Value::Null).await.json();
    assert_eq!(all[0]["id"], id.as_str());
    assert_eq!(api.call("GET", "/api/volumes/by-name/data", Value::Null).await.status, 404);
    assert_eq!(api.call("DELETE", &path, Value::Null).await.status, 400);
    assert_ne!(made(&api, "data").await, id);
}

#[tokio::test]
async fn a_volume_that_a_sandbox_has_stays() {
    let api = start().await;
    let id = made(&api, "data").await;
    let asked = json!({"name": "box", "volumes": [
        {"volumeId": "data", "mountPath": "/data"},
        {"volumeId": id, "mountPath": "/data/part/", "subpath": "a/b", "readOnly": true},
    ]});
    let sandbox = api.call("POST", "/api/sandbox", asked).await;
    assert_eq!(sandbox.status, 200, "{}", sandbox.json());
    let expected = json!([
        {"volumeId": id, "mountPath": "/data"},
        {"volumeId": id, "mountPath": "/data/part", "subpath": "a/b", "readOnly": true},
    ]);
    assert_eq!(sandbox.json()["volumes"], expected);
    assert_eq!(api.call("GET", "/api/sandbox/box", Value::Null).await.json()["volumes"], expected);
    let used = api.call("GET", &format!("/api/volumes/{id}"), Value::Null).await.json();
    assert!(used["lastUsedAt"].is_string());
    let refused = api.call("DELETE", &format!("/api/volumes/{id}"), Value::Null).await;
    assert_eq!(refused.status, 409, "{}", refused.json());
    assert_eq!(api.call("DELETE", "/api/sandbox/box", Value::Null).await.status, 200);
    assert_eq!(api.call("DELETE", &format!("/api/volumes/{id}"), Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_volume_is_mounted_into_a_sandbox_that_runs() {
    let api = start().await;
    let id = made(&api, "data").await;
    assert_eq!(api.call("POST", "/api/sandbox", json!({"name": "box"})).await.status, 200);
    let mount = json!({"volumeId": "data", "mountPath": "/data"});
    let attached = api.call("POST", "/api/sandbox/box/volumes", mount.clone()).await;
    assert_eq!(attached.status, 200, "{}", attached.json());
    assert_eq!(attached.json()["volumes"], json!([{"volumeId": id, "mountPath": "/data"}]));
    let twice = api.call("POST", "/api/sandbox/box/volumes", mount).await;
    assert_eq!(twice.status, 400, "{}", twice.json());
    // What its host refuses is not written down.
    api.runner.fail("attach", &[Class::Reject]);
    let other = json!({"volumeId": "data", "mountPath": "/other"});
    assert_eq!(api.call("POST", "/api/sandbox/box/volumes", other).await.status, 500);
    let shown = api.call("GET", "/api/sandbox/box", Value::Null).await.json();
    assert_eq!(shown["volumes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_mounted_is_refused_by_name() {
    let api = start().await;
    made(&api, "data").await;
    for (mount, word) in [
        (json!({"volumeId": "none", "mountPath": "/x"}), "not found"),
        (json!({"volumeId": "data", "mountPath": "x"}), "absolute"),
        (json!({"volumeId": "data", "mountPath": "/"}), "root"),
        (json!({"volumeId": "data", "mountPath": "/proc/x"}), "system"),
        (json!({"volumeId": "data", "mountPath": "/a/../b"}), "`..`"),
        (json!({"volumeId": "data", "mountPath": "/x", "subpath": "/a"}), "slash"),
        (json!({"volumeId": "data", "mountPath": "/x", "subpath": "a/../.."}), "`..`"),
    ] {
        let refused = api.call("POST", "/api/sandbox", json!({"volumes": [mount]})).await;
        assert!(refused.status.is_client_error(), "{mount}");
        assert!(refused.text("message").contains(word), "{mount}: {}", refused.text("message"));
    }
    let twice = json!([{"volumeId": "data", "mountPath": "/x"}, {"volumeId": "data", "mountPath": "/x/"}]);
    assert_eq!(api.call("POST", "/api/sandbox", json!({"volumes": twice})).await.status, 400);
}

#[tokio::test]
async fn only_its_organisation_and_only_who_may_sees_a_volume() {
    let api = start().await;
    let id = made(&api, "data").await;
    let other = api.tenant(OrganizationId::random(&SystemRandom), &Permission::ALL).await.unwrap();
    let path = format!("/api/volumes/{id}");
    for (method, path) in [("GET", path.as_str()), ("DELETE", &path), ("GET", "/api/volumes/by-name/data")] {
        assert_eq!(api.call_as(&other, method, path, Value::Null).await.status, 404, "{method} {path}");
    }
    let stolen = json!({"volumes": [{"volumeId": id, "mountPath": "/x"}]});
    assert_eq!(api.call_as(&other, "POST", "/api/sandbox", stolen).await.status, 404);
    let reader = api.key_with(&[Permission::ReadVolumes]).await.unwrap();
    assert_eq!(api.call_as(&reader, "GET", &path, Value::Null).await.status, 200);
    assert_eq!(api.call_as(&reader, "DELETE", &path, Value::Null).await.status, 403);
    assert_eq!(api.call_as(&reader, "POST", "/api/volumes", json!({"name": "x"})).await.status, 403);
    let writer = api.key_with(&[Permission::WriteVolumes]).await.unwrap();
    assert_eq!(api.call_as(&writer, "GET", &path, Value::Null).await.status, 403);
}

#[tokio::test]
async fn a_volume_that_its_host_cannot_make_yet_is_made_later() {
    let api = start().await;
    api.runner.fail("volume_create", &[Class::Retry]);
    let answer = make(&api, "late").await;
    assert_eq!((answer.status.as_u16(), answer.text("state").as_str()), (200, "creating"));
    let refused = json!({"volumes": [{"volumeId": "late", "mountPath": "/x"}]});
    assert_eq!(api.call("POST", "/api/sandbox", refused).await.status, 400);
    api.runner.fail("volume_create", &[Class::Reject]);
    let broken = make(&api, "broken").await;
    assert_eq!(broken.text("state"), "error");
    assert!(!broken.text("errorReason").is_empty());
}
