//! A command that is given up takes everything along that it has started.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::harness::{TestDaemon, eventually, is_running, unique};

/// Children in the background, in a session of their own, and forked twice so that nobody is their parent.
fn hiding(marker: &str) -> String {
    format!(
        "sleep {marker}1 & setsid sleep {marker}2 & (setsid sh -c 'sleep {marker}3 & sleep {marker}4 & exit' &) ; \
         setsid -f sh -c 'trap \"\" TERM HUP; sleep {marker}5; sleep {marker}6'; sh -c 'exec setsid -f sleep {marker}7'; \
         echo partial; sleep {marker}8; sleep {marker}9"
    )
}

#[tokio::test]
async fn a_timeout_kills_the_whole_tree_and_tells_what_was_printed() {
    let daemon = TestDaemon::start();
    let started = Instant::now();
    let answer = daemon.post("/process/execute", json!({"command": hiding("8151@@."), "timeout": 1})).await;
    let message = answer.error(408, "PROCESS_EXECUTION_TIMEOUT");
    assert!(
        message.contains("timeout") && message.contains("1 s") && message.ends_with("partial\n"),
        "{message}"
    );
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    eventually("all are gone", || !is_running("sleep 8151@@.")).await;
    assert_eq!(daemon.shell("echo alive").await, "alive");
}

#[tokio::test]
async fn a_fork_bomb_ends_with_its_deadline() {
    let daemon = TestDaemon::start();
    let command = "f() { sleep 8152@@.1 & f2 & }; f2() { sleep 8152@@.2; }; for i in 1 2 3 4 5 6 7 8 9; do (f; f; f) & done; \
                   while :; do (sleep 8152@@.3 &) ; sleep 0.01; done";
    daemon
        .post("/process/execute", json!({"command": command, "timeout": 1}))
        .await
        .error(408, "PROCESS_EXECUTION_TIMEOUT");
    eventually("all are gone", || !is_running("sleep 8152@@.")).await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_command() {
    let daemon = TestDaemon::start();
    let mut connection = daemon.connect().await;
    let body = unique(&json!({"command": hiding("8153@@.")}).to_string());
    let request =
        Request::post("/process/execute").header("host", "daemon").body(Body::from(body)).expect("request");
    let pending = tokio::spawn(async move { connection.send_request(request).await.map(drop) });
    eventually("it runs", || is_running("sleep 8153@@.8")).await;
    pending.abort();
    let _ = pending.await;
    eventually("all are gone", || !is_running("sleep 8153@@.")).await;
}

#[tokio::test]
async fn another_command_is_not_harmed() {
    let daemon = std::sync::Arc::new(TestDaemon::start());
    let other = tokio::spawn({
        let daemon = daemon.clone();
        async move { daemon.shell("sleep 2; echo survived").await }
    });
    let answer = daemon.post("/process/execute", json!({"command": "sleep 8154@@.1", "timeout": 1})).await;
    answer.error(408, "PROCESS_EXECUTION_TIMEOUT");
    assert_eq!(other.await.expect("answered"), "survived");
}

#[tokio::test]
async fn code_has_a_deadline_too() {
    let daemon = TestDaemon::start();
    let code = "import subprocess, time\nsubprocess.Popen(['setsid', 'sleep', '8155@@.1'])\nprint('x')\ntime.sleep(60)";
    let body = json!({"code": code, "language": "python", "timeout": 2});
    let message = daemon.post("/process/code-run", body).await.error(408, "PROCESS_EXECUTION_TIMEOUT");
    assert!(message.contains("timeout") && message.contains("python"), "{message}");
    eventually("all are gone", || !is_running("sleep 8155@@.")).await;
}
