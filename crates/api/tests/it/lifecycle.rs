//! Holding, archiving, copying and repairing, as a client sees it.

use std::time::Duration;

use engine::port::Class;
use serde_json::{Value, json};
use testkit::{Answer, Call, TestApi};
use types::SandboxId;

async fn made(api: &TestApi, body: Value) -> SandboxId {
    let created = api.call("POST", "/api/sandbox", body).await;
    assert_eq!(created.status, 200, "{}", created.json());
    created.text("id").parse().unwrap()
}

async fn post(api: &TestApi, path: &str) -> Answer {
    api.call("POST", &format!("/api/sandbox/box/{path}"), Value::Null).await
}

#[track_caller]
fn assert_state(answer: &Answer, state: &str) {
    assert_eq!((answer.status.as_u16(), answer.text("state").as_str()), (200, state), "{}", answer.json());
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, message: &str) {
    assert_eq!((answer.status.as_u16(), answer.text("message").as_str()), (status, message));
}

/// Reads until the sandbox is in this state; every state before it must be one of `passing`.
async fn reaches(api: &TestApi, state: &str, passing: &[&str]) -> Value {
    for _ in 0..1_000 {
        let now = api.call("GET", "/api/sandbox/box", Value::Null).await.json();
        if now["state"] == state {
            return now;
        }
        assert!(passing.iter().any(|word| now["state"] == *word), "on the way to {state}: {now}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it is never {state}");
}

/// What the runner was asked to do, looks left out.
fn done(api: &TestApi) -> Vec<Call> {
    let looks = [Call::Inspect, Call::Observe, Call::Work];
    api.runner.take_calls().into_iter().filter(|call| !looks.contains(call)).collect()
}

#[tokio::test]
async fn what_is_paused_goes_on_with_its_links() {
    let api = TestApi::start().await.unwrap();
    let id = made(&api, json!({"name": "box"})).await;
    let token = api.store.sandbox_get(id).await.unwrap().unwrap().auth_token;
    api.runner.take_calls();
    for _ in 0..2 {
        let paused = post(&api, "pause").await;
        assert_state(&paused, "paused");
        assert_eq!(paused.text("desiredState"), "paused");
    }
    assert_refused(
        &api.call("POST", "/api/sandbox/box/resize", json!({"cpu": 2})).await,
        400,
        "Sandbox is not in valid state",
    );
    assert_refused(&post(&api, "archive").await, 400, "Sandbox is not stopped");
    for _ in 0..2 {
        assert_state(&post(&api, "start").await, "started");
    }
    assert_eq!(done(&api), [Call::Pause, Call::Resume]);
    assert_eq!(api.store.sandbox_get(id).await.unwrap().unwrap().auth_token, token);
    post(&api, "pause").await;
    assert_state(&post(&api, "stop").await, "stopped");
    assert_refused(&post(&api, "pause").await, 400, "Sandbox is not in valid state");
    assert_state(&post(&api, "start").await, "started");
    assert_ne!(api.store.sandbox_get(id).await.unwrap().unwrap().auth_token, token);
}

#[tokio::test]
async fn what_is_archived_comes_back() {
    let api = TestApi::start().await.unwrap();
    let id = made(&api, json!({"name": "box"})).await;
    assert_refused(&post(&api, "archive").await, 400, "Sandbox is not stopped");
    post(&api, "stop").await;
    api.runner.take_calls();
    let archiving = post(&api, "archive").await;
    assert_state(&archiving, "archiving");
    assert_eq!(archiving.text("desiredState"), "archived");
    let archived = reaches(&api, "archived", &["archiving"]).await;
    assert_eq!(archived["backupState"], "Completed");
    assert_eq!(archived["backupCreatedAt"], "2026-11-22T04:13:40.000Z");
    assert!(api.runner.is_empty() && api.runner.has_backup(id));
    assert_eq!(done(&api), [Call::Backup, Call::Release]);
    assert_state(&post(&api, "archive").await, "archived");
    assert_refused(&post(&api, "stop").await, 400, "Sandbox is not in a stoppable state");
    assert_refused(
        &api.call("POST", "/api/sandbox/box/fork", json!({})).await,
        400,
        "Sandbox is not in valid state",
    );
    api.runner.delay("restore", Duration::from_millis(50));
    assert_state(&post(&api, "start").await, "restoring");
    let started = reaches(&api, "started", &["restoring", "starting"]).await;
    assert_eq!(started["backupState"], "None", "what runs changes its files");
    assert_eq!(done(&api), [Call::Restore, Call::Start]);
}

#[tokio::test]
async fn a_start_on_the_way_to_the_archive_wins() {
    let api = TestApi::start().await.unwrap();
    made(&api, json!({"name": "box"})).await;
    post(&api, "stop").await;
    api.runner.delay("backup", Duration::from_millis(100));
    assert_state(&post(&api, "archive").await, "archiving");
    assert_refused(&post(&api, "stop").await, 409, "Sandbox state change in progress");
    let started = post(&api, "start").await;
    assert_eq!(started.status, 200);
    reaches(&api, "started", &["starting", "archiving", "restoring"]).await;
}

#[tokio::test]
async fn what_goes_as_soon_as_it_stops_is_not_archived() {
    let api = TestApi::start().await.unwrap();
    made(&api, json!({"name": "box", "autoDeleteInterval": 0})).await;
    assert_refused(&post(&api, "archive").await, 400, "Ephemeral sandboxes cannot be archived");
}

#[tokio::test]
async fn a_backup_is_made_of_what_runs_and_of_what_does_not() {
    let api = TestApi::start().await.unwrap();
    let id = made(&api, json!({"name": "box"})).await;
    api.runner.delay("backup", Duration::from_millis(30));
    for (wish, state) in [("start", "started"), ("stop", "stopped")] {
        post(&api, wish).await;
        api.runner.take_calls();
        let asked = post(&api, "backup").await;
        assert_state(&asked, state);
        assert_eq!(asked.text("backupState"), "Pending");
        let again = post(&api, "backup").await;
        assert!(["Pending", "InProgress"].contains(&again.text("backupState").as_str()));
        for _ in 0..1_000 {
            let now = api.call("GET", "/api/sandbox/box", Value::Null).await;
            assert_eq!(now.text("state"), state, "a backup is no state of its own");
            if now.text("backupState") == "Completed" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(done(&api), [Call::Backup]);
        assert!(api.runner.has_backup(id));
    }
    assert_eq!(post(&api, "backup").await.text("backupState"), "Completed", "its files cannot have changed");
    assert!(done(&api).is_empty());
}

#[tokio::test]
async fn what_ended_by_itself_is_recovered() {
    let api = TestApi::start().await.unwrap();
    let id = made(&api, json!({"name": "box"})).await;
    assert_refused(&post(&api, "recover").await, 400, "Sandbox is not in an errored state");
    for (query, state) in [("", "started"), ("?skipStart=true", "stopped")] {
        post(&api, "start").await;
        api.runner.end(id, "the daemon was killed by signal 9");
        api.engine.look(id).await.unwrap();
        let ended = api.call("GET", "/api/sandbox/box", Value::Null).await.json();
        assert_eq!((&ended["state"], &ended["recoverable"]), (&json!("error"), &json!(true)), "{ended}");
        for field in ["cause", "evidence", "remedy"] {
            assert!(
                ended["failure"][field].as_str().is_some_and(|text| !text.is_empty()),
                "{field}: {ended}"
            );
        }
        api.runner.take_calls();
        let recovered = post(&api, &format!("recover{query}")).await;
        assert_state(&recovered, state);
        assert_eq!(recovered.json().get("failure"), None);
        assert!(done(&api).contains(&Call::Recover));
    }
}

#[tokio::test]
async fn a_resize_shows_itself_until_it_holds() {
    let api = TestApi::start_with(|settings| settings.patience = Duration::from_millis(10)).await.unwrap();
    made(&api, json!({"name": "box"})).await;
    api.runner.delay("resize", Duration::from_millis(100));
    let resizing = api.call("POST", "/api/sandbox/box/resize", json!({"cpu": 2})).await;
    assert_state(&resizing, "resizing");
    assert_eq!(resizing.text("desiredState"), "resized");
    assert_refused(&post(&api, "pause").await, 409, "Sandbox state change in progress");
    let listed = api.call("GET", "/api/sandbox?states=resizing", Value::Null).await.json();
    assert_eq!(listed["items"][0]["desiredState"], "resized");
    let resized = reaches(&api, "started", &["resizing"]).await;
    assert_eq!((&resized["desiredState"], &resized["cpu"]), (&json!("started"), &json!(2)));
}

#[tokio::test]
async fn timers_are_set_and_shown() {
    let api = TestApi::start().await.unwrap();
    made(&api, json!({"name": "box"})).await;
    for (path, expected) in [
        ("autopause/30", json!({"autoPauseInterval": 30, "autoStopInterval": 0})),
        ("autostop/20", json!({"autoPauseInterval": 0, "autoStopInterval": 20})),
        ("autopause/0", json!({"autoPauseInterval": 0, "autoStopInterval": 20})),
        ("ttl/60", json!({"autoDestroyAt": "2026-11-22T05:13:40.000Z"})),
        ("ttl/0", json!({"autoDestroyAt": null})),
    ] {
        let answer = post(&api, path).await;
        assert_eq!(answer.status, 200, "{path}");
        for (field, value) in expected.as_object().unwrap() {
            let now = api.call("GET", "/api/sandbox/box", Value::Null).await.json();
            assert_eq!((&answer.json()[field], &now[field]), (value, value), "{path}");
        }
    }
    for (path, message) in [
        ("autopause/-1", "Auto-pause interval must be non-negative"),
        ("autopause/99999999999", "Auto-pause interval must be at most 2147483647 minutes"),
        ("autopause/x", "interval must be an integer number"),
        ("ttl/-1", "TTL must be non-negative"),
        ("ttl/2147483648", "TTL must be at most 2147483647 minutes"),
        ("ttl/1.5", "ttlMinutes must be an integer number"),
    ] {
        assert_refused(&post(&api, path).await, 400, message);
    }
    assert_eq!(post(&api, "autodelete/0").await.status, 200);
    let ephemeral = "Auto-pause is not allowed for ephemeral sandboxes (autoDeleteInterval=0)";
    assert_refused(&post(&api, "autopause/5").await, 400, ephemeral);
}

#[tokio::test]
async fn one_sandbox_says_why_it_is_awake() {
    let api = TestApi::start().await.unwrap();
    made(&api, json!({"name": "box"})).await;
    let one = api.call("GET", "/api/sandbox/box", Value::Null).await.json();
    assert_eq!(one["awake"][0]["reason"], "used", "{one}");
    assert!(one["awake"][0]["detail"].as_str().unwrap().contains("stops at"), "{one}");
    post(&api, "autostop/0").await;
    let one = api.call("GET", "/api/sandbox/box", Value::Null).await.json();
    assert_eq!(one["awake"][0]["reason"], "auto-stop-off", "{one}");
    post(&api, "stop").await;
    assert_eq!(api.call("GET", "/api/sandbox/box", Value::Null).await.json().get("awake"), None);
}

#[tokio::test]
async fn secrets_can_only_be_none() {
    let api = TestApi::start().await.unwrap();
    made(&api, json!({"name": "box"})).await;
    let path = "/api/sandbox/box/secrets";
    assert_state(&api.call("PUT", path, json!({"secrets": []})).await, "started");
    let some = api.call("PUT", path, json!({"secrets": [{"KEY": "name"}]})).await;
    assert_refused(&some, 501, "`secrets` is not built yet: leave it out or empty");
    for body in [json!({}), json!({"secrets": null}), json!({"secrets": {}}), json!({"secrets": [1]})] {
        assert_eq!(api.call("PUT", path, body.clone()).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn a_pause_that_the_host_refuses_says_so() {
    let api = TestApi::start().await.unwrap();
    made(&api, json!({"name": "box"})).await;
    api.runner.fail("pause", &[Class::Reject]);
    let refused = post(&api, "pause").await;
    assert_eq!(refused.status, 200);
    assert_ne!(refused.text("state"), "paused", "{}", refused.json());
}
