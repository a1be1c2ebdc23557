//! Snapshots of images and Dockerfiles, as a client sees them.

use std::time::Duration;

use engine::port::Class;
use serde_json::{Value, json};
use testkit::{Answer, Call, TestApi};
use types::OrganizationId;
use types::api_key::Permission;
use types::build::Recipe;

/// Longer than anything takes; a test that waits so long has failed.
const SOON: Duration = Duration::from_secs(20);

async fn create(api: &TestApi, body: Value) -> Answer {
    api.call("POST", "/api/snapshots", body).await
}

async fn get(api: &TestApi, path: &str) -> Answer {
    api.call("GET", &format!("/api/{path}"), Value::Null).await
}

async fn post(api: &TestApi, path: &str) -> Answer {
    api.call("POST", &format!("/api/{path}"), Value::Null).await
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, message: &str) {
    assert_eq!((answer.status.as_u16(), answer.text("message").as_str()), (status, message));
}

/// Reads something until its state is this.
async fn becomes(api: &TestApi, path: &str, state: &str) -> Value {
    let wait = async {
        loop {
            let found = get(api, path).await;
            if found.text("state") == state {
                return found.json();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    if let Ok(found) = tokio::time::timeout(SOON, wait).await {
        return found;
    }
    panic!("{path} never is {state}: {}", get(api, path).await.json());
}

async fn eventually(what: &str, reached: impl AsyncFn() -> bool) {
    let wait = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, wait).await.is_ok(), "never came true: {what}");
}

fn dockerfile(text: &str) -> Value {
    json!({"dockerfileContent": text, "contextHashes": []})
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.text("id")
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_is_refused_in_the_contracts_words() {
    let api = TestApi::start().await.unwrap();
    let digest = "0".repeat(64);
    for (body, message) in [
        (json!({"name": "a b", "imageName": "debian:12"}), "Invalid snapshot name format"),
        (json!({"imageName": "debian:12"}), "Invalid snapshot name format"),
        (json!({"name": "built/x", "imageName": "debian:12"}), "Invalid snapshot name format"),
        (json!({"name": "a", "imageName": "debian"}), "Image name must include a tag"),
        (json!({"name": "a", "imageName": "debian:latest"}), "Images with tag \":latest\" are not allowed"),
        (json!({"name": "a", "imageName": "debian@sha256:1"}), "Invalid digest format"),
        (json!({"name": "a"}), "Must specify either an image name or a build info entry"),
        (
            json!({"name": "a", "imageName": "debian:12", "buildInfo": dockerfile("FROM a:1")}),
            "Cannot specify both an image name and a build info entry",
        ),
        (
            json!({"name": "a", "entrypoint": ["x"], "buildInfo": dockerfile("FROM a:1")}),
            "Cannot specify an entrypoint when using a build info entry",
        ),
        (json!({"name": "a", "buildInfo": dockerfile(" ")}), "buildInfo.dockerfileContent must not be empty"),
        (
            json!({"name": "a", "imageName": "debian:12", "memory": 64}),
            "Memory request 64GB exceeds maximum allowed per sandbox (8GB).",
        ),
        (json!({"name": "a", "imageName": "debian:12", "cpu": -1}), "cpu must not be less than 0"),
        (json!({"name": "a", "imageName": "debian:12", "regionId": "mars"}), "Region mars not found"),
        (
            json!({"name": "a", "imageName": "debian:12", "sandboxClass": "windows"}),
            "No runner for this sandboxClass",
        ),
        (json!({"name": "a", "imageName": "debian:12", "entrypoint": ["\u{0}"]}), "entrypoint must be"),
    ] {
        let refused = create(&api, body.clone()).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.text("message").starts_with(message), "{body}: {}", refused.text("message"));
    }
    let taken = create(&api, json!({"name": "default", "imageName": "debian:12"})).await;
    assert_refused(&taken, 409, "Snapshot with name \"default\" already exists for this organization");
    assert_eq!(create(&api, json!({"name": "a", "imageName": "debian:12", "gpu": 1})).await.status, 501);
    assert!(api.runner.last_order().is_none());
    let fits = json!({"name": "a", "imageName": format!("debian@sha256:{digest}")});
    assert_eq!(create(&api, fits.clone()).await.status, 200);
    let again = create(&api, fits).await;
    assert_refused(&again, 409, "Snapshot with name \"a\" already exists for this organization");
}

#[tokio::test]
async fn an_image_becomes_a_snapshot_that_makes_sandboxes() {
    let api = TestApi::start().await.unwrap();
    let body =
        json!({"name": "team/own:1", "imageName": "r.example/own:1", "cpu": 2, "memory": 3, "disk": 4});
    let asked = create(&api, body).await;
    assert_eq!((asked.status.as_u16(), asked.text("state").as_str()), (200, "pending"));
    assert_eq!(asked.json()["size"], Value::Null);
    let made = becomes(&api, "snapshots/team%2Fown%3A1", "active").await;
    let expected = json!({
        "general": false, "name": "team/own:1", "imageName": "r.example/own:1", "state": "active",
        "entrypoint": ["sleep", "infinity"], "cpu": 2, "gpu": 0, "mem": 3, "disk": 4, "errorReason": null,
        "lastUsedAt": null, "regionIds": ["us"], "ref": format!("daytona-{}:daytona", "d".repeat(64)),
        "sourceSandboxId": null, "sandboxClass": "container",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(made[field], *value, "{field}");
    }
    assert!(made["size"].as_f64().unwrap() > 0.0);
    let sandbox = api.call("POST", "/api/sandbox", json!({"snapshot": "team/own:1"})).await;
    assert_eq!((sandbox.text("state").as_str(), sandbox.json()["memory"].as_u64()), ("started", Some(3)));
    assert_eq!(sandbox.text("snapshot"), "team/own:1");
    let used = get(&api, &format!("snapshots/{}", made["id"].as_str().unwrap())).await;
    assert!(used.json()["lastUsedAt"].is_string());
    let listed = get(&api, "snapshots?sort=name&order=asc").await.json();
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| &item["name"]).collect();
    assert_eq!(names, ["team/own:1", "default"]);
}

#[tokio::test]
async fn an_entrypoint_that_was_asked_for_stays() {
    let api = TestApi::start().await.unwrap();
    create(&api, json!({"name": "a", "imageName": "a:1", "entrypoint": ["/bin/own", "-x"]})).await;
    let made = becomes(&api, "snapshots/a", "active").await;
    assert_eq!(made["entrypoint"], json!(["/bin/own", "-x"]));
}

#[tokio::test]
async fn what_cannot_be_had_says_why() {
    let api = TestApi::start().await.unwrap();
    api.runner.fail("prepare", &[Class::Reject, Class::Gone]);
    create(&api, json!({"name": "pulled", "imageName": "a:1"})).await;
    let failed = becomes(&api, "snapshots/pulled", "error").await;
    assert_eq!(failed["errorReason"], "prepare as the test said: a cause");
    create(&api, json!({"name": "built", "buildInfo": dockerfile("FROM a:1\nRUN false\n")})).await;
    let failed = becomes(&api, "snapshots/built", "build_failed").await;
    assert_eq!(failed["errorReason"], "prepare as the test said: a cause");
    let refused = api.call("POST", "/api/sandbox", json!({"snapshot": "built"})).await;
    assert_refused(&refused, 400, "Snapshot built is build_failed");
    // What failed is made anew when it is asked for again.
    create(&api, json!({"name": "again", "buildInfo": dockerfile("FROM a:1\nRUN false\n")})).await;
    becomes(&api, "snapshots/again", "active").await;
}

#[tokio::test]
async fn a_registry_that_is_away_is_asked_again() {
    let api = TestApi::start().await.unwrap();
    api.runner.fail("prepare", &[Class::Retry, Class::Retry]);
    create(&api, json!({"name": "a", "imageName": "a:1"})).await;
    becomes(&api, "snapshots/a", "active").await;
    assert_eq!(api.runner.take_calls(), [Call::Prepare; 3]);
}

#[tokio::test]
async fn deleting_what_is_being_pulled_takes_the_order_back() {
    let api = TestApi::start().await.unwrap();
    api.runner.delay("prepare", Duration::from_hours(1));
    let asked = id(&create(&api, json!({"name": "a", "imageName": "a:1"})).await);
    becomes(&api, &format!("snapshots/{asked}"), "pulling").await;
    let early = api.call("POST", "/api/sandbox", json!({"snapshot": "a"})).await;
    assert_refused(&early, 400, "Snapshot a is pulling");
    eventually("its host is asked", async || api.runner.last_order().is_some()).await;
    let image = api.runner.last_order().unwrap().image;
    let deleted = api.call("DELETE", &format!("/api/snapshots/{asked}"), Value::Null).await;
    assert_eq!((deleted.status.as_u16(), deleted.body.len()), (200, 0));
    assert_eq!(get(&api, &format!("snapshots/{asked}")).await.status, 404);
    eventually("the image is let go", async || api.runner.take_calls().contains(&Call::Forget)).await;
    assert!(!api.runner.has_image(&image));
    api.runner.heal();
    let again = id(&create(&api, json!({"name": "a", "imageName": "a:1"})).await);
    becomes(&api, &format!("snapshots/{again}"), "active").await;
}

#[tokio::test]
async fn the_same_dockerfile_is_built_once_and_by_each_tenant() {
    let api = TestApi::start().await.unwrap();
    let info = |hashes: &[&str]| json!({"dockerfileContent": "FROM a:1\n", "contextHashes": hashes});
    api.runner.delay("prepare", Duration::from_millis(50));
    create(&api, json!({"name": "one", "buildInfo": info(&["b", "a"])})).await;
    create(&api, json!({"name": "two", "buildInfo": info(&["a", "b"])})).await;
    let one = becomes(&api, "snapshots/one", "active").await;
    let two = becomes(&api, "snapshots/two", "active").await;
    assert_eq!(one["ref"], two["ref"]);
    let key = store::api_key::hash("FROM a:1\nab");
    assert_eq!(one["ref"], format!("daytona-{key}:daytona"));
    assert_eq!(one["buildInfo"]["dockerfileContent"], "FROM a:1\n");
    assert_eq!(one["buildInfo"]["contextHashes"], json!(["a", "b"]));
    assert_eq!(api.runner.take_calls(), [Call::Prepare]);
    let order = api.runner.last_order().unwrap();
    assert!(matches!(order.recipe, Recipe::Dockerfile { .. }), "{order:?}");
    // Deleting one takes nothing from the other.
    let path = format!("/api/snapshots/{}", one["id"].as_str().unwrap());
    assert_eq!(api.call("DELETE", &path, Value::Null).await.status, 200);
    let sandbox = api.call("POST", "/api/sandbox", json!({"snapshot": "two"})).await;
    assert_eq!(sandbox.text("state"), "started");
    // Names of archives mean other archives there.
    let stranger = api.tenant(OrganizationId::from_u128(7), &Permission::ALL).await.unwrap();
    let body = json!({"name": "one", "buildInfo": info(&["a", "b"])});
    let theirs = api.call_as(&stranger, "POST", "/api/snapshots", body).await;
    assert_eq!(theirs.status, 200);
    eventually("theirs is built", async || api.runner.take_calls().contains(&Call::Prepare)).await;
    let last = api.runner.last_order().unwrap();
    assert_ne!((last.organization_id, last.image), (order.organization_id, order.image));
}

#[tokio::test]
async fn out_of_use_and_back() {
    let api = TestApi::start().await.unwrap();
    let asked = id(&create(&api, json!({"name": "a", "imageName": "a:1"})).await);
    let path = format!("snapshots/{asked}");
    becomes(&api, &path, "active").await;
    let image = api.runner.last_order().unwrap().image;
    assert_refused(&post(&api, &format!("{path}/activate")).await, 400, "Snapshot a is not inactive");
    let done = post(&api, &format!("{path}/deactivate")).await;
    assert_eq!((done.status.as_u16(), done.body.len()), (204, 0));
    assert_eq!(get(&api, &path).await.text("state"), "inactive");
    assert_refused(&post(&api, &format!("{path}/deactivate")).await, 400, "Snapshot a is not active");
    let refused = api.call("POST", "/api/sandbox", json!({"snapshot": "a"})).await;
    assert_refused(&refused, 400, "Snapshot a is inactive");
    eventually("the image goes", async || !api.runner.has_image(&image)).await;
    let early = post(&api, &format!("{path}/activate")).await;
    let expected = "Snapshot a was deactivated less than 10 minutes ago: try again in 10 minutes";
    assert_refused(&early, 400, expected);
    api.clock.advance(Duration::from_mins(10));
    let back = post(&api, &format!("{path}/activate")).await;
    assert_eq!((back.status.as_u16(), back.text("state").as_str()), (200, "pending"));
    becomes(&api, &path, "active").await;
    assert!(api.runner.has_image(&image), "it was pulled again");
}

#[tokio::test]
async fn an_image_that_sandboxes_were_made_from_stays() {
    let api = TestApi::start().await.unwrap();
    let asked = id(&create(&api, json!({"name": "a", "imageName": "a:1"})).await);
    becomes(&api, "snapshots/a", "active").await;
    let image = api.runner.last_order().unwrap().image;
    let sandbox = id(&api.call("POST", "/api/sandbox", json!({"snapshot": "a"})).await);
    assert_eq!(api.call("DELETE", &format!("/api/snapshots/{asked}"), Value::Null).await.status, 200);
    assert!(api.store.image_pins().await.unwrap().contains(&image));
    let restarted = post(&api, &format!("sandbox/{sandbox}/stop")).await;
    assert_eq!(restarted.status, 200);
    assert!(api.runner.has_image(&image));
    assert_eq!(post(&api, &format!("sandbox/{sandbox}/start")).await.text("state"), "started");
}

#[tokio::test]
async fn everybodys_snapshot_is_changed_by_nobody() {
    let api = TestApi::start().await.unwrap();
    let general = get(&api, "snapshots/default").await.json();
    assert_eq!((&general["general"], general.get("organizationId")), (&json!(true), None));
    let path = format!("snapshots/{}", general["id"].as_str().unwrap());
    assert_eq!(get(&api, &path).await.json(), general);
    let words = "Snapshot default is general: only its operator may change or delete it";
    assert_refused(&post(&api, &format!("{path}/deactivate")).await, 403, words);
    assert_refused(&post(&api, &format!("{path}/activate")).await, 403, words);
    assert_refused(&api.call("DELETE", &format!("/api/{path}"), Value::Null).await, 403, words);
    let stranger = api.tenant(OrganizationId::from_u128(7), &Permission::ALL).await.unwrap();
    let listed = api.call_as(&stranger, "GET", "/api/snapshots", Value::Null).await.json();
    assert_eq!((&listed["total"], &listed["items"][0]["id"]), (&json!(1), &general["id"]));
    for reserved in ["captured/x", "built/x", "sha256:x"] {
        let refused = api.call("POST", "/api/sandbox", json!({"snapshot": reserved})).await;
        assert_refused(&refused, 400, &format!("Snapshot {reserved} not found"));
    }
}

#[tokio::test]
async fn a_snapshot_of_another_tenant_does_not_exist() {
    let api = TestApi::start().await.unwrap();
    let asked = id(&create(&api, json!({"name": "mine", "imageName": "a:1"})).await);
    becomes(&api, "snapshots/mine", "active").await;
    let stranger = api.tenant(OrganizationId::from_u128(7), &Permission::ALL).await.unwrap();
    for (method, path) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/activate"),
        ("POST", "/deactivate"),
        ("GET", "/build-logs"),
        ("GET", "/build-logs-url"),
    ] {
        let path = format!("/api/snapshots/{asked}{path}");
        assert_eq!(api.call_as(&stranger, method, &path, Value::Null).await.status, 404, "{method} {path}");
    }
    let refused = api.call_as(&stranger, "POST", "/api/sandbox", json!({"snapshot": "mine"})).await;
    assert_refused(&refused, 400, "Snapshot mine not found");
    let reader = api.key_with(&[Permission::WriteSandboxes]).await.unwrap();
    for (method, path) in [("POST", ""), ("POST", "/x/activate"), ("POST", "/x/deactivate"), ("DELETE", "/x")]
    {
        let answer = api.call_as(&reader, method, &format!("/api/snapshots{path}"), json!({})).await;
        assert_refused(&answer, 403, "Access denied");
    }
}

#[tokio::test]
async fn an_organization_has_as_many_as_it_may() {
    let api = TestApi::start_with(|settings| settings.snapshot_quota = Some(2)).await.unwrap();
    let one = id(&create(&api, json!({"name": "one", "imageName": "a:1"})).await);
    create(&api, json!({"name": "two", "imageName": "a:1"})).await;
    let third = create(&api, json!({"name": "three", "imageName": "a:1"})).await;
    assert_refused(&third, 400, "Snapshot quota exceeded. Maximum allowed: 2");
    becomes(&api, "snapshots/one", "active").await;
    assert_eq!(post(&api, &format!("snapshots/{one}/deactivate")).await.status, 204);
    assert_eq!(create(&api, json!({"name": "three", "imageName": "a:1"})).await.status, 200);
    api.clock.advance(Duration::from_mins(11));
    let back = post(&api, &format!("snapshots/{one}/activate")).await;
    assert_refused(&back, 400, "Snapshot quota exceeded. Maximum allowed: 2");
}

#[tokio::test]
async fn a_sandbox_of_a_dockerfile_waits_for_its_build_and_tells_of_it() {
    let api = TestApi::start().await.unwrap();
    api.runner.delay("prepare", Duration::from_hours(1));
    let body = json!({"name": "box", "buildInfo": dockerfile("FROM debian:12\n")});
    let created = api.call("POST", "/api/sandbox", body).await;
    assert_eq!((created.status.as_u16(), created.text("state").as_str()), (200, "pending_build"));
    assert_eq!(created.json()["buildInfo"]["dockerfileContent"], "FROM debian:12\n");
    let url = get(&api, "sandbox/box/build-logs-url").await;
    let path = format!("sandbox/{}/build-logs", created.text("id"));
    assert_eq!((url.status.as_u16(), url.text("url")), (200, format!("http://localhost:3000/api/{path}")));
    becomes(&api, "sandbox/box", "building_snapshot").await;
    assert_eq!(get(&api, &path).await.body, b"FROM debian:12\n", "who does not follow is not kept waiting");
    let build = api.runner.last_order().unwrap();
    assert!(api.runner.observed(created.text("id").parse().unwrap()) == types::sandbox::Observed::Absent);
    // Another wants the same and is gone again; the first goes on.
    let body = json!({"name": "other", "buildInfo": dockerfile("FROM debian:12\n")});
    assert_eq!(api.call("POST", "/api/sandbox", body).await.text("state"), "pending_build");
    assert_eq!(api.call("DELETE", "/api/sandbox/other", Value::Null).await.status, 200);
    let follows = format!("{path}?follow=true");
    let followed = async {
        let answer = get(&api, &follows).await;
        (answer.status.as_u16(), String::from_utf8(answer.body).unwrap())
    };
    let said = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        api.runner.say(build.id, "and more\n");
        // Nobody needs it any more: the build ends, and with it what is followed.
        assert_eq!(api.call("DELETE", "/api/sandbox/box", Value::Null).await.status, 200);
    };
    let ((status, text), ()) =
        tokio::time::timeout(SOON, async { tokio::join!(followed, said) }).await.unwrap();
    assert_eq!((status, text.as_str()), (200, "FROM debian:12\nand more\n"));
    assert!(!api.runner.has_image(&build.image));
}

#[tokio::test]
async fn a_sandbox_of_a_dockerfile_starts_or_says_why_not() {
    let api = TestApi::start().await.unwrap();
    let body = |name: &str| json!({"name": name, "buildInfo": dockerfile("FROM a:1\n"), "memory": 2});
    let first = api.call("POST", "/api/sandbox", body("one")).await;
    assert_eq!(first.text("state"), "pending_build");
    let started = becomes(&api, "sandbox/one", "started").await;
    assert_eq!((&started["memory"], &started["buildInfo"]["snapshotRef"]), (&json!(2), &started["snapshot"]));
    let path = format!("sandbox/{}/build-logs?follow=true", first.text("id"));
    assert_eq!(get(&api, &path).await.body, b"FROM a:1\n", "what was said stays, and ends");
    let second = api.call("POST", "/api/sandbox", body("two")).await;
    assert_eq!(second.text("state"), "started", "what is there is not built again");
    let mut calls = api.runner.take_calls();
    calls.retain(|call| *call != Call::Inspect);
    assert_eq!(calls, [Call::Prepare, Call::Create, Call::Create]);
    api.runner.fail("prepare", &[Class::Reject]);
    let body = json!({"name": "bad", "buildInfo": dockerfile("FROM b:1\n")});
    api.call("POST", "/api/sandbox", body).await;
    let failed = becomes(&api, "sandbox/bad", "build_failed").await;
    assert_eq!(failed["errorReason"], "prepare as the test said: a cause");
    assert_eq!(api.call("DELETE", "/api/sandbox/bad", Value::Null).await.status, 200);
    let no_build = get(&api, "sandbox/plain/build-logs-url").await;
    assert_eq!(no_build.status, 404);
    api.call("POST", "/api/sandbox", json!({"name": "plain"})).await;
    let words = "Sandbox with ID or name plain has no build logs: it was not made from a Dockerfile";
    assert_refused(&get(&api, "sandbox/plain/build-logs").await, 404, words);
}

#[tokio::test]
async fn a_build_stands_alone() {
    let api = TestApi::start().await.unwrap();
    api.call("POST", "/api/sandbox", json!({"name": "owner"})).await;
    for (body, message) in [
        (json!({"snapshot": "default"}), "Cannot specify a snapshot when using a build info entry"),
        (
            json!({"linkedSandbox": "owner", "autoDeleteInterval": 0}),
            "Cannot specify a linked sandbox when using a build info entry",
        ),
    ] {
        let mut body = body;
        body["buildInfo"] = dockerfile("FROM a:1\n");
        assert_refused(&api.call("POST", "/api/sandbox", body).await, 400, message);
    }
    let empty = api.call("POST", "/api/sandbox", json!({"buildInfo": {}})).await;
    assert_refused(&empty, 400, "buildInfo.dockerfileContent must not be empty");
}
