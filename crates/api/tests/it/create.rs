//! What a request for a sandbox may say.

use engine::port::Class;
use serde_json::{Value, json};
use testkit::TestApi;

#[tokio::test]
async fn nothing_said_means_the_defaults_and_the_id_as_name() {
    let api = TestApi::start().await.unwrap();
    for body in [Value::Null, json!({}), json!({"name": "", "snapshot": "", "target": "", "user": ""})] {
        let created = api.call("POST", "/api/sandbox", body).await;
        assert_eq!(created.status, 200);
        assert_eq!(created.text("name"), created.text("id"));
    }
}

#[tokio::test]
async fn what_sdks_send_without_being_asked_is_accepted() {
    let api = TestApi::start().await.unwrap();
    let body = json!({
        "env": {}, "labels": {"code-toolbox-language": "python"}, "volumes": [], "spot": false, "kvm": false, "gpu": 0,
        "gpuType": [], "secrets": [], "networkAllowList": "", "domainAllowList": null, "buildInfo": null,
        "linkedSandbox": "", "ttlMinutes": 0, "autoPauseInterval": 0, "queueTimeout": 60, "outboundProxyUrl": "",
        "networkBlockAll": null, "public": null, "target": "us", "envVars": {"unknown": "field"}, "class": "small",
    });
    let created = api.call("POST", "/api/sandbox", body).await;
    assert_eq!((created.status.as_u16(), created.text("state").as_str()), (200, "started"));
}

#[tokio::test]
async fn what_is_not_built_is_refused_by_name_and_leaves_nothing() {
    let api = TestApi::start().await.unwrap();
    for (field, value) in [
        ("secrets", json!([{"A": "b"}])),
        ("outboundProxyUrl", json!("http://proxy")),
        ("otelEndpointOverride", json!("http://otel")),
        ("gpu", json!(1)),
        ("gpuType", json!(["H100"])),
        ("kvm", json!(true)),
        ("spot", json!(true)),
    ] {
        let refused = api.call("POST", "/api/sandbox", json!({field: value})).await;
        assert_eq!(refused.status, 501, "{field}");
        assert_eq!(refused.text("message"), format!("`{field}` is not built yet: leave it out or empty"));
    }
    assert!(api.runner.is_empty());
    assert_eq!(api.call("GET", "/api/sandbox", Value::Null).await.json()["items"], json!([]));
}

#[tokio::test]
async fn timers_of_a_new_sandbox() {
    let api = TestApi::start().await.unwrap();
    let body = json!({"autoPauseInterval": 9, "ttlMinutes": 5, "queueTimeout": 3});
    let created = api.call("POST", "/api/sandbox", body).await.json();
    assert_eq!((&created["autoPauseInterval"], &created["autoStopInterval"]), (&json!(9), &json!(0)));
    assert_eq!(created["autoDestroyAt"], "2026-11-22T04:18:40.000Z");
    assert_eq!(created["queueTimeout"], 3);
    let both = "At most one of autoStopInterval and autoPauseInterval may be non-zero";
    let ephemeral = "Auto-pause is not allowed for ephemeral sandboxes (autoDeleteInterval=0)";
    for (body, message) in [
        (json!({"autoPauseInterval": 9, "autoStopInterval": 9}), both),
        (json!({"autoPauseInterval": 9, "autoDeleteInterval": 0}), ephemeral),
        (json!({"autoPauseInterval": -1}), "Auto-pause interval must be non-negative"),
        (json!({"ttlMinutes": -1}), "TTL must be non-negative"),
        (json!({"queueTimeout": 0}), "queueTimeout must not be less than 1"),
        (json!({"queueTimeout": 9_999_999_999_i64}), "queueTimeout must be at most 35791394 minutes"),
    ] {
        let refused = api.call("POST", "/api/sandbox", body).await;
        assert_eq!((refused.status.as_u16(), refused.text("message").as_str()), (400, message));
    }
    assert_eq!(api.runner.len(), 1);
}

#[tokio::test]
async fn resources_are_whole_numbers_within_bounds() {
    let api = TestApi::start().await.unwrap();
    let most = json!({"snapshot": "default", "cpu": 4, "memory": 8, "disk": 10});
    let created = api.call("POST", "/api/sandbox", most).await.json();
    assert_eq!((&created["cpu"], &created["memory"], &created["disk"]), (&json!(4), &json!(8), &json!(10)));
    for (body, message) in [
        (json!({"cpu": 5}), "CPU request 5 exceeds maximum allowed per sandbox (4)."),
        (json!({"memory": 9}), "Memory request 9GiB exceeds maximum allowed per sandbox (8GiB)."),
        (json!({"disk": 11}), "Disk request 11GiB exceeds maximum allowed per sandbox (10GiB)."),
        (
            json!({"cpu": 9_223_372_036_854_775_807_i64}),
            "CPU request 9223372036854775807 exceeds maximum allowed per sandbox (4).",
        ),
        (json!({"cpu": -1}), "cpu must not be less than 0"),
    ] {
        let refused = api.call("POST", "/api/sandbox", body).await;
        assert_eq!((refused.status.as_u16(), refused.text("message").as_str()), (400, message));
    }
}

#[tokio::test]
async fn unknown_things_are_named() {
    let api = TestApi::start().await.unwrap();
    for (body, message) in [
        (json!({"snapshot": "nope"}), "Snapshot nope not found"),
        (json!({"target": "mars"}), "Region mars not found"),
    ] {
        let refused = api.call("POST", "/api/sandbox", body).await;
        assert_eq!((refused.status.as_u16(), refused.text("message").as_str()), (400, message));
    }
}

#[tokio::test]
async fn a_failed_create_says_why_and_leaves_nothing() {
    let api = TestApi::start().await.unwrap();
    api.runner.fail("create", &[Class::Reject]);
    let failed = api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    assert_eq!(failed.status, 400);
    assert_eq!(failed.text("message"), "Sandbox failed to start: create as the test said: a cause");
    assert_eq!(api.call("GET", "/api/sandbox/box", Value::Null).await.status, 404);
    assert_eq!(api.call("POST", "/api/sandbox", json!({"name": "box"})).await.status, 200);
}

#[tokio::test]
async fn a_failed_start_keeps_the_sandbox_with_its_reason() {
    let api = TestApi::start().await.unwrap();
    assert_eq!(api.call("POST", "/api/sandbox", json!({"name": "box"})).await.status, 200);
    assert_eq!(api.call("POST", "/api/sandbox/box/stop", Value::Null).await.status, 200);
    api.runner.fail("start", &[Class::Reject]);
    api.call("POST", "/api/sandbox/box/start", Value::Null).await;
    let row = api.call("GET", "/api/sandbox/box", Value::Null).await;
    assert_eq!(
        (row.text("state").as_str(), row.text("errorReason").as_str()),
        ("error", "start as the test said: a cause")
    );
    // The files are there: once the cause is gone it can be asked for again.
    assert_eq!(row.json().get("recoverable"), Some(&json!(true)));
    let again = api.call("POST", "/api/sandbox/box/start", Value::Null).await;
    assert_eq!((again.status.as_u16(), again.text("state").as_str()), (200, "started"));
    assert_eq!(api.call("DELETE", "/api/sandbox/box", Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_runner_that_is_away_is_no_fault_of_the_request() {
    let api = TestApi::start().await.unwrap();
    api.runner.fail("snapshot", &[Class::Retry, Class::Bug]);
    let away = api.call("POST", "/api/sandbox", json!({})).await;
    assert_eq!((away.status.as_u16(), away.text("code").as_str()), (503, "SERVICE_UNAVAILABLE"));
    let broken = api.call("POST", "/api/sandbox", json!({})).await;
    assert_eq!(
        (broken.status.as_u16(), broken.text("message").as_str()),
        (500, "An unexpected error occurred.")
    );
}

#[tokio::test]
async fn of_many_who_want_one_name_one_gets_it() {
    let api = std::sync::Arc::new(TestApi::start().await.unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let api = std::sync::Arc::clone(&api);
        tasks.spawn(
            async move { api.call("POST", "/api/sandbox", json!({"name": "one"})).await.status.as_u16() },
        );
    }
    let mut statuses = tasks.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
    assert_eq!(api.runner.len(), 1);
}
