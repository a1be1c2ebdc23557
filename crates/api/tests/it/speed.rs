//! What the control plane itself costs, with a host that costs nothing. A guard against waits that nobody wants, such as
//! for the next look of a loop, not a benchmark: `cargo x perf` measures.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::TestApi;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_is_a_matter_of_milliseconds() {
    let api = TestApi::start().await.unwrap();
    let (mut create_times, mut get_times) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        let began = Instant::now();
        let created = api.call("POST", "/api/sandbox", json!({"labels": {"a": "b"}})).await;
        create_times.push(began.elapsed());
        assert_eq!(created.text("state"), "started");
        let began = Instant::now();
        api.call("GET", &format!("/api/sandbox/{}", created.text("id")), Value::Null).await;
        get_times.push(began.elapsed());
    }
    create_times.sort();
    get_times.sort();
    println!(
        "create p50 {:?} p95 {:?}; get p50 {:?} p95 {:?}",
        create_times[100], create_times[190], get_times[100], get_times[190]
    );
    assert!(create_times[100] < Duration::from_secs(1), "{:?}", create_times[100]);
}
