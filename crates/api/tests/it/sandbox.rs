//! The life of a sandbox as a client sees it.

use std::time::Duration;

use engine::port::Class;
use serde_json::{Value, json};
use testkit::{Call, FakeRunner, TestApi};
use types::sandbox::Network;

#[tokio::test]
async fn a_life() {
    let api = TestApi::start().await.unwrap();
    let created = api
        .call("POST", "/api/sandbox", json!({"name": "box", "labels": {"a": "b"}, "env": {"X": "1"}}))
        .await;
    assert_eq!(created.status, 200);
    let id = created.text("id");
    let expected = json!({
        "id": id,
        "organizationId": api.organization_id.to_string(),
        "name": "box",
        "snapshot": "default",
        "user": "daytona",
        "env": {"X": "1"},
        "labels": {"a": "b"},
        "public": false,
        "networkBlockAll": false,
        "target": "us",
        "cpu": 1,
        "gpu": 0,
        "memory": 1,
        "disk": 3,
        "kvm": false,
        "spot": false,
        "state": "started",
        "desiredState": "started",
        "recoverable": false,
        "backupState": "None",
        "autoStopInterval": 15,
        "autoPauseInterval": 0,
        "autoArchiveInterval": 10080,
        "autoDeleteInterval": -1,
        "volumes": [],
        "sandboxClass": "container",
        "createdAt": "2026-11-22T04:13:40.000Z",
        "updatedAt": "2026-11-22T04:13:40.000Z",
        "lastActivityAt": "2026-11-22T04:13:40.000Z",
        "daemonVersion": FakeRunner::DAEMON_VERSION,
        "toolboxProxyUrl": "http://localhost:3000/toolbox",
    });
    assert_eq!(created.json(), expected);
    for reference in [id.as_str(), "box"] {
        let mut one = api.call("GET", &format!("/api/sandbox/{reference}"), Value::Null).await.json();
        // What only a look at one tells.
        assert!(one.as_object_mut().unwrap().remove("awake").is_some());
        assert_eq!(one, expected);
    }
    for (request, state, call) in [
        ("stop?force=false", "stopped", Call::Stop { force: false }),
        ("start", "started", Call::Start),
        ("stop?force=true", "stopped", Call::Stop { force: true }),
    ] {
        api.runner.take_calls();
        let answer = api.call("POST", &format!("/api/sandbox/box/{request}"), Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.text("state").as_str()), (200, state), "{request}");
        assert_eq!(api.runner.take_calls(), [call]);
    }
    let deleted = api.call("DELETE", &format!("/api/sandbox/{id}"), Value::Null).await;
    assert_eq!((deleted.status.as_u16(), deleted.text("state").as_str()), (200, "destroying"));
    assert!(api.host_has(0).await);
    assert_gone(&api, &id).await;
}

async fn assert_gone(api: &TestApi, reference: &str) {
    for _ in 0..1_000 {
        let answer = api.call("GET", &format!("/api/sandbox/{reference}"), Value::Null).await;
        if answer.status == 404 {
            assert_eq!(answer.text("message"), format!("Sandbox with ID or name {reference} not found"));
            return;
        }
        assert_eq!(answer.text("state"), "destroying");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{reference} is never gone");
}

async fn named(api: &TestApi, name: &str) -> Value {
    let created = api.call("POST", "/api/sandbox", json!({"name": name})).await;
    assert_eq!(created.status, 200, "{}", created.json());
    created.json()
}

#[tokio::test]
async fn a_name_is_free_at_once_after_a_delete() {
    let api = TestApi::start().await.unwrap();
    let first = named(&api, "box").await;
    let taken = api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    assert_eq!(
        (taken.status.as_u16(), taken.text("message").as_str()),
        (409, "Sandbox with name box already exists")
    );
    api.runner.delay("destroy", Duration::from_millis(200));
    api.call("DELETE", "/api/sandbox/box", Value::Null).await;
    assert_eq!(api.call("GET", "/api/sandbox/box", Value::Null).await.status, 404);
    let second = named(&api, "box").await;
    assert_ne!(first["id"], second["id"]);
    assert!(api.host_has(1).await);
}

#[tokio::test]
async fn asking_again_is_harmless() {
    let api = TestApi::start().await.unwrap();
    named(&api, "box").await;
    api.runner.take_calls();
    let again = api.call("POST", "/api/sandbox/box/start", Value::Null).await;
    assert_eq!((again.status.as_u16(), again.text("state").as_str()), (200, "started"));
    for _ in 0..2 {
        let stopped = api.call("POST", "/api/sandbox/box/stop", Value::Null).await;
        assert_eq!((stopped.status.as_u16(), stopped.text("state").as_str()), (200, "stopped"));
    }
    assert_eq!(api.runner.take_calls(), [Call::Stop { force: false }]);
    let id = api.call("GET", "/api/sandbox/box", Value::Null).await.text("id");
    api.runner.delay("destroy", Duration::from_millis(100));
    for _ in 0..2 {
        let deleted = api.call("DELETE", &format!("/api/sandbox/{id}"), Value::Null).await;
        assert_eq!((deleted.status.as_u16(), deleted.text("state").as_str()), (200, "destroying"));
    }
    let start = api.call("POST", &format!("/api/sandbox/{id}/start"), Value::Null).await;
    assert_eq!(
        (start.status.as_u16(), start.text("message").as_str()),
        (409, "Sandbox state change in progress")
    );
}

#[tokio::test]
async fn a_slow_change_answers_with_the_state_it_is_in() {
    let api = TestApi::start_with(|settings| settings.patience = Duration::from_millis(20)).await.unwrap();
    for call in ["create", "stop", "start"] {
        api.runner.delay(call, Duration::from_millis(200));
    }
    let created = api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    assert_eq!((created.status.as_u16(), created.text("state").as_str()), (200, "creating"));
    let early = api.call("POST", "/api/sandbox/box/stop", Value::Null).await;
    assert_eq!(
        (early.status.as_u16(), early.text("message").as_str()),
        (409, "Sandbox state change in progress")
    );
    for (request, passing, reached) in
        [("", "creating", "started"), ("stop", "stopping", "stopped"), ("start", "starting", "started")]
    {
        if !request.is_empty() {
            let answer = api.call("POST", &format!("/api/sandbox/box/{request}"), Value::Null).await;
            assert_eq!(answer.text("state"), passing);
        }
        for _ in 0..1_000 {
            let state = api.call("GET", "/api/sandbox/box", Value::Null).await.text("state");
            if state == reached {
                break;
            }
            assert_eq!(state, passing);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(api.call("GET", "/api/sandbox/box", Value::Null).await.text("state"), reached);
    }
}

#[tokio::test]
async fn one_that_is_to_go_when_it_stops_goes() {
    let api = TestApi::start().await.unwrap();
    api.call("POST", "/api/sandbox", json!({"name": "box", "autoDeleteInterval": 0})).await;
    let stopped = api.call("POST", "/api/sandbox/box/stop", Value::Null).await;
    assert_eq!((stopped.status.as_u16(), stopped.text("state").as_str()), (200, "destroyed"));
    assert!(api.runner.is_empty());
    assert_eq!(api.call("GET", "/api/sandbox/box", Value::Null).await.status, 404);
}

#[tokio::test]
async fn settings_are_stored_and_returned() {
    let api = TestApi::start().await.unwrap();
    named(&api, "box").await;
    let labels = api.call("PUT", "/api/sandbox/box/labels", json!({"labels": {"k": "v"}})).await;
    assert_eq!((labels.status.as_u16(), labels.json()), (200, json!({"labels": {"k": "v"}})));
    for (path, field, expected) in [
        ("autostop/0", "autoStopInterval", json!(0)),
        ("autostop/60", "autoStopInterval", json!(60)),
        ("autoarchive/0", "autoArchiveInterval", json!(43_200)),
        ("autoarchive/99999999", "autoArchiveInterval", json!(43_200)),
        ("autoarchive/5", "autoArchiveInterval", json!(5)),
        ("autodelete/0", "autoDeleteInterval", json!(0)),
        ("autodelete/-7", "autoDeleteInterval", json!(-1)),
        ("public/true", "public", json!(true)),
        ("public/anything", "public", json!(false)),
    ] {
        let answer = api.call("POST", &format!("/api/sandbox/box/{path}"), Value::Null).await;
        assert_eq!((answer.status.as_u16(), &answer.json()[field]), (200, &expected), "{path}");
        assert_eq!(api.call("GET", "/api/sandbox/box", Value::Null).await.json()[field], expected, "{path}");
    }
    assert_eq!(api.call("GET", "/api/sandbox/box", Value::Null).await.json()["labels"], json!({"k": "v"}));
    for path in ["autostop/-1", "autoarchive/-1", "autostop/x", "autodelete/99999999999", "autostop/1.5"] {
        let answer = api.call("POST", &format!("/api/sandbox/box/{path}"), Value::Null).await;
        assert_eq!(answer.status, 400, "{path}");
    }
}

#[tokio::test]
async fn the_network_changes_at_once() {
    let api = TestApi::start().await.unwrap();
    let id = named(&api, "box").await["id"].as_str().unwrap().parse().unwrap();
    let path = "/api/sandbox/box/network-settings";
    let names = ["networkBlockAll", "networkAllowList", "domainAllowList"];
    // What is sent, and what block-all and the two lists are afterwards.
    for (body, after) in [
        (json!({"networkBlockAll": true}), [json!(true), Value::Null, Value::Null]),
        (json!({"networkAllowList": ""}), [json!(true), Value::Null, Value::Null]),
        (
            json!({"networkAllowList": " 10.1.2.3/8,1.1.1.1/32 "}),
            [json!(false), json!("10.0.0.0/8,1.1.1.1/32"), Value::Null],
        ),
        (
            json!({"domainAllowList": "*.Example.com, a.b"}),
            [json!(false), json!("10.0.0.0/8,1.1.1.1/32"), json!("*.example.com,a.b")],
        ),
        (json!({"networkAllowList": ""}), [json!(false), Value::Null, json!("*.example.com,a.b")]),
        (json!({"networkBlockAll": true, "domainAllowList": "c.d"}), [json!(true), Value::Null, Value::Null]),
        (
            json!({"networkBlockAll": false, "domainAllowList": "c.d"}),
            [json!(false), Value::Null, json!("c.d")],
        ),
        (json!({"networkBlockAll": false}), [json!(false), Value::Null, Value::Null]),
    ] {
        let answer = api.call("POST", path, body.clone()).await;
        assert_eq!(answer.status, 200, "{body}");
        let shown = names.map(|name| answer.json().get(name).cloned().unwrap_or_default());
        assert_eq!(shown, after, "{body}");
        let applied = api.runner.network(id).unwrap();
        assert_eq!(json!(applied.block_all), after[0], "{body}");
        assert_eq!(applied.allow_list.is_empty(), after[1].is_null(), "{body}");
        assert_eq!(applied.domain_allow_list.is_empty(), after[2].is_null(), "{body}");
    }
}

#[tokio::test]
async fn a_network_that_cannot_be_read_changes_nothing() {
    let api = TestApi::start().await.unwrap();
    let id = named(&api, "box").await["id"].as_str().unwrap().parse().unwrap();
    let many = |entry: &str| [entry; 11].join(",");
    for body in [
        json!({}),
        json!({"networkAllowList": "10.0.0.0"}),
        json!({"networkAllowList": "10.0.0.0/33"}),
        json!({"networkAllowList": "10.0.0.0/8,,1.1.1.1/32"}),
        json!({"networkAllowList": "fd00::/8"}),
        json!({"networkAllowList": many("10.0.0.0/8")}),
        json!({"domainAllowList": "1.2.3.4"}),
        json!({"domainAllowList": "exa\u{0}mple.com"}),
        json!({"domainAllowList": "https://example.com"}),
        json!({"domainAllowList": many("a.b")}),
    ] {
        let answer = api.call("POST", "/api/sandbox/box/network-settings", body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.text("code").as_str()), (400, "BAD_REQUEST"), "{body}");
        if body != json!({}) {
            assert_eq!(api.call("POST", "/api/sandbox", body.clone()).await.status, 400, "{body}");
        }
    }
    assert_eq!(api.runner.network(id), Some(Network::default()));
    assert_eq!(api.runner.len(), 1);
}

#[tokio::test]
async fn a_sandbox_is_resized_running_or_not() {
    let api = TestApi::start().await.unwrap();
    named(&api, "box").await;
    let path = "/api/sandbox/box/resize";
    let resized = api.call("POST", path, json!({"cpu": 2, "memory": 2})).await;
    assert_eq!((resized.status.as_u16(), resized.text("state").as_str()), (200, "started"));
    assert_eq!(resized.json()["cpu"], 2);
    for body in [
        json!({}),
        json!({"cpu": 2}),
        json!({"disk": 1}),
        json!({"cpu": -1}),
        json!({"memory": 1_000_000}),
        json!({"cpu": 1.5}),
        json!({"cpu": "2"}),
    ] {
        assert_eq!(api.call("POST", path, body.clone()).await.status, 400, "{body}");
    }
    api.call("POST", "/api/sandbox/box/stop", Value::Null).await;
    let grown = api.call("POST", path, json!({"disk": 5, "cpu": 1})).await;
    assert_eq!((grown.status.as_u16(), grown.text("state").as_str()), (200, "stopped"));
    assert_eq!((&grown.json()["disk"], &grown.json()["cpu"]), (&json!(5), &json!(1)));
}

#[tokio::test]
async fn a_resize_that_the_host_refuses_leaves_the_sandbox_as_it_was() {
    let api = TestApi::start().await.unwrap();
    named(&api, "box").await;
    api.runner.fail("resize", &[Class::Reject]);
    let refused = api.call("POST", "/api/sandbox/box/resize", json!({"memory": 2})).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text("message").starts_with("Sandbox was not resized: "), "{}", refused.text("message"));
    let now = api.call("GET", "/api/sandbox/box", Value::Null).await.json();
    assert_eq!((&now["state"], &now["memory"]), (&json!("started"), &json!(1)));
}

#[tokio::test]
async fn a_sandbox_that_ended_by_itself_says_why_and_can_be_started() {
    let api = TestApi::start().await.unwrap();
    let id = named(&api, "box").await["id"].as_str().unwrap().parse().unwrap();
    api.runner.end(id, "the daemon was killed by signal 9");
    api.engine.look(id).await.unwrap();
    let ended = api.call("GET", "/api/sandbox/box", Value::Null).await.json();
    assert_eq!((&ended["state"], &ended["recoverable"]), (&json!("error"), &json!(true)));
    assert_eq!(ended["errorReason"], "the daemon was killed by signal 9");
    let listed = api.call("GET", "/api/sandbox?states=error", Value::Null).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let started = api.call("POST", "/api/sandbox/box/start", Value::Null).await.json();
    assert_eq!((&started["state"], started.get("errorReason")), (&json!("started"), None));
}

#[tokio::test]
async fn activity_is_noted() {
    let api = TestApi::start().await.unwrap();
    named(&api, "box").await;
    api.clock.advance(Duration::from_secs(90));
    for body in [Value::Null, json!({"activityType": "x"})] {
        let noted = api.call("POST", "/api/sandbox/box/last-activity", body).await;
        assert_eq!((noted.status.as_u16(), noted.body.len()), (201, 0));
    }
    let now = api.call("GET", "/api/sandbox/box", Value::Null).await;
    assert_eq!(now.text("lastActivityAt"), "2026-11-22T04:15:10.000Z");
    let url = api.call("GET", "/api/sandbox/box/toolbox-proxy-url", Value::Null).await;
    assert_eq!(url.json(), json!({"url": "http://localhost:3000/toolbox"}));
}

#[tokio::test]
async fn a_start_brings_a_new_preview_secret() {
    let api = TestApi::start().await.unwrap();
    let id = named(&api, "box").await["id"].as_str().unwrap().parse().unwrap();
    let before = api.store.sandbox_get(id).await.unwrap().unwrap().auth_token;
    api.call("POST", "/api/sandbox/box/stop", Value::Null).await;
    api.call("POST", "/api/sandbox/box/start", Value::Null).await;
    let after = api.store.sandbox_get(id).await.unwrap().unwrap().auth_token;
    assert_eq!((before.len(), after.len()), (32, 32));
    assert_ne!(before, after);
}

#[tokio::test]
async fn a_name_may_hold_a_slash_when_it_is_encoded() {
    let api = TestApi::start().await.unwrap();
    named(&api, "team/box ünï").await;
    let path = "/api/sandbox/team%2Fbox%20%C3%BCn%C3%AF";
    assert_eq!(api.call("GET", path, Value::Null).await.text("name"), "team/box ünï");
    assert_eq!(api.call("POST", &format!("{path}/stop"), Value::Null).await.text("state"), "stopped");
}
