//! Sessions: made, used, typed into, listed and ended.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, TestDaemon, eventually, is_running, unique};

const NEWEST: &str = "0.226.1";

impl TestDaemon {
    /// Makes a session that must be made.
    pub(crate) async fn session(&self, id: &str) {
        let answer = self.post("/process/session", json!({ "sessionId": id })).await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::CREATED, ""));
    }

    /// Runs a command in a session as the newest SDK does; returns the whole answer.
    pub(crate) async fn session_call(&self, id: &str, body: Value) -> Answer {
        let path = format!("/process/session/{id}/exec");
        let request = Request::builder().method("POST").uri(path).header("host", "daemon");
        let request = request.header("X-Daytona-SDK-Version", NEWEST);
        self.send(request.body(Body::from(unique(&body.to_string()))).expect("request")).await
    }

    /// Runs a command in a session to its end; returns its exit code and both streams.
    pub(crate) async fn session_run(&self, id: &str, command: &str) -> (i64, String, String) {
        let answer = self.session_call(id, json!({ "command": command })).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let body = answer.json();
        let text = |name: &str| body[name].as_str().expect("text").to_owned();
        (body["exitCode"].as_i64().expect("a code"), text("stdout"), text("stderr"))
    }

    /// Starts a command in a session; returns its path.
    pub(crate) async fn session_start(&self, id: &str, command: &str) -> String {
        let answer = self.session_call(id, json!({ "command": command, "runAsync": true })).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        let body = answer.json();
        for field in ["output", "stdout", "stderr", "exitCode"] {
            assert_eq!(body.get(field), Some(&Value::Null), "{body}");
        }
        format!("/process/session/{id}/command/{}", body["cmdId"].as_str().expect("an id"))
    }

    /// Waits for the end of a command; returns its exit code.
    pub(crate) async fn session_end(&self, command: &str) -> i64 {
        for _ in 0..1000 {
            let answer = self.get(command).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            if let Some(code) = answer.json().get("exitCode") {
                return code.as_i64().expect("a code");
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("never ended: {command}");
    }
}

#[tokio::test]
async fn a_session_is_made_once_listed_and_deleted() {
    let daemon = TestDaemon::start();
    assert_eq!(daemon.get("/process/session").await.json(), json!([]));
    daemon.session("one").await;
    daemon.session("a b/é").await;
    let again = daemon.post("/process/session", json!({"sessionId": "one"})).await;
    assert!(again.error(409, "CONFLICT").contains("`one` exists"));
    assert_eq!(daemon.session_run("one", "echo hello").await, (0, "hello\n".into(), String::new()));
    let list = daemon.get("/process/session").await.json();
    assert_eq!(list[0], json!({"sessionId": "a b/é", "commands": []}));
    let one = daemon.get("/process/session/one").await.json();
    assert_eq!(list[1], one);
    let id = one["commands"][0]["id"].as_str().expect("an id");
    assert_eq!(one["commands"][0], json!({"id": id, "command": "echo hello", "exitCode": 0}));
    let command = daemon.get(&format!("/process/session/one/command/{id}")).await;
    assert_eq!(command.json(), one["commands"][0]);
    for name in ["one", "a%20b%2F%C3%A9"] {
        let answer = daemon.call("DELETE", &format!("/process/session/{name}"), "").await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::NO_CONTENT, ""));
    }
    for (method, path) in [
        ("GET", "/process/session/one"),
        ("DELETE", "/process/session/one"),
        ("GET", "/process/session/one/command/x"),
        ("GET", "/process/session/one/command/x/logs"),
    ] {
        daemon.call(method, path, "").await.error(404, "PROCESS_NOT_FOUND");
    }
    daemon.session_call("one", json!({"command": "true"})).await.error(404, "PROCESS_NOT_FOUND");
    daemon.session("one").await;
}

#[tokio::test]
async fn names_and_commands_that_make_no_sense_are_refused() {
    let daemon = TestDaemon::start();
    for name in ["", "entrypoint", "a\nb", &"x".repeat(257)] {
        daemon.post("/process/session", json!({"sessionId": name})).await.error(400, "BAD_REQUEST");
    }
    daemon.call("POST", "/process/session", "{}").await.error(400, "BAD_REQUEST");
    daemon.call("POST", "/process/session", "[").await.error(400, "INVALID_REQUEST_BODY");
    daemon.call("GET", "/process/session/%ff", "").await.error(400, "BAD_REQUEST");
    daemon.session("s").await;
    for command in ["", " \n", "a\0b"] {
        daemon.session_call("s", json!({"command": command})).await.error(400, "BAD_REQUEST");
    }
    daemon.session_call("entrypoint", json!({"command": "true"})).await.error(400, "BAD_REQUEST");
    daemon.call("DELETE", "/process/session/entrypoint", "").await.error(400, "BAD_REQUEST");
    daemon.get("/process/session/s/command/none").await.error(404, "PROCESS_NOT_FOUND");
}

#[tokio::test]
async fn state_is_kept_between_commands() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let work = daemon.work().canonicalize().expect("path");
    assert_eq!(daemon.session_run("s", "pwd").await.1, format!("{}\n", work.display()));
    let changes = "mkdir in; cd in; export A='1 2'; B=3; f() { echo \"f $A $B\"; }; umask 077; set -f";
    assert_eq!(daemon.session_run("s", changes).await, (0, String::new(), String::new()));
    let looked = daemon.session_run("s", "pwd; f; umask; echo *; sh -c 'echo $A$B'").await;
    assert_eq!(looked.1, format!("{}/in\nf 1 2 3\n0077\n*\n1 2\n", work.display()));
    // Another session has its own.
    daemon.session("t").await;
    assert_eq!(daemon.session_run("t", "f").await.0, 127);
}

#[tokio::test]
async fn exit_codes_are_those_of_the_command() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    for (command, expected) in [
        ("true", 0),
        ("false", 1),
        ("(exit 42)", 42),
        ("return 7", 7),
        ("no-such-program-at-all", 127),
        ("sh -c 'kill -9 $$'", 137),
        ("trap 'true' DEBUG; false", 1),
        ("trap - DEBUG; break; continue", 0),
    ] {
        assert_eq!(daemon.session_run("s", command).await.0, expected, "{command}");
    }
}

#[tokio::test]
async fn whatever_a_command_does_to_its_shell_the_next_one_runs() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    for command in [
        "if",
        "echo 'open",
        "readonly R=1; R=2; echo after",
        "exec >/dev/null 2>&1 </dev/null",
        "exec 3>&-; exec 4>&-",
        "printf() { :; }; echo() { :; }; read() { :; }; cat() { :; }",
        "shopt -s expand_aliases; alias printf=false command=false",
        "unalias -a; unset -f printf echo read cat",
        "set -x; :; set +x",
        "rm -rf /dev/shm/daytona-session-* /tmp/daytona-session-* /var/tmp/daytona-session-* 2>/dev/null",
        "printf '\\n1 0\\n2 0\\n3 0\\n10 0\\n' | tee /dev/stderr",
        "sleep 0 & wait",
        "PATH=/nowhere; PATH=/usr/bin:/bin",
    ] {
        daemon.session_run("s", command).await;
        assert_eq!(
            daemon.session_run("s", "\\command echo alive").await,
            (0, "alive\n".into(), String::new()),
            "{command}"
        );
    }
}

#[tokio::test]
async fn the_end_of_a_command_cannot_be_faked() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    // Whatever it prints, and on whichever descriptor it has.
    let fake = "for fd in 1 2 3 4 5 6 7 8 9; do for n in 1 2 3; do printf '%s 0\\n' $n >&$fd; done; done 2>/dev/null; \
                sleep 0.2; echo real; (exit 9)";
    let (code, output, _) = daemon.session_run("s", fake).await;
    assert_eq!(code, 9);
    assert!(output.ends_with("real\n"), "{output}");
}

#[tokio::test]
async fn a_heredoc_and_many_lines_are_one_command() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let script = "cat <<'END'\n$HOME \"double\" 'single' `tick` \\back ünï😀\nEND\nfor n in 1 2; do\n  echo $n\ndone\n# end";
    let expected = "$HOME \"double\" 'single' `tick` \\back ünï😀\n1\n2\n";
    assert_eq!(daemon.session_run("s", script).await, (0, expected.into(), String::new()));
    // Much longer than a pipe and than the longest argument.
    let long = format!("cat <<'END' | wc -c\n{}\nEND", "x".repeat(1_000_000));
    assert_eq!(daemon.session_run("s", &long).await.1.trim(), "1000001");
    let listed = daemon.get("/process/session/s").await.json();
    let text = listed["commands"][1]["command"].as_str().expect("text").to_owned();
    assert!(text.len() < 5_000 && text.ends_with("more bytes]"), "{}", text.len());
}

#[tokio::test]
async fn input_reaches_a_command_that_runs() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    // One that waits for nothing sees the end of its input.
    assert_eq!(daemon.session_run("s", "cat; read x; echo $?").await.1, "1\n");
    let command = daemon
        .session_start("s", "printf 'Name: '; read name; echo \"Hello $name\"; read more; echo $more")
        .await;
    let input = format!("{command}/input");
    for data in ["Ada", "more\n"] {
        let answer = daemon.post(&input, json!({ "data": data })).await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::NO_CONTENT, ""));
    }
    assert_eq!(daemon.session_end(&command).await, 0);
    let output = daemon.get(&format!("{command}/logs")).await.text();
    for part in ["Name: ", "Ada\n", "Hello Ada\n", "more\nmore\n"] {
        assert!(
            output.contains(part) || part == "more\nmore\n" && output.matches("more\n").count() == 2,
            "{output:?}"
        );
    }
    daemon.post(&input, json!({"data": "late"})).await.error(410, "COMMAND_ALREADY_COMPLETED");
    let body = json!({"command": "read x; echo got $x", "async": true, "suppressInputEcho": true});
    let started = daemon.session_call("s", body).await;
    assert_eq!(started.status, StatusCode::ACCEPTED);
    let command = format!("/process/session/s/command/{}", started.json()["cmdId"].as_str().expect("id"));
    assert_eq!(daemon.post(&format!("{command}/input"), json!({"data": "secret"})).await.status, 204);
    assert_eq!(daemon.session_end(&command).await, 0);
    assert_eq!(daemon.get(&format!("{command}/logs")).await.text(), "got secret\n");
    daemon
        .post("/process/session/s/command/none/input", json!({"data": "x"}))
        .await
        .error(404, "PROCESS_NOT_FOUND");
}

#[tokio::test]
async fn a_command_that_reads_nothing_cannot_be_typed_into() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let sleeping = daemon.session_call("s", json!({"command": "touch up; sleep 8261@@.1"}));
    let typing = async {
        let up = daemon.work().join("up");
        eventually("it runs", || up.exists()).await;
        let session = daemon.get("/process/session/s").await.json();
        let id = session["commands"][0]["id"].as_str().expect("id").to_owned();
        let path = format!("/process/session/s/command/{id}/input");
        daemon.post(&path, json!({"data": "x"})).await.error(400, "BAD_REQUEST");
        assert_eq!(daemon.call("DELETE", "/process/session/s", "").await.status, 204);
    };
    let (answer, ()) = tokio::join!(sleeping, typing);
    // Deleted under it: its shell was asked to end.
    assert_eq!((answer.status, answer.json()["exitCode"].as_i64()), (StatusCode::OK, Some(143)));
}

#[tokio::test]
async fn more_input_than_a_pipe_holds_waits_for_its_reader_and_not_for_ever() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let command = daemon
        .session_start("s", "touch up; until [ -e go ]; do sleep 0.01; done; head -c 300000 | wc -c")
        .await;
    let input = format!("{command}/input");
    let data = "y".repeat(300_000);
    let (answer, ()) = tokio::join!(daemon.post(&input, json!({ "data": data })), async {
        let up = daemon.work().join("up");
        eventually("it runs", || up.exists()).await;
        std::fs::write(daemon.work().join("go"), "").expect("go");
    });
    assert_eq!(answer.status, 204);
    assert_eq!(daemon.session_end(&command).await, 0);
    let command = daemon.session_start("s", "touch up2; until [ -e go2 ]; do sleep 0.01; done").await;
    let input = format!("{command}/input");
    let (answer, ()) = tokio::join!(daemon.post(&input, json!({ "data": data })), async {
        let up = daemon.work().join("up2");
        eventually("it runs", || up.exists()).await;
        std::fs::write(daemon.work().join("go2"), "").expect("go");
    });
    answer.error(410, "COMMAND_ALREADY_COMPLETED");
}

#[tokio::test]
async fn commands_of_a_session_run_one_after_the_other() {
    let daemon = TestDaemon::start();
    daemon.session("s").await;
    let first = daemon.session_start("s", "until [ -e go ]; do sleep 0.01; done; X=set").await;
    let second = daemon.session_start("s", "echo second $X").await;
    let input = daemon.session_start("s", "read line; echo third $line").await;
    let path = format!("{input}/input");
    let typed = daemon.post(&path, json!({"data": "typed early"}));
    let (typed, ()) = tokio::join!(typed, async {
        assert_eq!(daemon.get(&second).await.json().get("exitCode"), None);
        std::fs::write(daemon.work().join("go"), "").expect("go");
    });
    assert_eq!(typed.status, 204);
    assert_eq!(daemon.session_run("s", "echo fourth").await.1, "fourth\n");
    for command in [&first, &second, &input] {
        assert_eq!(daemon.session_end(command).await, 0);
    }
    assert_eq!(daemon.get(&format!("{second}/logs")).await.text(), "second set\n");
    assert_eq!(daemon.get(&format!("{input}/logs")).await.text(), "typed early\nthird typed early\n");
}

#[tokio::test]
async fn two_hundred_commands_run_at_once_and_leave_nothing() {
    let daemon = TestDaemon::start();
    let all = (0..200).map(|number| {
        let daemon = &daemon;
        async move {
            let id = format!("s{number}");
            daemon.session(&id).await;
            let (code, output, errors) = daemon
                .session_run(&id, &format!("echo {number}; sleep 0.1; echo e{number} >&2; (exit 5)"))
                .await;
            assert_eq!((code, output, errors), (5, format!("{number}\n"), format!("e{number}\n")));
            assert_eq!(daemon.call("DELETE", &format!("/process/session/{id}"), "").await.status, 204);
        }
    });
    futures_util::future::join_all(all).await;
    assert_eq!(daemon.get("/process/session").await.json(), json!([]));
    let pid = daemon.child.id();
    let children = || std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("children");
    eventually("no process and no zombie is left", || children().trim().is_empty()).await;
    assert!(!is_running("daytona-session-"));
}
