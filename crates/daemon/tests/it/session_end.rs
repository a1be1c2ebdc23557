//! How sessions end: by themselves, by request, and with all that they started.

use axum::http::StatusCode;
use serde_json::json;

use crate::harness::{TestDaemon, eventually, is_running, unique};

#[tokio::test]
async fn a_shell_that_ends_is_told_with_its_exit_code() {
    let daemon = TestDaemon::start();
    for (id, command, code) in [
        ("exit", "echo bye; exit 3", 3),
        ("set", "set -e; echo bye; false; echo never", 1),
        ("exec", "echo bye; exec sh -c 'exit 4'", 4),
        ("kill", "echo bye; kill -9 $$", 137),
    ] {
        daemon.session(id).await;
        assert_eq!(daemon.session_run(id, command).await, (code, "bye\n".into(), String::new()), "{id}");
        let refused = daemon.session_call(id, json!({"command": "true"})).await;
        let message = refused.error(410, "SESSION_ENDED");
        assert!(message.contains(&format!("exit code {code}")), "{message}");
        // What it did can still be read.
        let commands = daemon.get(&format!("/process/session/{id}")).await.json()["commands"].clone();
        assert_eq!(
            (commands[0]["exitCode"].as_i64(), commands.as_array().map(Vec::len)),
            (Some(code), Some(1))
        );
        daemon.post("/process/session", json!({"sessionId": id})).await.error(409, "CONFLICT");
        assert_eq!(daemon.call("DELETE", &format!("/process/session/{id}"), "").await.status, 204);
        daemon.session(id).await;
        assert_eq!(daemon.session_run(id, "echo anew").await.1, "anew\n");
    }
}

#[tokio::test]
async fn a_function_of_any_name_is_a_commands_own_business() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let functions = "command() { :; }; printf() { :; }; echo() { builtin echo mine; }; KEPT=1; (exit 3)";
    assert_eq!(daemon.session_run("s", functions).await.0, 3);
    assert_eq!(daemon.session_run("s", "cat /dev/null; (exit 4)").await.0, 4);
    assert_eq!(daemon.session_run("s", "test \"$KEPT\" = 1").await.0, 0);
}

#[tokio::test]
async fn a_shell_that_only_reads_on_is_ended() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    // A command that takes longer than it is looked at is none of these.
    assert_eq!(daemon.session_run("s", "sleep 3; (exit 2)").await.0, 2);
    assert_eq!(daemon.session_run("s", "echo before; set -n").await.1, "before\n");
    daemon.session_call("s", json!({"command": "true"})).await.error(410, "SESSION_ENDED");
}

#[tokio::test]
async fn commands_that_wait_for_a_shell_that_ends_are_refused() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let ending = daemon.session_start("s", "until [ -e go ]; do sleep 0.01; done; exit 6").await;
    let waiting = daemon.session_start("s", "echo never").await;
    let (answer, ()) = tokio::join!(daemon.session_call("s", json!({"command": "echo never"})), async {
        let listed = || daemon.get("/process/session/s");
        while listed().await.json()["commands"].as_array().map(Vec::len) < Some(3) {
            tokio::task::yield_now().await;
        }
        std::fs::write(daemon.work().join("go"), "").expect("go");
    });
    answer.error(410, "SESSION_ENDED");
    assert_eq!(daemon.session_end(&ending).await, 6);
    assert_eq!(daemon.session_end(&waiting).await, -1);
    assert!(
        daemon.get(&format!("{waiting}/logs")).await.text().contains("ended before this command could begin")
    );
}

#[tokio::test]
async fn what_runs_in_the_background_does_not_hold_the_answer() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let (code, output, _) = daemon.session_run("s", "(touch up; sleep 8271@@.1) & echo started").await;
    assert_eq!((code, output.as_str()), (0, "started\n"));
    // Later commands run beside it, and what it prints later goes to the log of the command that started it.
    let late = "(until [ -e go ]; do sleep 0.01; done; echo late; sleep 8271@@.2) & echo first";
    let command = daemon.session_start("s", late).await;
    assert_eq!(daemon.session_end(&command).await, 0);
    assert_eq!(daemon.session_run("s", "touch go; echo second").await.1, "second\n");
    let path = format!("{command}/logs");
    let mut text = String::new();
    for _ in 0..1000 {
        text = daemon.get(&path).await.text();
        if text.ends_with("late\n") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(text, "first\nlate\n");
    assert!(is_running("sleep 8271@@."));
}

#[tokio::test]
async fn a_deleted_session_takes_everything_with_it_softly_first() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let polite = "(trap 'echo bye > ended; exit' TERM; touch up; while :; do sleep 8272@@.1 & wait; done) &";
    daemon.session_run("s", polite).await;
    daemon.session_run("s", "setsid -f sleep 8272@@.2; nohup sleep 8272@@.3 >/dev/null 2>&1 & disown").await;
    let running = daemon.session_start("s", "sleep 8272@@.4").await;
    let up = daemon.work().join("up");
    eventually("all of it runs", || up.exists() && is_running("8272@@.2") && is_running("8272@@.4")).await;
    let mut follower = daemon.websocket(&format!("{running}/logs?follow=true"), &[]).await;
    let answer = daemon.call("DELETE", "/process/session/s", "").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(!is_running("sleep 8272@@."), "all of it is gone when the answer comes");
    assert!(daemon.work().join("ended").exists(), "and could tidy up");
    assert_eq!(follower.rest().await.1, 1000);
}

#[tokio::test]
async fn what_does_not_listen_is_killed() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    daemon.session_run("s", "trap '' TERM; sleep 8273@@.1 & sleep 8273@@.2 & kill -STOP $!").await;
    assert_eq!(daemon.call("DELETE", "/process/session/s", "").await.status, 204);
    eventually("all of it is gone", || !is_running("sleep 8273@@.")).await;
}

#[tokio::test]
async fn a_delete_that_is_given_up_is_done_all_the_same() {
    let daemon = TestDaemon::start_with(|settings| settings.grace_ms = 6_000);
    daemon.session("s").await;
    daemon.session_run("s", "trap '' TERM; sleep 8274@@.1 &").await;
    let given_up = tokio::time::timeout(
        std::time::Duration::from_secs(2),
        daemon.call("DELETE", "/process/session/s", ""),
    );
    // It has to wait for what does not listen.
    given_up.await.expect_err("not so soon");
    daemon.get("/process/session/s").await.error(404, "PROCESS_NOT_FOUND");
    eventually("all of it is gone", || !is_running("sleep 8274@@.")).await;
}

#[tokio::test]
async fn a_command_whose_client_goes_away_goes_on() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let command = json!({"command": "touch up; until [ -e go ]; do sleep 0.01; done; echo done; KEPT=yes"});
    let up = daemon.work().join("up");
    tokio::select! {
        answer = daemon.session_call("s", command) => panic!("answered: {}", answer.text()),
        () = eventually("it runs", || up.exists()) => {}
    }
    std::fs::write(daemon.work().join("go"), "").expect("go");
    assert_eq!(daemon.session_run("s", "echo $KEPT").await.1, "yes\n");
    let session = daemon.get("/process/session/s").await.json();
    assert_eq!(session["commands"][0]["exitCode"], 0);
}

#[tokio::test]
async fn names_of_pipes_do_not_stay() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    if !daemon.session_run("s", "echo $BASH_VERSION").await.1.starts_with(char::is_numeric) {
        println!("skipped: only bash tells where its command came from");
        return;
    }
    let mine = daemon.session_run("s", "dirname $BASH_SOURCE").await.1;
    let mine = std::path::Path::new(mine.trim()).to_owned();
    assert!(mine.to_string_lossy().contains("daytona-session-"), "{}", mine.display());
    eventually("the names are gone", || !mine.exists()).await;
}

#[tokio::test]
async fn the_number_of_sessions_and_of_waiting_commands_is_bounded() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    daemon.session_start("s", &unique("sleep 8275@@.1")).await;
    let mut refused = None;
    for _ in 0..110 {
        let answer = daemon.session_call("s", json!({"command": "true", "runAsync": true})).await;
        if answer.status != StatusCode::ACCEPTED {
            refused = Some(answer);
            break;
        }
    }
    refused.expect("a limit").error(429, "TOO_MANY_REQUESTS");
    let mut refused = None;
    for number in 0..301 {
        let answer = daemon.post("/process/session", json!({"sessionId": format!("n{number}")})).await;
        if answer.status != StatusCode::CREATED {
            refused = Some(answer);
            break;
        }
    }
    let message = refused.expect("a limit").error(429, "TOO_MANY_REQUESTS");
    assert!(message.contains("300 sessions"), "{message}");
    assert_eq!(daemon.session_run("n5", "echo works").await.1, "works\n");
}
