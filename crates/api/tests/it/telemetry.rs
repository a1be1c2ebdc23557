//! What a sandbox uses over time.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Call, TestApi};
use types::OrganizationId;

const NAMES: [&str; 7] = [
    "daytona.sandbox.cpu.utilization",
    "daytona.sandbox.cpu.limit",
    "daytona.sandbox.memory.usage",
    "daytona.sandbox.memory.limit",
    "daytona.sandbox.memory.cache",
    "daytona.sandbox.filesystem.usage",
    "daytona.sandbox.filesystem.total",
];

/// Asks for the metrics of a whole day that begins with the test's.
async fn metrics(api: &TestApi, name: &str, query: &str) -> Value {
    let path = format!(
        "/api/sandbox/{name}/telemetry/metrics?from=2026-11-22T00:00:00.000000%2B0000&to=2026-11-22T23:59:59Z{query}"
    );
    let answer = api.call("GET", &path, Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

fn points(answer: &Value, name: &str) -> Vec<(String, f64)> {
    let series = answer["series"].as_array().unwrap();
    let found = series.iter().find(|series| series["metricName"] == name).unwrap();
    let points = found["dataPoints"].as_array().unwrap().iter();
    points
        .map(|point| (point["timestamp"].as_str().unwrap().to_owned(), point["value"].as_f64().unwrap()))
        .collect()
}

#[tokio::test]
async fn samples_of_every_minute_and_of_now() {
    let api = TestApi::start().await.unwrap();
    api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    for _ in 0..3 {
        api.telemetry.round(&api.store, &*api.runner, &*api.clock).await;
        api.clock.advance(Duration::from_mins(1));
    }
    let all = metrics(&api, "box", "").await;
    let names: Vec<_> = all["series"].as_array().unwrap().iter().map(|it| it["metricName"].clone()).collect();
    assert_eq!(names, NAMES);
    let limits = points(&all, "daytona.sandbox.memory.limit");
    let expected = ["04:13:40", "04:14:40", "04:15:40", "04:16:40"]
        .map(|time| (format!("2026-11-22T{time}.000Z"), 1_073_741_824.0));
    assert_eq!(limits, expected, "three that were kept and one that was just taken");
    // Which is taken once for all who ask within the same second.
    api.runner.take_calls();
    assert_eq!(points(&metrics(&api, "box", "").await, NAMES[0]).len(), 4);
    assert!(!api.runner.take_calls().contains(&Call::Metrics));
}

#[tokio::test]
async fn only_the_named_metrics_of_the_named_time() {
    let api = TestApi::start().await.unwrap();
    api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    for _ in 0..3 {
        api.telemetry.round(&api.store, &*api.runner, &*api.clock).await;
        api.clock.advance(Duration::from_mins(10));
    }
    let two = metrics(
        &api,
        "box",
        &format!("&metricNames={}&metricNames={}&metricNames=other", NAMES[0], NAMES[3]),
    )
    .await;
    assert_eq!(two["series"].as_array().unwrap().len(), 2);
    let comma = metrics(&api, "box", &format!("&metricNames={},{}", NAMES[0], NAMES[3])).await;
    assert_eq!(comma["series"].as_array().unwrap().len(), 2);
    // A time that is over brings no sample of now.
    api.runner.take_calls();
    let path = "/api/sandbox/box/telemetry/metrics?from=2026-11-22T04:20:00&to=2026-11-22T04:30:00%2B0000";
    let past = api.call("GET", path, Value::Null).await.json();
    assert_eq!(points(&past, NAMES[1]), [("2026-11-22T04:23:40.000Z".to_owned(), 1.0)]);
    assert!(!api.runner.take_calls().contains(&Call::Metrics));
    // Neither does a sandbox that does not run; what was kept is still there.
    api.call("POST", "/api/sandbox/box/stop", Value::Null).await;
    api.runner.take_calls();
    assert_eq!(points(&metrics(&api, "box", "").await, NAMES[1]).len(), 3);
    api.telemetry.round(&api.store, &*api.runner, &*api.clock).await;
    assert!(!api.runner.take_calls().contains(&Call::Metrics));
    // An hour later it is gone.
    api.clock.advance(Duration::from_secs(3_700));
    api.telemetry.round(&api.store, &*api.runner, &*api.clock).await;
    assert_eq!(points(&metrics(&api, "box", "").await, NAMES[1]).len(), 0);
}

#[tokio::test]
async fn a_host_that_does_not_answer_leaves_a_gap() {
    let api = TestApi::start().await.unwrap();
    api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    api.runner.fail("metrics", &[engine::port::Class::Retry; 2]);
    api.telemetry.round(&api.store, &*api.runner, &*api.clock).await;
    assert_eq!(points(&metrics(&api, "box", "").await, NAMES[0]).len(), 0);
    assert_eq!(points(&metrics(&api, "box", "").await, NAMES[0]).len(), 1);
}

#[tokio::test]
async fn logs_and_traces_are_empty_pages() {
    let api = TestApi::start().await.unwrap();
    api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    let time = "from=2026-11-22T04:13:40.000000%2B0000&to=2026-11-22T05:00:00Z";
    let empty = |page: u32| json!({"items": [], "total": 0, "page": page, "totalPages": 0});
    for (path, expected) in [
        (format!("logs?{time}"), empty(1)),
        (format!("logs?{time}&page=3&limit=50&severities=ERROR&severities=WARN&search=x"), empty(3)),
        (format!("traces?{time}&page=2"), empty(2)),
        ("traces/4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), json!([])),
    ] {
        let answer = api.call("GET", &format!("/api/sandbox/box/telemetry/{path}"), Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, expected), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_a_time_or_a_page_is_refused() {
    let api = TestApi::start().await.unwrap();
    api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    for path in [
        "metrics",
        "metrics?from=2026-11-22T04:13:40Z",
        "metrics?from=yesterday&to=2026-11-22T04:13:40Z",
        "logs?to=2026-11-22T04:13:40Z",
        "logs?from=2026-11-22T04:13:40Z&to=2026-11-22T05:00:00Z&page=0",
        "traces?from=2026-11-22T04:13:40Z&to=2026-11-22T05:00:00Z&limit=1001",
    ] {
        let answer = api.call("GET", &format!("/api/sandbox/box/telemetry/{path}"), Value::Null).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.json());
    }
    let other = OrganizationId::from_u128(7);
    let key = api.tenant(other, &types::api_key::Permission::ALL).await.unwrap();
    for path in ["metrics", "logs", "traces", "traces/1"] {
        let path =
            format!("/api/sandbox/box/telemetry/{path}?from=2026-11-22T04:13:40Z&to=2026-11-22T05:00:00Z");
        assert_eq!(api.call_as(&key, "GET", &path, Value::Null).await.status, 404, "{path}");
    }
}
