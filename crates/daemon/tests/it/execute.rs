//! Commands run to their end, whatever they print and leave behind.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::harness::{TestDaemon, eventually, is_root, is_running, send};

#[tokio::test]
async fn commands_answer_with_exit_code_and_output() {
    let daemon = TestDaemon::start();
    let work = daemon.work().to_string_lossy().into_owned();
    for (body, expected_code, expected) in [
        (json!({"command": "echo hello"}), 0, "hello\n"),
        (json!({"command": "exit 42"}), 42, ""),
        (json!({"command": "echo out; echo err >&2; echo out"}), 0, "out\nerr\nout\n"),
        (json!({"command": "echo $A-$B", "envs": {"A": "1", "B": "x y"}}), 0, "1-x y\n"),
        (json!({"command": "pwd"}), 0, &format!("{work}\n")),
        (json!({"command": "pwd", "cwd": "/"}), 0, "/\n"),
        (json!({"command": "pwd", "cwd": ""}), 0, &format!("{work}\n")),
        (json!({"command": "mkdir -p sub && cd sub && pwd", "cwd": "."}), 0, &format!("{work}/sub\n")),
        (json!({"command": "pwd", "cwd": "sub"}), 0, &format!("{work}/sub\n")),
        (json!({"command": "cat <<'EOF' > f.txt\na $b\nc\nEOF\ncat f.txt"}), 0, "a $b\nc\n"),
        (json!({"command": "cat; echo eof"}), 0, "eof\n"),
        (json!({"command": "kill -TERM $$"}), 143, ""),
        (json!({"command": "kill -KILL $$"}), 137, ""),
        (json!({"command": "printf 'a\\377b'"}), 0, "a\u{fffd}b"),
        (json!({"command": "printf é"}), 0, "é"),
        (json!({"command": "echo quick", "timeout": 5}), 0, "quick\n"),
        (json!({"command": "echo zero", "timeout": 0}), 0, "zero\n"),
        (json!({"command": "echo never", "timeout": -1, "unknown": [1]}), 0, "never\n"),
        (json!({"command": "echo $DAYTONA_SANDBOX_ID $TERM"}), 0, "test-sandbox xterm-256color\n"),
        (
            json!({"command": "command -v setsid >/dev/null && [ $(ps -o sid= -p $$) = $$ ] && echo leader"}),
            0,
            "leader\n",
        ),
    ] {
        let (code, result) = daemon.execute(body.clone()).await;
        assert_eq!((code, result.as_str()), (expected_code, expected), "{body}");
    }
    let (code, result) = daemon.execute(json!({"command": "no-such-program-here"})).await;
    assert!(code == 127 && result.contains("not found"), "{result}");
}

#[tokio::test]
async fn what_cannot_start_is_an_answer_and_what_makes_no_sense_an_error() {
    let daemon = TestDaemon::start();
    for cwd in ["/no/such/directory", "/etc/passwd"] {
        let (code, result) = daemon.execute(json!({"command": "echo hi", "cwd": cwd})).await;
        assert!(code == -1 && result.contains(cwd) && result.contains("directory"), "{result}");
    }
    let huge = "x".repeat(3 * 1024 * 1024);
    let (code, result) = daemon.execute(json!({"command": "true", "envs": {"A": huge}})).await;
    assert!(code == -1 && result.to_lowercase().contains("too long"), "{code} {result}");
    for (body, status, code) in [
        (r#"{"command": ""}"#.to_owned(), 400, "BAD_REQUEST"),
        (r#"{"command": " \n\t"}"#.into(), 400, "BAD_REQUEST"),
        (r#"{"command": "a\u0000b"}"#.into(), 400, "BAD_REQUEST"),
        (r#"{"command": "true", "cwd": "/a\u0000b"}"#.into(), 400, "INVALID_FILE_PATH"),
        (r#"{"command": "true", "envs": {"1A": "x"}}"#.into(), 400, "BAD_REQUEST"),
        (r#"{"command": "true", "envs": {"A=B": "x"}}"#.into(), 400, "BAD_REQUEST"),
        (r#"{"command": "true", "envs": {"A": "x\u0000"}}"#.into(), 400, "BAD_REQUEST"),
        (r#"{"command": "true", "envs": {"A": 1}}"#.into(), 400, "INVALID_REQUEST_BODY"),
        (r#"{"command": "true", "timeout": "5"}"#.into(), 400, "INVALID_REQUEST_BODY"),
        (r#"{"command": 5}"#.into(), 400, "INVALID_REQUEST_BODY"),
        (String::new(), 400, "INVALID_REQUEST_BODY"),
        ("[]".into(), 400, "INVALID_REQUEST_BODY"),
        ("{".into(), 400, "INVALID_REQUEST_BODY"),
        ("\u{feff}{}".into(), 400, "INVALID_REQUEST_BODY"),
        ("[".repeat(100_000), 400, "INVALID_REQUEST_BODY"),
        (format!(r#"{{"command": "{}"}}"#, "x".repeat(33 * 1024 * 1024)), 413, "BODY_TOO_LARGE"),
    ] {
        let shown: String = body.chars().take(50).collect();
        let answer = daemon.call("POST", "/process/execute", body).await;
        let message = answer.error(status, code);
        assert!(message.len() < 500, "{shown}: {message}");
    }
}

#[tokio::test]
async fn content_types_do_not_matter() {
    let daemon = TestDaemon::start();
    for content_type in
        [None, Some("application/json"), Some("text/plain"), Some("application/x-www-form-urlencoded")]
    {
        let mut request = Request::builder().method("POST").uri("/env");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let body = r#"{"set": {"LAX": "yes"}, "unset": ["X"], "unsetValuePrefix": "none"}"#;
        let answer = daemon.send(request.body(Body::from(body)).expect("request")).await;
        assert_eq!(answer.status, 200, "{content_type:?}: {}", answer.text());
    }
    assert_eq!(daemon.shell("echo $LAX").await, "yes");
    assert_eq!(daemon.post("/env", json!({"unset": ["LAX"]})).await.status, 200);
    assert_eq!(daemon.shell("echo [$LAX]").await, "[]");
    daemon.post("/env", json!({"set": {"A-B": "1"}})).await.error(400, "BAD_REQUEST");
}

#[tokio::test]
async fn a_command_longer_than_an_argument_runs() {
    let daemon = TestDaemon::start();
    let command = format!("echo start; : {}; cat; echo \"$((1 + 1))\"", "x".repeat(1024 * 1024));
    assert_eq!(daemon.shell(&command).await, "start\n2");
}

#[tokio::test]
async fn a_background_child_that_holds_the_output_does_not_hold_the_answer() {
    let daemon = TestDaemon::start();
    let started = Instant::now();
    assert_eq!(daemon.shell("sleep 4711@@.25 & echo started").await, "started");
    assert_eq!(daemon.shell("echo started; yes 4711@@.25 &").await.lines().next(), Some("started"));
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert!(is_running("sleep 4711@@.25"), "the background child goes on");
    drop(daemon);
    eventually("the daemon takes its children along", || !is_running("4711@@.25")).await;
}

#[tokio::test]
async fn a_huge_output_is_bounded_and_keeps_both_ends() {
    let daemon = TestDaemon::start();
    let result = daemon.shell("echo first; yes abcdefghij | head -c 60000000; printf 'last\\0'").await;
    assert!(result.len() < 17 * 1024 * 1024 && result.len() > 16 * 1024 * 1024, "{}", result.len());
    assert!(result.starts_with("first\nabc") && result.ends_with("last\0"));
    assert!(result.contains("bytes omitted"));
    let high_water_kib = peak_memory_kib(daemon.child.id());
    assert!(high_water_kib < 64 * 1024, "{high_water_kib} KiB");
}

pub(crate) fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn two_hundred_commands_run_at_once() {
    let daemon = std::sync::Arc::new(TestDaemon::start());
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let daemon = daemon.clone();
            tokio::spawn(async move {
                let (code, result) =
                    daemon.execute(json!({"command": format!("echo {number}; exit {}", number % 100)})).await;
                assert_eq!((code, result), (number % 100, format!("{number}\n")));
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("answered");
    }
    if !is_root() {
        println!("skipped: only root may count the descriptors of a process that forbids to be traced");
        return;
    }
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", daemon.child.id())).expect("fd").count();
    eventually("pipes and connections are closed", || descriptors() < 20).await;
}

#[tokio::test]
async fn orphans_are_buried() {
    let daemon = TestDaemon::start();
    daemon.shell("for i in 1 2 3 4 5; do (sh -c 'sleep 0.05 &' ) ; done").await;
    let children = format!("/proc/{0}/task/{0}/children", daemon.child.id());
    let buried = || std::fs::read_to_string(&children).expect("children").trim().is_empty();
    eventually("neither zombies nor orphans are left", buried).await;
}

#[tokio::test]
async fn one_command_takes_about_a_process_start() {
    let daemon = TestDaemon::start();
    let mut connection = daemon.connect().await;
    let mut times = Vec::new();
    for _ in 0..100 {
        let request = Request::post("/process/execute").header("host", "daemon");
        let request = request.body(Body::from(r#"{"command":"echo hi"}"#)).expect("request");
        let started = Instant::now();
        let answer = send(&mut connection, request).await;
        times.push(started.elapsed());
        assert_eq!(answer.json(), json!({"exitCode": 0, "result": "hi\n"}));
    }
    times.sort_unstable();
    println!("execute `echo hi`: median {:?}, p95 {:?}", times[50], times[95]);
    // Far above what it takes, so that only a real mistake, such as a poll interval, fails it on a busy machine.
    assert!(times[50] < Duration::from_secs(1), "{:?}", times[50]);
}
