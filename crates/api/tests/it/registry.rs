//! Registries, as a client sees them.

use std::time::Duration;

use api::settings::PushRegistry;
use serde_json::{Value, json};
use testkit::{Answer, TestApi};
use types::OrganizationId;
use types::api_key::Permission;
use types::registry::Password;

const PATH: &str = "/api/docker-registry";

fn body() -> Value {
    json!({"name": "ours", "url": "https://r.example:5000/", "username": "ada", "password": "hush", "project": "team"})
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, message: &str) {
    assert_eq!((answer.status.as_u16(), answer.text("message").as_str()), (status, message));
}

#[tokio::test]
async fn a_registry_is_added_changed_and_removed_and_its_password_never_shown() {
    let api = TestApi::start().await.unwrap();
    let made = api.call("POST", PATH, body()).await;
    assert_eq!(made.status, 201);
    let mut shown = made.json();
    let id = made.text("id");
    for field in ["createdAt", "updatedAt", "id"] {
        assert!(shown.as_object_mut().unwrap().remove(field).unwrap().is_string());
    }
    let expected = json!({
        "name": "ours", "url": "https://r.example:5000", "username": "ada", "project": "team",
        "registryType": "organization",
    });
    assert_eq!(shown, expected);
    let one = format!("{PATH}/{id}");
    assert_eq!(api.call("GET", &one, Value::Null).await.json(), made.json());
    assert_eq!(api.call("GET", PATH, Value::Null).await.json(), json!([made.json()]));
    let change = json!({"name": "new", "url": "r.example:5000", "username": "bob"});
    let changed = api.call("PATCH", &one, change).await;
    assert_eq!((changed.status.as_u16(), changed.text("name").as_str()), (200, "new"));
    assert_eq!(changed.text("project"), "");
    // A password goes nowhere that it was not given for.
    let moved = json!({"name": "new", "url": "evil.example", "username": "bob"});
    let words = "password must be given when url names another host";
    assert_refused(&api.call("PATCH", &one, moved).await, 400, words);
    let logins = api.store.registry_logins(api.organization_id).await.unwrap();
    assert_eq!((logins[0].username.as_str(), logins[0].password.expose()), ("bob", "hush"));
    let removed = api.call("DELETE", &one, Value::Null).await;
    assert_eq!((removed.status.as_u16(), removed.body.len()), (204, 0));
    assert_refused(
        &api.call("GET", &one, Value::Null).await,
        404,
        &format!("Docker registry with ID {id} not found"),
    );
    assert_eq!(api.call("DELETE", &one, Value::Null).await.status, 404);
}

#[tokio::test]
async fn what_a_registry_may_be() {
    let api = TestApi::start().await.unwrap();
    for (field, value, begins) in [
        ("name", json!(""), "name must be"),
        ("name", Value::Null, "name must be"),
        ("name", json!("<b>"), "name must be"),
        ("url", json!("https://me:hush@r.example"), "url must be"),
        ("url", Value::Null, "url must be"),
        ("username", json!("a:b"), "username must be"),
        ("password", json!(""), "password must be"),
        ("password", json!("a\nb"), "password must be"),
        ("project", json!("p".repeat(300)), "project must be"),
    ] {
        let mut asked = body();
        asked[field] = value;
        let refused = api.call("POST", PATH, asked).await;
        assert_eq!(refused.status, 400, "{field}");
        assert!(refused.text("message").starts_with(begins), "{}", refused.text("message"));
    }
    let mut hub = body();
    hub["url"] = json!("https://index.docker.io/v1/");
    assert_eq!(api.call("POST", PATH, hub).await.text("url"), "docker.io");
    for _ in 1..100 {
        assert_eq!(api.call("POST", PATH, body()).await.status, 201);
    }
    let more = api.call("POST", PATH, body()).await;
    assert_refused(&more, 400, "You have reached the maximum number of registries");
}

#[tokio::test]
async fn registries_of_others_do_not_exist_and_keys_do_what_they_may() {
    let api = TestApi::start().await.unwrap();
    let one = format!("{PATH}/{}", api.call("POST", PATH, body()).await.text("id"));
    let stranger = api.tenant(OrganizationId::from_u128(7), &Permission::ALL).await.unwrap();
    assert_eq!(api.call_as(&stranger, "GET", PATH, Value::Null).await.json(), json!([]));
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(api.call_as(&stranger, method, &one, body()).await.status, 404, "{method}");
    }
    let reader = api.key_with(&[]).await.unwrap();
    assert_eq!(api.call_as(&reader, "GET", &one, Value::Null).await.status, 200);
    let push = format!("{PATH}/registry-push-access");
    for (method, path) in [("POST", PATH), ("PATCH", &one), ("DELETE", &one), ("GET", &push)] {
        assert_refused(&api.call_as(&reader, method, path, body()).await, 403, "Access denied");
    }
}

#[tokio::test]
async fn a_registrys_login_goes_with_orders_for_its_host_and_no_other() {
    let api = TestApi::start().await.unwrap();
    let add = async |url: &str, password: &str| {
        let mut asked = body();
        (asked["url"], asked["password"]) = (json!(url), json!(password));
        assert_eq!(api.call("POST", PATH, asked).await.status, 201);
        // Of two for one host the newer is shown first.
        api.clock.advance(Duration::from_secs(1));
    };
    add("https://r.example:5000", "first").await;
    add("docker.io", "hub").await;
    add("r.example:5000", "second").await;
    for (name, image, passwords) in [
        ("one", "r.example:5000/a:1", ["second", "first"].as_slice()),
        ("two", "debian:12", &["hub"]),
        ("three", "other.example/a:1", &[]),
    ] {
        api.call("POST", "/api/snapshots", json!({"name": name, "imageName": image})).await;
        let path = format!("/api/snapshots/{name}");
        let wait = async {
            while api.call("GET", &path, Value::Null).await.text("state") != "active" {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
        let logins = api.runner.last_order().unwrap().logins;
        let sent: Vec<_> = logins.iter().map(|login| login.password.expose()).collect();
        assert_eq!(sent, passwords, "{image}");
    }
}

#[tokio::test]
async fn push_access_is_what_the_operator_says() {
    let api = TestApi::start().await.unwrap();
    let path = format!("{PATH}/registry-push-access");
    let refused = api.call("GET", &path, Value::Null).await;
    assert_eq!(refused.status, 503);
    assert!(refused.text("message").starts_with("No registry to push to is configured"));
    let api = TestApi::start_with(|settings| {
        settings.push_registry = Some(PushRegistry {
            url: "https://push.example".to_owned(),
            username: "pusher".to_owned(),
            password: Password::new("secret".to_owned()),
            project: "own".to_owned(),
        });
    })
    .await
    .unwrap();
    let access = api.call("GET", &path, Value::Null).await.json();
    for (field, value) in [
        ("username", "pusher"),
        ("secret", "secret"),
        ("registryUrl", "https://push.example"),
        ("project", "own"),
        ("expiresAt", "2026-11-22T05:13:40.000Z"),
    ] {
        assert_eq!(access[field], value, "{field}");
    }
    assert!(access["registryId"].is_string());
    let mars = api.call("GET", &format!("{path}?regionId=mars"), Value::Null).await;
    assert_refused(&mars, 400, "Region mars not found");
}
