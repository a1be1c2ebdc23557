//! Many clients on one sandbox: no update is lost, and nobody is sent away.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use testkit::TestApi;
use tokio::task::JoinSet;

const CLIENTS: u32 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_clients_at_once_none_loses_its_update() {
    let api = Arc::new(TestApi::start().await.unwrap());
    let created = api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    let before = api.store.sandbox_get(created.text("id").parse().unwrap()).await.unwrap().unwrap();
    let mut written = api.store.changes();
    let mut tasks = JoinSet::new();
    for client in 0..CLIENTS {
        let api = Arc::clone(&api);
        tasks.spawn(async move {
            // Two fields, so that whoever wrote over a row unseen would put the other one back.
            let (word, field) = if client % 2 == 0 {
                ("autostop", "autoStopInterval")
            } else {
                ("autoarchive", "autoArchiveInterval")
            };
            let minutes = 100 + client;
            let answer = api.call("POST", &format!("/api/sandbox/box/{word}/{minutes}"), Value::Null).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.json()[field]),
                (200, &json!(minutes)),
                "{}",
                answer.json()
            );
        });
    }
    tasks.join_all().await;
    let (mut last, mut seen) = (before.clone(), BTreeSet::new());
    while let Ok(row) = written.try_recv() {
        assert_eq!(row.generation, last.generation + 1, "each write follows the one before");
        let stop = row.intervals.auto_stop != last.intervals.auto_stop;
        let archive = row.intervals.auto_archive != last.intervals.auto_archive;
        assert!(stop != archive, "and changes what its client asked for alone");
        seen.insert(if stop { row.intervals.auto_stop } else { row.intervals.auto_archive });
        last = row;
    }
    assert_eq!(seen, (100..100 + CLIENTS).collect());
    assert_eq!(last.generation, before.generation + i64::from(CLIENTS));
    let now = api.store.sandbox_get(before.id).await.unwrap().unwrap();
    assert_eq!(now, last, "what is there is what was written last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opposite_wishes_of_many_end_in_one_of_them() {
    let api = Arc::new(TestApi::start().await.unwrap());
    let created = api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    let mut tasks = JoinSet::new();
    for client in 0..CLIENTS {
        let api = Arc::clone(&api);
        let wish = ["stop", "start", "pause", "backup", "stop?force=true"][client as usize % 5];
        tasks.spawn(async move {
            let answer = api.call("POST", &format!("/api/sandbox/box/{wish}"), Value::Null).await;
            let message = answer.text("message");
            match answer.status.as_u16() {
                200 => {}
                400 => assert_eq!(message, "Sandbox is not in valid state", "{wish}"),
                409 => assert_eq!(message, "Sandbox state change in progress", "{wish}"),
                other => panic!("{wish}: {other} {message}"),
            }
        });
    }
    tasks.join_all().await;
    let id = created.text("id").parse().unwrap();
    let rest = api.engine.wait(id, std::time::Duration::from_secs(20)).await.unwrap().unwrap();
    assert!(rest.at_rest(), "{rest:?}");
    assert!(["started", "stopped", "paused"].contains(&rest.reported()), "{}", rest.reported());
}
