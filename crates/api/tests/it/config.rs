//! What anyone may ask: the configuration and the health.

use engine::port::Class;
use serde_json::{Value, json};
use testkit::TestApi;

#[tokio::test]
async fn the_configuration_is_what_the_newest_sdk_requires() {
    let api = TestApi::start_with(|settings| settings.version = "1.2.3".to_owned()).await.unwrap();
    let answer = api.call_as("", "GET", "/api/config", Value::Null).await;
    assert_eq!(answer.status, 200);
    let expected = json!({
        "version": "1.2.3",
        "oidc": {"provider": "auth0", "issuer": "", "clientId": "", "audience": ""},
        "linkedAccountsEnabled": false,
        "announcements": {},
        "proxyTemplateUrl": "http://{{PORT}}-{{sandboxId}}.localhost:3000",
        "proxyToolboxUrl": "http://localhost:3000/toolbox",
        "defaultSnapshot": "default",
        "dashboardUrl": "http://localhost:3000/dashboard",
        "maxAutoArchiveInterval": 43_200,
        "maintananceMode": false,
        "environment": "production",
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn health_says_which_part_is_down() {
    let api = TestApi::start().await.unwrap();
    assert_eq!(api.call_as("", "GET", "/api/health", Value::Null).await.json(), json!({"status": "ok"}));
    let up = json!({"database": {"status": "up"}, "runner": {"status": "up"}});
    let ready = api.call_as("", "GET", "/api/health/ready", Value::Null).await;
    let expected = json!({"status": "ok", "info": up, "error": {}, "details": up});
    assert_eq!((ready.status.as_u16(), ready.json()), (200, expected));
    api.runner.fail("snapshot", &[Class::Retry]);
    let down = api.call_as("", "GET", "/api/health/ready", Value::Null).await;
    assert_eq!(down.status, 503);
    assert_eq!(down.json()["error"], json!({"runner": {"status": "down"}}));
    assert_eq!(down.json()["info"], json!({"database": {"status": "up"}}));
    api.store.close().await;
    let down = api.call_as("", "GET", "/api/health/ready", Value::Null).await;
    assert_eq!((down.status.as_u16(), &down.json()["error"]["database"]["status"]), (503, &json!("down")));
    let refused = api.call("GET", "/api/sandbox", Value::Null).await;
    assert_eq!(
        (refused.status.as_u16(), refused.text("message").as_str()),
        (503, "Temporary authentication service error")
    );
}
