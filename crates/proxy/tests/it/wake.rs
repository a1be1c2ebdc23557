//! Calls to a paused sandbox: one wake for all, none for ever, none for nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use proxy::Refusal;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::house::{ASLEEP, Answer, House, eventually};

async fn house() -> Arc<House> {
    Arc::new(House::with_daemon(Router::new().fallback(async |body: String| format!("ran {body}"))).await)
}

fn request(headers: &str, body: &str) -> String {
    format!(
        "POST /toolbox/{ASLEEP}/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer good\r\nconnection: close\r\n\
         content-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

fn wakes(house: &House) -> usize {
    house.directory.wakes.load(Ordering::SeqCst)
}

#[tokio::test]
async fn one_wake_serves_all_that_wait() {
    let house = house().await;
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..100 {
        let house = Arc::clone(&house);
        callers.spawn(async move {
            let answer = Answer::read(&house.raw(request("", &number.to_string()).as_bytes()).await);
            (answer.status, answer.body == format!("ran {number}"))
        });
    }
    // All are let in, and noted, before the sandbox runs.
    eventually("all wait", || house.touches() == 100).await;
    house.directory.awake.notify_one();
    while let Some(answer) = callers.join_next().await {
        assert_eq!(answer.expect("answered"), (200, true), "as if it had run");
    }
    assert_eq!(wakes(&house), 1);
}

#[tokio::test]
async fn a_wake_that_fails_says_why_and_may_be_tried_again() {
    let house = house().await;
    let failed = Refusal::NotRunning { state: "error".to_owned() };
    *house.directory.refusal.lock().expect("a refusal") = Some(failed);
    house.directory.awake.notify_one();
    let answer = Answer::read(&house.raw(request("", "").as_bytes()).await);
    let body = answer.json();
    assert_eq!((answer.status, &body["state"]), (409, &"error".into()));
    assert_eq!((&body["code"], &body["cause"]), (&"SANDBOX_NOT_RUNNING".into(), &"sandbox-error".into()));
    assert!(body["remedy"].as_str().is_some_and(|text| text.contains("errorReason")), "{body}");
    *house.directory.refusal.lock().expect("a refusal") = None;
    house.directory.awake.notify_one();
    let answer = Answer::read(&house.raw(request("", "again").as_bytes()).await);
    assert_eq!((answer.status, answer.body.as_str()), (200, "ran again"));
    assert_eq!(wakes(&house), 2);
}

#[tokio::test]
async fn a_full_quota_is_told_as_such() {
    let house = house().await;
    let failed = Refusal::NoRoom { reason: "Total CPU limit exceeded. Maximum allowed: 4.\nmore".to_owned() };
    *house.directory.refusal.lock().expect("a refusal") = Some(failed);
    house.directory.awake.notify_one();
    let answer = Answer::read(&house.raw(request("", "").as_bytes()).await);
    let body = answer.json();
    assert_eq!(
        (answer.status, &body["state"], &body["cause"]),
        (409, &"paused".into(), &"quota-exceeded".into())
    );
    assert_eq!(body["evidence"], "Total CPU limit exceeded. Maximum allowed: 4.");
}

#[tokio::test]
async fn a_call_that_is_no_use_of_the_sandbox_does_not_wake_it() {
    let house = house().await;
    let headers = "x-daytona-skip-last-activity-update: true\r\n";
    let answer = Answer::read(&house.raw(request(headers, "").as_bytes()).await);
    let body = answer.json();
    assert_eq!((answer.status, &body["state"]), (409, &"paused".into()));
    assert!(body["remedy"].as_str().is_some_and(|text| text.contains("resume it")), "{body}");
    assert_eq!((wakes(&house), house.touches()), (0, 0));
}

#[tokio::test]
async fn a_call_that_a_pause_caught_on_its_way_in_wakes_the_sandbox() {
    let held = Arc::new(tokio::sync::Notify::new());
    let daemon = {
        let held = Arc::clone(&held);
        async move || {
            held.notified().await;
            "ran"
        }
    };
    let house = House::with_daemon(Router::new().fallback(daemon)).await;
    // Wakes say that it runs; the daemon answers once it was woken.
    let (answer, ()) = tokio::join!(house.call("GET", "/x", "", ""), async {
        eventually("it is looked at", || wakes(&house) == 1).await;
        house.directory.awake.notify_one();
        held.notify_one();
    });
    assert_eq!((answer.status, answer.body.as_str()), (200, "ran"));
    // One that is no use of the sandbox is held with it.
    let skipping = house.call("GET", "/x", "x-daytona-skip-last-activity-update: true\r\n", "");
    let (answer, ()) = tokio::join!(skipping, async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        held.notify_one();
    });
    assert_eq!((answer.status, wakes(&house)), (200, 1));
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_wake_from_nobody() {
    let house = house().await;
    let mut leaver = house.client().await;
    leaver.write_all(request("", "").as_bytes()).await.expect("writes");
    eventually("the wake begins", || wakes(&house) == 1).await;
    let waiting = {
        let house = Arc::clone(&house);
        tokio::spawn(async move { house.raw(request("", "stays").as_bytes()).await })
    };
    eventually("both wait", || house.touches() == 2).await;
    drop(leaver);
    tokio::time::sleep(Duration::from_millis(50)).await;
    house.directory.awake.notify_one();
    let answer = Answer::read(&waiting.await.expect("answered"));
    assert_eq!((answer.status, answer.body.as_str(), wakes(&house)), (200, "ran stays", 1));
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let house = house().await;
    let mut waiting: Vec<TcpStream> = Vec::new();
    for _ in 0..256 {
        let mut client = house.client().await;
        client.write_all(request("", "").as_bytes()).await.expect("writes");
        waiting.push(client);
    }
    eventually("all wait", || house.touches() == 256).await;
    let answer = Answer::read(&house.raw(request("", "").as_bytes()).await);
    let body = answer.json();
    assert_eq!((answer.status, &body["code"]), (503, &"TOO_MANY_WAITING".into()));
    house.directory.awake.notify_one();
    for mut client in waiting {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("reads");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(wakes(&house), 1);
}

#[tokio::test]
async fn shutdown_ends_the_wait() {
    let house = house().await;
    let waiting = {
        let house = Arc::clone(&house);
        tokio::spawn(async move { house.raw(request("", "").as_bytes()).await })
    };
    eventually("the wake begins", || wakes(&house) == 1).await;
    let left = house.tasks.finish(Duration::from_mins(1)).await;
    assert!(left.is_empty(), "{left:?}");
    let answer = waiting.await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}
