//! What commands of sessions print: as it is, in every form, and followed.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Answer, TestDaemon};

impl TestDaemon {
    /// Reads a log as an SDK of this version does.
    async fn logs(&self, path: &str, version: &str) -> Answer {
        let request = Request::builder().uri(path).header("host", "daemon");
        self.send(request.header("X-Daytona-SDK-Version", version).body(Body::empty()).expect("request"))
            .await
    }
}

/// Splits a marked log, as the official clients do.
fn split(bytes: &[u8]) -> (String, String) {
    let mut found = [Vec::new(), Vec::new()];
    let (mut current, mut rest) = (None, bytes);
    while let Some((&byte, after)) = rest.split_first() {
        if rest.starts_with(&[1; 3]) || rest.starts_with(&[2; 3]) {
            current = Some(usize::from(byte) - 1);
            rest = &rest[3..];
        } else {
            found[current.expect("a mark comes first")].push(byte);
            rest = after;
        }
    }
    let [output, errors] = found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output, errors)
}

#[tokio::test]
async fn streams_are_apart_and_every_sdk_gets_its_form() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let command = daemon.session_start("s", "echo one; echo two; echo oh >&2; printf part").await;
    assert_eq!(daemon.session_end(&command).await, 0);
    let path = format!("{command}/logs");
    let newest = daemon.logs(&path, "0.226.1").await;
    assert_eq!(newest.header("content-type"), "application/json");
    let body = newest.json();
    assert_eq!((&body["stdout"], &body["stderr"]), (&json!("one\ntwo\npart"), &json!("oh\n")));
    let output = body["output"].as_str().expect("text");
    assert_eq!(split(output.as_bytes()), ("one\ntwo\npart".into(), "oh\n".into()));
    assert!(output.contains("\u{1}\u{1}\u{1}one\n\u{1}\u{1}\u{1}two\n"), "{output:?}");
    let middle = daemon.logs(&path, "0.100.0").await;
    assert!(middle.header("content-type").starts_with("text/plain"));
    assert_eq!(middle.text(), output);
    for oldest in [daemon.logs(&path, "0.20.0").await, daemon.get(&path).await] {
        assert!(oldest.header("content-type").starts_with("text/plain"));
        assert_eq!(oldest.body.len(), "one\ntwo\npartoh\n".len());
        assert!(!oldest.body.contains(&1) && !oldest.body.contains(&2));
    }
    // The answer of a command that was waited for has the same forms.
    let answer = daemon.session_call("s", json!({"command": "echo one; (exit 8)"})).await.json();
    let id = answer["cmdId"].as_str().expect("an id");
    let expected = json!({"cmdId": id, "output": "\u{1}\u{1}\u{1}one\n", "stdout": "one\n", "stderr": "", "exitCode": 8});
    assert_eq!(answer, expected);
    let plain = daemon.post("/process/session/s/exec", json!({"command": "echo one"})).await.json();
    assert_eq!(plain["output"], "one\n");
}

#[tokio::test]
async fn whatever_is_printed_comes_back_as_it_was() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    // Every byte there is, what looks like marks, and what is no text.
    let mut bytes: Vec<u8> = (0..=255).collect();
    bytes.extend(b"\x01\x01\x01\x01\x01\x02\x02\x02\x02\n\x02\x02\x02x\x01\x01\x01".repeat(50));
    bytes.extend([1; 1000]);
    bytes.extend([2; 1000]);
    std::fs::write(daemon.work().join("bytes"), &bytes).expect("write");
    let expected = String::from_utf8_lossy(&bytes).into_owned();
    assert_eq!(
        daemon.session_run("s", "cat bytes; cat bytes >&2").await,
        (0, expected.clone(), expected.clone())
    );
    let command = daemon.session_start("s", "cat bytes; cat bytes >&2").await;
    let mut socket = daemon.websocket(&format!("{command}/logs?follow=true"), &[]).await;
    let (frames, code, _) = socket.rest().await;
    assert_eq!(code, 1000);
    for frame in &frames {
        assert!(frame.starts_with(&[1; 3]) || frame.starts_with(&[2; 3]), "a frame begins with a mark");
        assert!(frame.len() > 3, "a frame is more than a mark");
    }
    assert_eq!(split(&frames.concat()), (expected.clone(), expected));
}

#[tokio::test]
async fn a_log_is_followed_as_it_grows_and_partial_lines_are_seen() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let command = daemon.session_start("s", "printf 'Name: '; read name; echo \"Hi $name\"; (exit 3)").await;
    let path = format!("{command}/logs?follow=true");
    let protocol = "X-Daytona-SDK-Version~0.226.1";
    let mut socket = daemon.websocket(&path, &[protocol]).await;
    assert_eq!(socket.protocol.as_deref(), Some(protocol));
    let mut seen = Vec::new();
    while split(&seen).0 != "Name: " {
        match socket.next().await {
            Message::Binary(frame) => seen.extend_from_slice(&frame),
            other => panic!("{other:?}"),
        }
    }
    socket.send(Message::Ping("are you there".into())).await;
    assert_eq!(socket.next().await, Message::Pong("are you there".into()));
    assert_eq!(daemon.post(&format!("{command}/input"), json!({"data": "Ada"})).await.status, 204);
    let (frames, code, _) = socket.rest().await;
    assert_eq!(code, 1000);
    seen.extend(frames.concat());
    assert_eq!(split(&seen), ("Name: Ada\nHi Ada\n".into(), String::new()));
    // It is whole also for those who come late.
    let (frames, code, _) = daemon.websocket(&path, &[]).await.rest().await;
    assert_eq!((split(&frames.concat()).0.as_str(), code), ("Name: Ada\nHi Ada\n", 1000));
    let missing =
        daemon.refused_websocket("/process/session/s/command/none/logs?follow=true", &[], &[]).await;
    missing.error(404, "PROCESS_NOT_FOUND");
}

#[tokio::test]
async fn a_log_is_followed_over_plain_http() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let command =
        daemon.session_start("s", "echo one; until [ -e go ]; do sleep 0.01; done; echo two >&2").await;
    let mut sender = daemon.connect().await;
    let request = Request::builder().uri(format!("{command}/logs?follow=true")).header("host", "daemon");
    let answer = sender.send_request(request.body(Body::empty()).expect("request")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let mut body = answer.into_body();
    let mut seen = Vec::new();
    while split(&seen).0 != "one\n" {
        seen.extend_from_slice(body.frame().await.expect("more").expect("whole").data_ref().expect("data"));
    }
    std::fs::write(daemon.work().join("go"), "").expect("go");
    seen.extend_from_slice(&body.collect().await.expect("the rest").to_bytes());
    assert_eq!(split(&seen), ("one\n".into(), "two\n".into()));
    daemon.get(&format!("{command}/logs?follow=maybe")).await.error(400, "BAD_REQUEST");
}

#[tokio::test]
async fn a_background_child_that_never_stops_printing_does_not_hold_a_follower() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let command = daemon.session_start("s", "echo start; yes 8281@@ & sleep 0.1").await;
    let mut socket = daemon.websocket(&format!("{command}/logs?follow=true"), &[]).await;
    let (frames, code, _) = socket.rest().await;
    assert_eq!(code, 1000);
    assert!(split(&frames.concat()).0.contains("start\n"));
    assert_eq!(daemon.session_end(&command).await, 0);
    let answer = daemon.logs(&format!("{command}/logs"), "0.226.1").await;
    assert!(answer.json()["stdout"].as_str().expect("text").contains("start\n"));
    assert_eq!(daemon.session_run("s", "echo answers").await.1, "answers\n");
}

#[tokio::test]
async fn a_gigabyte_of_output_is_kept_within_bounds() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let command = daemon
        .session_start("s", "echo first; head -c 1000000000 /dev/zero | tr '\\0' x; echo; echo last")
        .await;
    let path = format!("{command}/logs");
    // A follower that does not read is no obstacle.
    let idle = daemon.websocket(&format!("{path}?follow=true"), &[]).await;
    let (mut most_memory, mut most_disk) = (0, 0);
    let pid = daemon.child.id();
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line").trim();
        line.trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    };
    let disk = || -> u64 {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").flatten();
        // Not what the test itself prints to.
        let files = files.filter(|entry| !["0", "1", "2"].iter().any(|number| entry.file_name() == *number));
        let files = files.filter_map(|entry| std::fs::metadata(entry.path()).ok());
        let files = files.filter(std::fs::Metadata::is_file);
        files.map(|file| std::os::unix::fs::MetadataExt::blocks(&file) * 512).sum()
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(10);
    while daemon.get(&command).await.json().get("exitCode").is_none() {
        assert!(std::time::Instant::now() < deadline, "a gigabyte does not take ten minutes");
        (most_memory, most_disk) = (memory().max(most_memory), disk().max(most_disk));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let answer = daemon.logs(&path, "0.226.1").await;
    let body = answer.json();
    let output = body["stdout"].as_str().expect("text");
    let count = output.split_once("\n[").expect("told").1.split_once(" bytes omitted").expect("told").0;
    let omitted: usize = count.parse().expect("a number");
    assert!(output.starts_with("first\nxxx") && output.ends_with("xxx\nlast\n"));
    assert_eq!(output.matches('x').count() + omitted, 1_000_000_000);
    most_memory = memory().max(most_memory);
    println!("at most {} KiB of memory and {} KiB of disk", most_memory / 1024, most_disk / 1024);
    assert!(most_memory < 32 * 1024 * 1024, "{most_memory}");
    assert!(most_disk < 32 * 1024 * 1024, "{most_disk}");
    // All of it comes back.
    assert_eq!(daemon.call("DELETE", "/process/session/s", "").await.status, 204);
    drop(idle);
    for _ in 0..600 {
        if disk() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").flatten();
    let open: Vec<_> = open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect();
    panic!("the disk is not free again: {open:?}");
}

#[tokio::test]
async fn the_entrypoint_is_a_session_of_its_own() {
    let none = TestDaemon::start();
    let session = none.get("/process/session/entrypoint").await.json();
    assert_eq!(session, json!({"sessionId": "entrypoint", "commands": []}));
    assert_eq!(none.logs("/process/session/entrypoint/logs", "0.226.1").await.json()["stdout"], "");
    assert_eq!(
        none.websocket("/process/session/entrypoint/logs?follow=true", &[]).await.rest().await.1,
        1000
    );

    let script =
        "echo ready; echo oh >&2; echo again > /dev/stdout; until [ -e go ]; do sleep 0.01; done; exit 5";
    let entrypoint = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let daemon = TestDaemon::start_with(|settings| settings.entrypoint = entrypoint);
    let session = daemon.get("/process/session/entrypoint").await.json();
    let command = json!({"id": "entrypoint_command", "command": format!("sh -c {script}")});
    assert_eq!(session, json!({"sessionId": "entrypoint", "commands": [command]}));
    assert_eq!(daemon.get("/process/session").await.json(), json!([]));
    let mut socket = daemon.websocket("/process/session/entrypoint/logs?follow=true", &[]).await;
    let mut seen = Vec::new();
    while split(&seen) != ("ready\nagain\n".into(), "oh\n".into()) {
        seen.extend(socket.next().await.into_data());
    }
    let logs = daemon.logs("/process/session/entrypoint/logs", "0.226.1").await.json();
    assert_eq!((&logs["stdout"], &logs["stderr"]), (&json!("ready\nagain\n"), &json!("oh\n")));
    std::fs::write(daemon.work().join("go"), "").expect("go");
    assert_eq!(socket.rest().await.1, 1000);
    let path = "/process/session/entrypoint/command/entrypoint_command";
    assert_eq!(daemon.session_end(path).await, 5);
    assert_eq!(daemon.logs(&format!("{path}/logs"), "0.226.1").await.json(), logs);
    daemon.post(&format!("{path}/input"), json!({"data": "x"})).await.error(410, "COMMAND_ALREADY_COMPLETED");

    let missing = TestDaemon::start_with(|settings| settings.entrypoint = vec!["/no/such/program".into()]);
    let logs = missing.logs("/process/session/entrypoint/logs", "0.226.1").await.json();
    assert!(logs["stderr"].as_str().expect("text").contains("/no/such/program"), "{logs}");
}
