//! Making, listing, resizing and deleting terminals, and how they end.

use axum::http::StatusCode;
use serde_json::json;

use super::{Client, EXIT_CONTROL, listed, start};
use crate::harness::{eventually, is_root, is_running, unique};

#[tokio::test]
async fn a_terminal_is_made_described_resized_and_deleted() {
    let daemon = start();
    let work = daemon.work();
    let body = json!({"id": "a", "cwd": ".", "envs": {"E": "1"}, "cols": 100, "rows": 30, "lazyStart": true});
    let made = daemon.post("/process/pty", body).await;
    assert_eq!((made.status, made.json()), (StatusCode::CREATED, json!({"sessionId": "a"})));

    let info = daemon.get("/process/pty/a").await.json();
    let created_at = info["createdAt"].as_str().expect("createdAt").to_owned();
    created_at.parse::<types::Timestamp>().expect("RFC 3339");
    let expected = json!({
        "id": "a", "cwd": work, "envs": {"E": "1"}, "cols": 100, "rows": 30, "createdAt": created_at,
        "active": false, "lazyStart": true,
    });
    assert_eq!(info, expected);
    let resized = daemon.post("/process/pty/a/resize", json!({"cols": 1000, "rows": 1})).await;
    assert_eq!(resized.status, StatusCode::OK);
    assert_eq!((resized.json()["cols"].clone(), resized.json()["rows"].clone()), (json!(1000), json!(1)));

    // Everything may be left out, and then the shell starts at once.
    let made = daemon.call("POST", "/process/pty", "").await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let id = made.json()["sessionId"].as_str().expect("id").to_owned();
    let info = daemon.get(&format!("/process/pty/{id}")).await.json();
    assert_eq!((&info["cols"], &info["rows"], &info["active"]), (&json!(80), &json!(24), &json!(true)));
    let mut names = vec!["a".to_owned(), id.clone()];
    names.sort();
    assert_eq!(listed(&daemon).await, names);

    for name in names {
        let deleted = daemon.call("DELETE", &format!("/process/pty/{name}"), "").await;
        assert_eq!(deleted.status, StatusCode::OK);
        assert!(deleted.json()["message"].is_string());
        daemon.get(&format!("/process/pty/{name}")).await.error(404, "NOT_FOUND");
    }
    assert!(listed(&daemon).await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let daemon = start();
    let refusals = [
        (json!({"cols": 1001}), 400, "BAD_REQUEST"),
        (json!({"rows": 70000}), 400, "BAD_REQUEST"),
        (json!({"rows": -1}), 400, "INVALID_REQUEST_BODY"),
        (json!({"cwd": "/no/such/directory"}), 400, "BAD_REQUEST"),
        (json!({"cwd": "/dev/null", "lazyStart": true}), 400, "BAD_REQUEST"),
        (json!({"envs": {"A=B": "1"}}), 400, "BAD_REQUEST"),
        (json!({"envs": {"A": 1}}), 400, "INVALID_REQUEST_BODY"),
        (json!({"id": "x".repeat(257)}), 400, "BAD_REQUEST"),
        (json!({"id": "a\nb"}), 400, "BAD_REQUEST"),
        (json!({"id": "create-connect"}), 400, "BAD_REQUEST"),
    ];
    for (body, status, code) in refusals {
        daemon.post("/process/pty", body).await.error(status, code);
    }
    daemon.get("/process/pty/none").await.error(404, "NOT_FOUND");
    daemon.call("DELETE", "/process/pty/none", "").await.error(404, "NOT_FOUND");
    daemon.post("/process/pty/none/resize", json!({"cols": 1, "rows": 1})).await.error(404, "NOT_FOUND");
    daemon.get("/process/pty/none/connect").await.error(400, "BAD_REQUEST");
    daemon.get("/process/pty/create-connect?id=a").await.error(400, "BAD_REQUEST");

    assert_eq!(daemon.post("/process/pty", json!({"id": "a"})).await.status, StatusCode::CREATED);
    daemon.post("/process/pty", json!({"id": "a"})).await.error(409, "CONFLICT");
    for size in [json!({"cols": 0, "rows": 1}), json!({"cols": 80, "rows": 1001})] {
        daemon.post("/process/pty/a/resize", size).await.error(400, "BAD_REQUEST");
    }
    daemon.post("/process/pty/a/resize", json!({"cols": 80})).await.error(400, "INVALID_REQUEST_BODY");
    assert_eq!(listed(&daemon).await, ["a"], "nothing that was refused is left");
}

#[tokio::test]
async fn the_number_of_terminals_is_bounded() {
    let daemon = start();
    for number in 0..daemon::terminal::TERMINALS {
        let made = daemon.post("/process/pty", json!({"id": number.to_string(), "lazyStart": true})).await;
        assert_eq!(made.status, StatusCode::CREATED);
    }
    daemon.post("/process/pty", json!({"id": "more"})).await.error(429, "TOO_MANY_REQUESTS");
    daemon.call("DELETE", "/process/pty/0", "").await;
    let made = daemon.post("/process/pty", json!({"id": "more", "lazyStart": true})).await;
    assert_eq!(made.status, StatusCode::CREATED);
}

#[tokio::test]
async fn how_a_shell_ended_is_told_once_and_the_terminal_is_gone() {
    let daemon = start();
    let endings = [
        ("exit", 0, None),
        ("exit 3", 3, Some("non-zero exit")),
        ("kill -KILL $$", 137, Some("SIGKILL")),
        ("exit 130", 130, Some("Ctrl+C")),
    ];
    for (command, exit_code, reason) in endings {
        let mut client = Client::create(&daemon, "e").await;
        client.type_in(&format!("{command}\r")).await;
        let (exit, code, closed) = client.end().await;
        assert_eq!((&exit["type"], &exit["status"]), (&json!("control"), &json!("exited")));
        assert_eq!((exit["exitCode"].as_i64(), exit["exitReason"].as_str()), (Some(exit_code), reason));
        assert_eq!((closed["exitCode"].as_i64(), closed["exitReason"].as_str()), (Some(exit_code), reason));
        assert_eq!(code, 1000);
        assert!(listed(&daemon).await.is_empty(), "it is gone before anybody hears of the end");
        let resized = daemon.post("/process/pty/e/resize", json!({"cols": 80, "rows": 24})).await;
        resized.error(410, "SESSION_ENDED");
        daemon.get("/process/pty/e").await.error(404, "NOT_FOUND");
        daemon
            .refused_websocket("/process/pty/e/connect", &[EXIT_CONTROL], &[])
            .await
            .error(404, "NOT_FOUND");
    }
    // Older SDKs read the code of the close.
    for (command, expected) in [("exit", 1000), ("exit 3", 1011)] {
        let mut client = Client::open(&daemon, "/process/pty/create-connect?id=o", &[]).await;
        assert_eq!(client.socket.protocol, None);
        client.type_in(&format!("{command}\r")).await;
        let (_, code, closed) = client.end().await;
        assert_eq!(code, expected);
        assert!(closed["exitCode"].is_i64(), "{closed}");
    }
}

#[tokio::test]
async fn the_last_output_comes_before_the_end() {
    let daemon = start();
    let mut client = Client::create(&daemon, "l").await;
    client.type_in("seq 1 3000; echo la''st; exit\r").await;
    client.until("3000\r\nlast\r\n").await;
    assert_eq!(client.end().await.1, 1000);
}

#[tokio::test]
async fn deleting_kills_what_hides() {
    let daemon = start();
    let mut client = Client::create(&daemon, "k").await;
    let sleeps = ["sleep 4711@@", "sleep 4712@@", "sleep 4713@@"].map(unique);
    client.run(&format!("{} & disown", sleeps[0])).await;
    client.run(&format!("(setsid nohup {} >/dev/null 2>&1 &)", sleeps[1])).await;
    client.run(&format!("trap '' HUP TERM; (trap '' HUP TERM; {} & disown -a)", sleeps[2])).await;
    for sleep in &sleeps {
        eventually(sleep, || is_running(sleep)).await;
    }
    assert_eq!(daemon.call("DELETE", "/process/pty/k", "").await.status, StatusCode::OK);
    for sleep in &sleeps {
        eventually(&format!("{sleep} ends"), || !is_running(sleep)).await;
    }
    let (exit, code, _) = client.end().await;
    assert_eq!(
        (exit["exitCode"].as_i64(), exit["exitReason"].as_str(), code),
        (Some(137), Some("SIGKILL"), 1000)
    );
}

#[tokio::test]
async fn what_was_left_on_purpose_outlives_the_shell() {
    let daemon = start();
    let mut client = Client::create(&daemon, "n").await;
    let sleep = unique("sleep 4714@@");
    client.run(&format!("nohup {sleep} >/dev/null 2>&1 & sleep 0")).await;
    eventually("it runs", || is_running(&sleep)).await;
    client.type_in("exit\r").await;
    assert_eq!(client.end().await.1, 1000);
    assert!(is_running(&sleep));
}

#[tokio::test]
async fn a_terminal_belongs_to_the_user() {
    if !is_root() {
        println!("skipped: serving another user needs root");
        return;
    }
    let daemon = crate::harness::TestDaemon::start_with(|settings| {
        settings.user = "nobody".into();
        settings.work_dir = Some("/".into());
        settings.home = Some("/".into());
    });
    let mut client = Client::create(&daemon, "u").await;
    assert_eq!(
        client.run("id -u; stat -c %u $(tty); : > $(tty) && echo wr''itten").await,
        "65534\n65534\nwritten"
    );
}
