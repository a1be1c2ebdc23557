//! Forks, lineage, snapshots and links, as a client sees them.

use std::time::Duration;

use engine::port::Class;
use serde_json::{Value, json};
use testkit::{Answer, Call, TestApi};
use types::OrganizationId;
use types::api_key::Permission;

async fn made(api: &TestApi, body: Value) -> Value {
    let created = api.call("POST", "/api/sandbox", body).await;
    assert_eq!(created.status, 200, "{}", created.json());
    created.json()
}

async fn post(api: &TestApi, path: &str, body: Value) -> Answer {
    api.call("POST", &format!("/api/sandbox/{path}"), body).await
}

async fn get(api: &TestApi, path: &str) -> Answer {
    api.call("GET", &format!("/api/{path}"), Value::Null).await
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, message: &str) {
    assert_eq!((answer.status.as_u16(), answer.text("message").as_str()), (status, message));
}

fn names(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.json());
    let json = answer.json();
    let items = json.as_array().or_else(|| json["items"].as_array()).unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_fork_is_a_sandbox_of_its_own_with_its_parents_looks() {
    let api = TestApi::start().await.unwrap();
    let body = json!({
        "name": "first", "labels": {"code-toolbox-language": "python"}, "env": {"A": "1"}, "cpu": 2, "public": true,
        "ttlMinutes": 5, "autoStopInterval": 7, "networkAllowList": "10.0.0.0/8",
    });
    let parent = made(&api, body).await;
    api.runner.take_calls();
    let child = post(&api, "first/fork", json!({"name": "second"})).await;
    assert_eq!((child.status.as_u16(), child.text("state").as_str()), (200, "started"));
    assert_eq!(api.runner.take_calls(), [Call::Fork]);
    let child = child.json();
    let same = [
        "labels",
        "env",
        "cpu",
        "memory",
        "disk",
        "public",
        "autoStopInterval",
        "networkAllowList",
        "snapshot",
    ];
    for field in same {
        assert_eq!(child[field], parent[field], "{field}");
    }
    assert_eq!((&child["name"], &child["parentId"]), (&json!("second"), &parent["id"]));
    assert_eq!(child.get("autoDestroyAt"), None, "a time to live is not inherited");
    let row = |value: &Value| value["id"].as_str().unwrap().parse().unwrap();
    let parent_row = api.store.sandbox_get(row(&parent)).await.unwrap().unwrap();
    let child_row = api.store.sandbox_get(row(&child)).await.unwrap().unwrap();
    assert_ne!(parent_row.auth_token, child_row.auth_token);
    assert_ne!(parent_row.signing_key, child_row.signing_key);
    let unnamed = post(&api, "first/fork", Value::Null).await;
    assert_eq!(unnamed.text("name"), unnamed.text("id"));
    let taken = post(&api, "first/fork", json!({"name": "second"})).await;
    assert_refused(&taken, 409, "Sandbox with name second already exists");
    assert_eq!(post(&api, "first/fork", json!({"name": "<b>"})).await.status, 400);
}

#[tokio::test]
async fn a_slow_fork_shows_itself() {
    let api = TestApi::start_with(|settings| settings.patience = Duration::from_millis(10)).await.unwrap();
    made(&api, json!({"name": "first"})).await;
    api.runner.delay("fork", Duration::from_millis(100));
    let child = post(&api, "first/fork", json!({"name": "second"})).await;
    assert_eq!(child.text("state"), "forking");
    assert_eq!(names(&get(&api, "sandbox?states=forking").await), ["second"]);
}

#[tokio::test]
async fn a_failed_fork_says_why_and_leaves_nothing() {
    let api = TestApi::start().await.unwrap();
    made(&api, json!({"name": "first"})).await;
    api.runner.fail("fork", &[Class::Reject]);
    let failed = post(&api, "first/fork", json!({"name": "second"})).await;
    assert_refused(&failed, 400, "Sandbox failed to start: fork as the test said: a cause");
    assert_eq!(get(&api, "sandbox/second").await.status, 404);
    assert_eq!(names(&get(&api, "sandbox/first/forks").await), Vec::<String>::new());
}

#[tokio::test]
async fn kin_is_found_and_keeps_its_parent() {
    let api = TestApi::start().await.unwrap();
    made(&api, json!({"name": "a"})).await;
    for (parent, child) in [("a", "b"), ("b", "c"), ("a", "d")] {
        assert_eq!(post(&api, &format!("{parent}/fork"), json!({"name": child})).await.status, 200);
        api.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(names(&get(&api, "sandbox/a/forks").await), ["b", "d"]);
    assert_eq!(names(&get(&api, "sandbox/c/ancestors").await), ["a", "b"]);
    assert_eq!(names(&get(&api, "sandbox/a/ancestors").await), Vec::<String>::new());
    assert_eq!(get(&api, "sandbox/c/parent").await.text("name"), "b");
    assert_refused(&get(&api, "sandbox/a/parent").await, 404, "Sandbox with ID or name a has no parent");
    let kept = api.call("DELETE", "/api/sandbox/a", Value::Null).await;
    assert_refused(&kept, 400, "Sandbox has active fork children: delete them first (2 of them)");
    for name in ["c", "b", "d", "a"] {
        assert_eq!(
            api.call("DELETE", &format!("/api/sandbox/{name}"), Value::Null).await.status,
            200,
            "{name}"
        );
    }
    assert!(api.host_has(0).await);
}

#[tokio::test]
async fn forks_that_are_gone_are_listed_when_asked_for() {
    let api = TestApi::start().await.unwrap();
    let parent = made(&api, json!({"name": "a"})).await;
    post(&api, "a/fork", json!({"name": "b"})).await;
    api.call("DELETE", "/api/sandbox/b", Value::Null).await;
    assert!(api.host_has(1).await);
    let path = format!("sandbox/{}/forks", parent["id"].as_str().unwrap());
    assert_eq!(names(&get(&api, &path).await), Vec::<String>::new());
    assert_eq!(names(&get(&api, &format!("{path}?includeDestroyed=true")).await), ["b"]);
    assert_eq!(get(&api, &format!("{path}?includeDestroyed=perhaps")).await.status, 400);
}

/// Reads until a snapshot is in this state.
async fn snapshot_is(api: &TestApi, name: &str, state: &str) -> Value {
    for _ in 0..1_000 {
        let found = get(api, &format!("snapshots/{name}")).await;
        if found.text("state") == state {
            return found.json();
        }
        assert_eq!(found.text("state"), "snapshotting", "{}", found.json());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{name} is never {state}");
}

/// Reads until the sandbox is no longer `snapshotting`, which it is a moment longer than its snapshot.
async fn settled(api: &TestApi) {
    for _ in 0..1_000 {
        let state = get(api, "sandbox/box").await.text("state");
        if state == "started" {
            return;
        }
        assert_eq!(state, "snapshotting");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it is snapshotting for ever");
}

#[tokio::test]
async fn a_snapshot_of_a_sandbox_makes_sandboxes() {
    let api = TestApi::start().await.unwrap();
    let source = made(&api, json!({"name": "box", "cpu": 2})).await;
    api.runner.delay("capture", Duration::from_millis(50));
    let asked = post(&api, "box/snapshot", json!({"name": "team/snap:1", "includeMemory": false})).await;
    assert_eq!((asked.status.as_u16(), asked.text("state").as_str()), (200, "snapshotting"));
    assert_eq!(asked.json()["id"], source["id"], "the answer is the sandbox");
    let early = post(&api, "box/stop", Value::Null).await;
    assert_refused(&early, 409, "Sandbox state change in progress");
    let early = api.call("POST", "/api/sandbox", json!({"snapshot": "team/snap:1"})).await;
    assert_refused(&early, 400, "Snapshot team/snap:1 is snapshotting");
    let taken = snapshot_is(&api, "team%2Fsnap%3A1", "active").await;
    let id = taken["id"].as_str().unwrap().to_owned();
    assert_eq!(taken["size"], json!(0.000_976_562_5), "one MiB, in GiB");
    assert_eq!((&taken["general"], &taken["cpu"], &taken["mem"]), (&json!(false), &json!(2), &json!(1)));
    assert_eq!(taken["sourceSandboxId"], source["id"]);
    assert!(taken["ref"].as_str().unwrap().ends_with(":daytona"));
    assert!(taken["entrypoint"].is_null() && taken["errorReason"].is_null() && taken["lastUsedAt"].is_null());
    assert!(api.runner.has_image(&format!("captured/{id}")));
    settled(&api).await;
    for reference in ["team/snap:1", id.as_str()] {
        let made = made(&api, json!({"snapshot": reference})).await;
        assert_eq!((&made["snapshot"], &made["cpu"]), (&json!("team/snap:1"), &json!(2)));
    }
    assert!(get(&api, &format!("snapshots/{id}")).await.json()["lastUsedAt"].is_string());
    let again = post(&api, "box/snapshot", json!({"name": "team/snap:1"})).await;
    assert_refused(&again, 409, "Snapshot with name \"team/snap:1\" already exists for this organization");
    assert_eq!(get(&api, "sandbox/box").await.text("state"), "started");

    assert_eq!(
        api.call("DELETE", "/api/snapshots/team%2Fsnap%3A1", Value::Null).await.status,
        404,
        "ids only"
    );
    let deleted = api.call("DELETE", &format!("/api/snapshots/{id}"), Value::Null).await;
    assert_eq!((deleted.status.as_u16(), deleted.body.len()), (200, 0));
    for _ in 0..1_000 {
        if !api.runner.has_image(&format!("captured/{id}")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(!api.runner.has_image(&format!("captured/{id}")));
    let gone = get(&api, &format!("snapshots/{id}")).await;
    assert_refused(&gone, 404, &format!("Snapshot with ID or name {id} not found"));
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_taken_says_why() {
    let api = TestApi::start().await.unwrap();
    made(&api, json!({"name": "box"})).await;
    api.runner.fail("capture", &[Class::Reject]);
    post(&api, "box/snapshot", json!({"name": "snap"})).await;
    let failed = snapshot_is(&api, "snap", "error").await;
    assert_eq!(failed["errorReason"], "capture as the test said: a cause");
    settled(&api).await;
    let refused = api.call("POST", "/api/sandbox", json!({"snapshot": "snap"})).await;
    assert_refused(&refused, 400, "Snapshot snap is error");
    let path = format!("/api/snapshots/{}", failed["id"].as_str().unwrap());
    assert_eq!(api.call("DELETE", &path, Value::Null).await.status, 200);
    assert_eq!(
        post(&api, "box/snapshot", json!({"name": "snap"})).await.status,
        200,
        "the name is free again"
    );
}

#[tokio::test]
async fn a_refused_snapshot_leaves_no_row() {
    let api = TestApi::start().await.unwrap();
    made(&api, json!({"name": "box"})).await;
    let format = "Invalid snapshot name format: letters, digits, `_`, `.`, `-` and `:` between slashes, at most 255 of them";
    for (body, status, message) in [
        (
            json!({"name": "snap", "includeMemory": true}),
            400,
            "Memory snapshots are not supported for container sandboxes",
        ),
        (json!({"name": ""}), 400, format),
        (json!({"name": "a b"}), 400, format),
        (json!({"name": "/a"}), 400, format),
        (json!({"name": "a//b"}), 400, format),
        (json!({"name": "../a b"}), 400, format),
        (json!({"name": "a@sha256:0"}), 400, format),
        (json!({"name": "ü"}), 400, format),
        (json!({"name": "x".repeat(256)}), 400, format),
        (json!({"name": "captured/x"}), 400, "Invalid snapshot name format: `captured/` is reserved"),
        (
            json!({"name": "default"}),
            409,
            "Snapshot with name \"default\" already exists for this organization",
        ),
    ] {
        assert_refused(&post(&api, "box/snapshot", body).await, status, message);
    }
    for body in [json!({}), json!({"name": 1}), json!({"name": null})] {
        assert_eq!(post(&api, "box/snapshot", body.clone()).await.status, 400, "{body}");
    }
    post(&api, "box/stop", Value::Null).await;
    post(&api, "box/archive", Value::Null).await;
    assert!(api.host_has(0).await);
    let archived = post(&api, "box/snapshot", json!({"name": "snap"})).await;
    assert!([400, 409].contains(&archived.status.as_u16()), "{}", archived.json());
    assert_eq!(names(&get(&api, "snapshots").await), ["default"]);
}

#[tokio::test]
async fn snapshots_are_listed_in_pages() {
    let api = TestApi::start().await.unwrap();
    let source = made(&api, json!({"name": "box"})).await;
    for name in ["one", "two", "three"] {
        assert_eq!(post(&api, "box/snapshot", json!({"name": name})).await.status, 200);
        snapshot_is(&api, name, "active").await;
        settled(&api).await;
        api.clock.advance(Duration::from_secs(1));
    }
    made(&api, json!({"snapshot": "two"})).await;
    let source = source["id"].as_str().unwrap();
    for (query, expected) in [
        ("", vec!["two", "one", "three", "default"]),
        ("sort=name&order=asc", vec!["one", "three", "two", "default"]),
        ("sort=createdAt", vec!["three", "two", "one", "default"]),
        ("name=T", vec!["two", "three", "default"]),
        ("name=tw", vec!["two"]),
        ("name=%25", vec![]),
        ("limit=2&page=2&sort=name&order=asc", vec!["two", "default"]),
        ("page=9", vec![]),
        (&format!("sourceSandboxId={source}&limit=1"), vec!["two"]),
        ("sourceSandboxId=nope", vec![]),
    ] {
        assert_eq!(names(&get(&api, &format!("snapshots?{query}")).await), expected, "{query}");
    }
    let page = get(&api, "snapshots?limit=3").await.json();
    assert_eq!((&page["total"], &page["page"], &page["totalPages"]), (&json!(4), &json!(1), &json!(2)));
    for (query, message) in [
        ("sort=size", "sort must be one of the following values: name, state, lastUsedAt, createdAt"),
        ("order=up", "order must be one of the following values: asc, desc"),
        ("limit=201", "limit must not be greater than 200"),
        ("page=0", "page must not be less than 1"),
    ] {
        assert_refused(&get(&api, &format!("snapshots?{query}")).await, 400, message);
    }
}

#[tokio::test]
async fn the_default_image_is_a_general_snapshot() {
    let api = TestApi::start().await.unwrap();
    let shown = get(&api, "snapshots/default").await.json();
    assert_eq!(
        (&shown["general"], &shown["state"], &shown["name"]),
        (&json!(true), &json!("active"), &json!("default"))
    );
    assert_eq!(shown.get("organizationId"), None);
    let id = shown["id"].as_str().unwrap();
    assert_eq!(get(&api, &format!("snapshots/{id}")).await.json(), shown);
    assert_eq!(made(&api, json!({"snapshot": id})).await["snapshot"], "default");
    let kept = api.call("DELETE", &format!("/api/snapshots/{id}"), Value::Null).await;
    assert_refused(&kept, 403, "Snapshot default is general: only its operator may change or delete it");
}

#[tokio::test]
async fn snapshots_of_another_tenant_do_not_exist() {
    let api = TestApi::start().await.unwrap();
    made(&api, json!({"name": "box"})).await;
    post(&api, "box/snapshot", json!({"name": "snap"})).await;
    let snapshot = snapshot_is(&api, "snap", "active").await;
    let id = snapshot["id"].as_str().unwrap();
    let stranger = api.tenant(OrganizationId::from_u128(7), &Permission::ALL).await.unwrap();
    for reference in [id, "snap", &format!("captured%2F{id}")] {
        let path = format!("/api/snapshots/{reference}");
        assert_eq!(api.call_as(&stranger, "GET", &path, Value::Null).await.status, 404, "{reference}");
        assert_eq!(api.call_as(&stranger, "DELETE", &path, Value::Null).await.status, 404, "{reference}");
    }
    for reference in [id.to_owned(), "snap".to_owned(), format!("captured/{id}")] {
        let refused = api.call_as(&stranger, "POST", "/api/sandbox", json!({"snapshot": reference})).await;
        assert_refused(&refused, 400, &format!("Snapshot {reference} not found"));
    }
    assert_eq!(names(&api.call_as(&stranger, "GET", "/api/snapshots", Value::Null).await), ["default"]);
    let own = api.call("POST", "/api/sandbox", json!({"snapshot": format!("captured/{id}")})).await;
    assert_eq!(own.status, 400, "nor may its owner name the image itself");
    assert_eq!(get(&api, "snapshots/snap").await.json(), snapshot, "and nothing happened to it");
    let writer = api.key_with(&[Permission::WriteSandboxes, Permission::DeleteSandboxes]).await.unwrap();
    let denied = api.call_as(&writer, "DELETE", &format!("/api/snapshots/{id}"), Value::Null).await;
    assert_refused(&denied, 403, "Access denied");
}

#[tokio::test]
async fn a_linked_sandbox_follows_the_rules_of_links() {
    let api = TestApi::start().await.unwrap();
    let owner = made(&api, json!({"name": "owner"})).await;
    let follower = json!({"name": "follower", "linkedSandbox": "owner", "autoDeleteInterval": 0});
    let linked = made(&api, follower).await;
    assert_eq!(linked["linkedSandboxId"], owner["id"]);
    let ephemeral = "Linked sandboxes must be ephemeral (autoDeleteInterval=0)";
    for (body, status, message) in [
        (json!({"linkedSandbox": "owner"}), 400, ephemeral),
        (json!({"linkedSandbox": "owner", "autoDeleteInterval": 5}), 400, ephemeral),
        (
            json!({"linkedSandbox": "follower", "autoDeleteInterval": 0}),
            400,
            "Linked sandboxes cannot themselves be linked to: name the sandbox that they are linked to",
        ),
        (
            json!({"linkedSandbox": "nobody", "autoDeleteInterval": 0}),
            404,
            "Sandbox with ID or name nobody not found",
        ),
    ] {
        assert_refused(&api.call("POST", "/api/sandbox", body).await, status, message);
    }
    assert_refused(&post(&api, "follower/autodelete/5", Value::Null).await, 400, ephemeral);
    let stranger = api.tenant(OrganizationId::from_u128(7), &Permission::ALL).await.unwrap();
    let body = json!({"linkedSandbox": owner["id"], "autoDeleteInterval": 0});
    assert_eq!(api.call_as(&stranger, "POST", "/api/sandbox", body).await.status, 404);
}
