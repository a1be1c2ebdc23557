//! Quotas: what an organisation's sandboxes may use together, and what each state counts for.

use serde_json::{Value, json};
use testkit::TestApi;
use testkit::app::Answer;
use types::quota::Quota;

async fn bounded(quota: Quota) -> TestApi {
    TestApi::start_with(|settings| settings.quota = quota).await.unwrap()
}

fn assert_full(answer: &Answer, line: &str) {
    assert_eq!(answer.status, 400, "{}", answer.json());
    let message = answer.text("message");
    assert_eq!(message.lines().next(), Some(line));
    assert!(message.lines().count() == 2, "what helps follows on a line of its own: {message}");
    assert_eq!(answer.text("code"), "BAD_REQUEST");
}

async fn sandbox(api: &TestApi, name: &str) -> Answer {
    api.call("POST", "/api/sandbox", json!({"name": name, "cpu": 2, "memory": 2, "disk": 4})).await
}

async fn ask(api: &TestApi, name: &str, action: &str) -> Answer {
    api.call("POST", &format!("/api/sandbox/{name}/{action}"), Value::Null).await
}

async fn assert_becomes(api: &TestApi, name: &str, state: &str) {
    let mut seen = String::new();
    for _ in 0..1_000 {
        seen = api.call("GET", &format!("/api/sandbox/{name}"), Value::Null).await.text("state");
        if seen == state {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("{name} is {seen}, not {state}");
}

#[tokio::test]
async fn a_sandbox_tells_whose_it_is_and_what_its_owner_may_use() {
    let api = bounded(Quota { cpu: Some(7), ..Quota::default() }).await;
    let made = sandbox(&api, "box").await;
    let owner = api.call("GET", "/api/sandbox/box/organization", Value::Null).await;
    assert_eq!((owner.status.as_u16(), owner.text("id")), (200, made.text("organizationId")));
    assert_eq!(owner.text("suspensionReason"), "");
    let quota = api.call("GET", "/api/sandbox/box/region-quota", Value::Null).await.json();
    for (field, value) in [
        ("organizationId", json!(made.text("organizationId"))),
        ("regionId", json!(made.text("target"))),
        ("sandboxClass", json!("container")),
        ("totalCpuQuota", json!(7)),
        ("totalMemoryQuota", json!(u32::MAX)),
        ("totalGpuQuota", json!(0)),
        ("maxCpuPerSandbox", json!(4)),
        ("maxSandboxLifespan", Value::Null),
    ] {
        assert_eq!(quota[field], value, "{field}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_creates_at_once_ten_are_let_in() {
    let api = std::sync::Arc::new(bounded(Quota { memory_gib: Some(21), ..Quota::default() }).await);
    let asking: Vec<_> = (0..50)
        .map(|number| {
            let api = std::sync::Arc::clone(&api);
            tokio::spawn(async move { sandbox(&api, &format!("box-{number}")).await })
        })
        .collect();
    let mut made = 0;
    for one in asking {
        let answer = one.await.unwrap();
        if answer.status == 200 {
            made += 1;
        } else {
            assert_full(&answer, "Total memory limit exceeded. Maximum allowed: 21GiB.");
        }
    }
    assert_eq!(made, 10);
    assert!(api.host_has(10).await);
}

#[tokio::test]
async fn each_bound_has_its_message() {
    for (quota, line) in [
        (Quota { cpu: Some(3), ..Quota::default() }, "Total CPU limit exceeded. Maximum allowed: 3."),
        (
            Quota { memory_gib: Some(3), ..Quota::default() },
            "Total memory limit exceeded. Maximum allowed: 3GiB.",
        ),
        (
            Quota { disk_gib: Some(7), ..Quota::default() },
            "Total disk limit exceeded. Maximum allowed: 7GiB.",
        ),
        (
            Quota { sandboxes: Some(1), ..Quota::default() },
            "Total sandbox limit exceeded. Maximum allowed: 1.",
        ),
    ] {
        let api = bounded(quota).await;
        assert_eq!(sandbox(&api, "first").await.status, 200);
        assert_full(&sandbox(&api, "second").await, line);
        assert_eq!(api.call("GET", "/api/sandbox/second", Value::Null).await.status, 404);
        assert_eq!(api.call("DELETE", "/api/sandbox/first", Value::Null).await.status, 200);
        assert_eq!(sandbox(&api, "third").await.status, 200, "what is on its way out counts for nothing");
    }
}

#[tokio::test]
async fn a_stop_frees_processors_and_a_start_asks_for_them() {
    let api = bounded(Quota { cpu: Some(4), disk_gib: Some(12), ..Quota::default() }).await;
    for name in ["a", "b"] {
        assert_eq!(sandbox(&api, name).await.status, 200);
    }
    assert_full(&sandbox(&api, "c").await, "Total CPU limit exceeded. Maximum allowed: 4.");
    assert_eq!(ask(&api, "a", "stop").await.status, 200);
    assert_becomes(&api, "a", "stopped").await;
    assert_eq!(sandbox(&api, "c").await.status, 200);
    assert_full(&ask(&api, "a", "start").await, "Total CPU limit exceeded. Maximum allowed: 4.");
    assert_becomes(&api, "a", "stopped").await;
    // It keeps its disk all the while.
    assert_eq!(ask(&api, "c", "stop").await.status, 200);
    assert_becomes(&api, "c", "stopped").await;
    assert_full(&sandbox(&api, "d").await, "Total disk limit exceeded. Maximum allowed: 12GiB.");
    assert_eq!(ask(&api, "a", "start").await.status, 200);
}

#[tokio::test]
async fn a_pause_frees_processors_and_a_resume_asks_for_them() {
    let api = bounded(Quota { cpu: Some(2), ..Quota::default() }).await;
    assert_eq!(sandbox(&api, "a").await.status, 200);
    assert_eq!(ask(&api, "a", "pause").await.status, 200);
    assert_becomes(&api, "a", "paused").await;
    assert_eq!(sandbox(&api, "b").await.status, 200);
    assert_full(&ask(&api, "a", "start").await, "Total CPU limit exceeded. Maximum allowed: 2.");
    assert_eq!(api.call("DELETE", "/api/sandbox/b", Value::Null).await.status, 200);
    assert_eq!(ask(&api, "a", "start").await.status, 200);
}

#[tokio::test]
async fn an_archive_frees_the_disk_and_a_restore_asks_for_it() {
    let api = bounded(Quota { disk_gib: Some(4), ..Quota::default() }).await;
    assert_eq!(sandbox(&api, "a").await.status, 200);
    assert_eq!(ask(&api, "a", "stop").await.status, 200);
    assert_becomes(&api, "a", "stopped").await;
    assert_eq!(ask(&api, "a", "archive").await.status, 200);
    assert_becomes(&api, "a", "archived").await;
    assert_eq!(sandbox(&api, "b").await.status, 200);
    assert_full(&ask(&api, "a", "start").await, "Total disk limit exceeded. Maximum allowed: 4GiB.");
    assert_eq!(api.call("DELETE", "/api/sandbox/b", Value::Null).await.status, 200);
    assert_eq!(ask(&api, "a", "start").await.status, 200);
    assert_becomes(&api, "a", "started").await;
}

#[tokio::test]
async fn a_fork_and_a_resize_ask_too() {
    let api = bounded(Quota { cpu: Some(4), ..Quota::default() }).await;
    assert_eq!(sandbox(&api, "a").await.status, 200);
    assert_eq!(api.call("POST", "/api/sandbox/a/fork", json!({"name": "a2"})).await.status, 200);
    let fork = api.call("POST", "/api/sandbox/a/fork", json!({"name": "a3"})).await;
    assert_full(&fork, "Total CPU limit exceeded. Maximum allowed: 4.");
    assert_becomes(&api, "a", "started").await;
    let resize = api.call("POST", "/api/sandbox/a/resize", json!({"cpu": 3})).await;
    assert_full(&resize, "Total CPU limit exceeded. Maximum allowed: 4.");
    assert_eq!(api.call("GET", "/api/sandbox/a", Value::Null).await.json()["cpu"], 2);
    assert_eq!(api.call("POST", "/api/sandbox/a/resize", json!({"memory": 3})).await.status, 200);
}

#[tokio::test]
async fn another_organisation_has_a_quota_of_its_own() {
    let api = bounded(Quota { sandboxes: Some(1), ..Quota::default() }).await;
    assert_eq!(sandbox(&api, "a").await.status, 200);
    let other =
        api.tenant(types::OrganizationId::from_u128(7), &types::api_key::Permission::ALL).await.unwrap();
    assert_eq!(api.call_as(&other, "POST", "/api/sandbox", json!({})).await.status, 200);
}
