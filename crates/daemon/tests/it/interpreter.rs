//! Code in contexts that keep their state: what comes out, how it ends, and what a context survives.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Socket, TestDaemon, eventually, is_running, unique};

pub(crate) const EXECUTE: &str = "/process/interpreter/execute";
const CONTEXT: &str = "/process/interpreter/context";

/// What one call gave.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) error: Option<Value>,
    pub(crate) control: Option<String>,
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Run {
    /// The name and the text of its error, which it must have.
    pub(crate) fn error(&self) -> (&str, &str) {
        let error = self.error.as_ref().unwrap_or_else(|| panic!("no error: {self:?}"));
        (error["name"].as_str().expect("name"), error["value"].as_str().expect("value"))
    }

    fn traceback(&self) -> &str {
        self.error.as_ref().expect("an error")["traceback"].as_str().expect("traceback")
    }
}

/// Starts a daemon; `None`, and a line that says so, where there is no Python.
pub(crate) async fn daemon_with_python() -> Option<TestDaemon> {
    let daemon = TestDaemon::start();
    let (code, _) = daemon.execute(json!({"command": "python3 --version"})).await;
    if code != 0 {
        println!(
            "skipped: python3 is not installed on this machine; the end-to-end suite covers it in a sandbox"
        );
        return None;
    }
    Some(daemon)
}

pub(crate) async fn begin(daemon: &TestDaemon, request: Value) -> Socket {
    let mut socket = daemon.websocket(EXECUTE, &[]).await;
    socket.send(unique(&request.to_string())).await;
    socket
}

pub(crate) async fn finish(socket: &mut Socket) -> Run {
    let (payloads, code, reason) = socket.rest().await;
    let mut run = Run { code, reason, ..Run::default() };
    for payload in payloads {
        assert!(payload.len() <= 1024 * 1024, "a frame of {} bytes", payload.len());
        assert!(run.control.is_none(), "something came after the control frame");
        let frame: Value = serde_json::from_slice(&payload).expect("JSON");
        let text = || frame["text"].as_str().expect("text").to_owned();
        match frame["type"].as_str().expect("type") {
            "stdout" => run.stdout += &text(),
            "stderr" => run.stderr += &text(),
            "control" => run.control = Some(text()),
            "error" => {
                assert!(run.error.is_none(), "two errors");
                run.error = Some(frame);
            }
            other => panic!("a frame of type {other}"),
        }
    }
    run
}

pub(crate) async fn run(daemon: &TestDaemon, request: Value) -> Run {
    finish(&mut begin(daemon, request).await).await
}

/// Runs code in the default context, which must end well, and returns what it printed.
pub(crate) async fn print(daemon: &TestDaemon, code: &str) -> String {
    let run = run(daemon, json!({"code": code})).await;
    assert_eq!((&run.error, run.code, run.control.as_deref()), (&None, 1000, Some("completed")), "{code}");
    run.stdout
}

#[tokio::test]
async fn streams_come_apart_and_state_is_kept() {
    let Some(daemon) = daemon_with_python().await else { return };
    let code = "import sys\nx = 6 * 7\nprint('out é', x)\nprint('err', file=sys.stderr)\nx";
    let first = run(&daemon, json!({"code": code})).await;
    // A bare expression is not shown.
    assert_eq!((first.stdout.as_str(), first.stderr.as_str()), ("out é 42\n", "err\n"));
    assert_eq!((first.control.as_deref(), first.code, first.reason.as_str()), (Some("completed"), 1000, ""));
    assert_eq!(print(&daemon, "print(x, __name__)").await, "42 __main__\n");
    assert_eq!(print(&daemon, "def f():\n    return x + 1").await, "");
    assert_eq!(print(&daemon, "print(f())").await, "43\n");
    assert_eq!(
        print(&daemon, "import os; print(os.getcwd())").await,
        format!("{}\n", daemon.work().display())
    );
}

#[tokio::test]
async fn everything_that_is_written_to_the_descriptors_arrives() {
    let Some(daemon) = daemon_with_python().await else { return };
    let code = "import os, subprocess\nsubprocess.run(['sh', '-c', 'echo child; echo err >&2'])\nos.write(1, b'raw\\n')\n\
                print('a', end='', flush=True)\nos.system('echo b')\nprint('\\udcff')\nos.write(1, b'\\xff\\xc3')";
    let run = run(&daemon, json!({"code": code})).await;
    assert_eq!(
        (run.stdout.as_str(), run.stderr.as_str()),
        ("child\nraw\nab\n\\udcff\n\u{fffd}\u{fffd}", "err\n")
    );
    // What was half a character in one call is not joined with the next.
    assert_eq!(print(&daemon, "os.write(1, b'\\xa9x')").await, "\u{fffd}x");
    let c = "import ctypes\nctypes.CDLL(None).printf(b'from C\\n')";
    assert_eq!(print(&daemon, c).await, "from C\n");
    assert_eq!(print(&daemon, "print(''.join(map(chr, range(32)))*3)").await.len(), 97);
}

#[tokio::test]
async fn errors_have_a_name_a_text_and_the_users_own_lines() {
    let Some(daemon) = daemon_with_python().await else { return };
    assert_eq!(print(&daemon, "def divide():\n    return 1 / 0").await, "");
    let failed = run(&daemon, json!({"code": "print('before')\ndivide()"})).await;
    assert_eq!(
        (failed.stdout.as_str(), failed.error()),
        ("before\n", ("ZeroDivisionError", "division by zero"))
    );
    assert_eq!((failed.control.as_deref(), failed.code), (Some("completed"), 1000));
    let lines = failed.traceback();
    assert!(
        lines.starts_with("Traceback (most recent call last):\n  File \"<cell 2>\", line 2, in <module>"),
        "{lines}"
    );
    assert!(
        lines.contains("    return 1 / 0\n") && lines.ends_with("ZeroDivisionError: division by zero\n"),
        "{lines}"
    );
    assert_eq!(lines.matches("  File ").count(), 2, "{lines}");

    let syntax = run(&daemon, json!({"code": "x = ("})).await;
    assert!(
        syntax.error().0 == "SyntaxError" && syntax.traceback().starts_with("  File \"<cell 3>\", line 1\n")
    );
    for (code, name, value) in [
        ("import sys; sys.exit(3)", "SystemExit", "3"),
        ("input()", "EOFError", "EOF when reading a line"),
        (
            "class E(Exception):\n    def __str__(self): return 1 / 0\nraise E",
            "E",
            "<an error that cannot be written as text>",
        ),
        ("raise KeyboardInterrupt('me')", "KeyboardInterrupt", "me"),
        ("open('/no/such')", "FileNotFoundError", "[Errno 2] No such file or directory: '/no/such'"),
    ] {
        let failed = run(&daemon, json!({"code": code})).await;
        assert_eq!(failed.error(), (name, value), "{code}");
        let control = if name == "KeyboardInterrupt" { "interrupted" } else { "completed" };
        assert_eq!((failed.control.as_deref(), failed.code), (Some(control), 1000), "{code}");
    }
    let long = run(&daemon, json!({"code": "raise ValueError('\\x01' * 5_000_000)"})).await;
    assert!(long.error().1.len() > 1000 && !long.traceback().is_empty());
    // None of it has hurt the context.
    print(&daemon, "divide").await;
}

#[tokio::test]
async fn variables_last_for_one_call() {
    let Some(daemon) = daemon_with_python().await else { return };
    print(&daemon, "import os\nos.environ['MINE'] = 'kept'\nos.environ['BOTH'] = 'before'").await;
    let code = "print(os.environ['ONCE'], os.environ['BOTH'])\nos.environ['ONCE'] = 'changed'";
    let with = run(&daemon, json!({"code": code, "envs": {"ONCE": "é $x", "BOTH": "during"}})).await;
    assert_eq!(with.stdout, "é $x during\n");
    let after = "print(os.environ.get('ONCE'), os.environ['BOTH'], os.environ['MINE'])";
    assert_eq!(print(&daemon, after).await, "None before kept\n");
    let refused = run(&daemon, json!({"code": "1", "envs": {"A-B": "x"}})).await;
    assert!(refused.code == 1008 && refused.reason.contains("A-B"), "{refused:?}");
}

#[tokio::test]
async fn contexts_are_apart_and_are_listed_and_deleted() {
    let Some(daemon) = daemon_with_python().await else { return };
    assert_eq!(daemon.get(CONTEXT).await.json(), json!({"contexts": []}));
    let first = daemon.post(CONTEXT, json!({})).await;
    assert_eq!(first.status, 200);
    let first = first.json();
    assert_eq!((&first["active"], &first["language"]), (&json!(true), &json!("python")));
    assert_eq!(first["cwd"], daemon.work().to_string_lossy().as_ref());
    assert!(first["createdAt"].as_str().expect("time").ends_with('Z'));
    std::fs::create_dir(daemon.work().join("sub")).expect("directory");
    let second = daemon.post(CONTEXT, json!({"cwd": "sub", "language": "python"})).await.json();
    assert_eq!(second["cwd"], daemon.work().join("sub").to_string_lossy().as_ref());
    print(&daemon, "x = 'default'").await;
    for context in [&first, &second] {
        let code = "x = globals().get('x', 'fresh')\nimport os\nprint(x, os.getcwd())\nx = 1";
        let fresh = run(&daemon, json!({"code": code, "contextId": context["id"]})).await;
        assert_eq!(fresh.stdout, format!("fresh {}\n", context["cwd"].as_str().expect("cwd")));
    }
    assert_eq!(print(&daemon, "print(x)").await, "default\n");
    // In the order in which they were made, and without the default one.
    assert_eq!(daemon.get(CONTEXT).await.json(), json!({"contexts": [first, second]}));

    let path = format!("{CONTEXT}/{}", first["id"].as_str().expect("id"));
    let deleted = daemon.call("DELETE", &path, "").await;
    assert!(deleted.status == 200 && deleted.json()["message"].is_string());
    assert!(
        daemon.call("DELETE", &path, "").await.error(404, "NOT_FOUND").contains("no interpreter context")
    );
    let gone = run(&daemon, json!({"code": "1", "contextId": first["id"]})).await;
    assert!(gone.code == 1008 && gone.reason.contains("no interpreter context"), "{gone:?}");
    assert_eq!(daemon.get(CONTEXT).await.json(), json!({"contexts": [second]}));
    daemon.call("DELETE", &format!("{CONTEXT}/default"), "").await.error(400, "BAD_REQUEST");
}

#[tokio::test]
async fn a_bad_context_is_refused() {
    let daemon = TestDaemon::start();
    let answer = daemon.post(CONTEXT, json!({"language": "ruby"})).await;
    assert!(answer.error(400, "BAD_REQUEST").contains("ruby"));
    let answer = daemon.post(CONTEXT, json!({"cwd": "/no/such"})).await;
    assert!(answer.error(400, "BAD_REQUEST").contains("/no/such"));
    daemon.call("POST", CONTEXT, "nonsense").await.error(400, "INVALID_REQUEST_BODY");
    for _ in 0..64 {
        assert_eq!(daemon.post(CONTEXT, json!({})).await.status, 200);
    }
    assert!(daemon.post(CONTEXT, json!({})).await.error(429, "TOO_MANY_REQUESTS").contains("64"));
}

#[tokio::test]
async fn deleting_a_context_kills_all_that_it_has_started() {
    let Some(daemon) = daemon_with_python().await else { return };
    let id = daemon.post(CONTEXT, json!({})).await.json()["id"].as_str().expect("id").to_owned();
    let code = "import subprocess\nsubprocess.Popen(['sleep', '31@@1'], start_new_session=True)\nprint('on', flush=True)\n\
                subprocess.run(['sleep', '31@@2'])";
    let mut socket = begin(&daemon, json!({"code": code, "contextId": id})).await;
    let mut waiting = begin(&daemon, json!({"code": "1", "contextId": id})).await;
    assert_eq!(socket.json().await, json!({"type": "stdout", "text": "on\n"}));
    eventually("both run", || is_running("sleep 31@@1") && is_running("sleep 31@@2")).await;
    assert_eq!(daemon.call("DELETE", &format!("{CONTEXT}/{id}"), "").await.status, 200);
    eventually("both are gone", || !is_running("sleep 31@@1") && !is_running("sleep 31@@2")).await;
    for socket in [&mut socket, &mut waiting] {
        let run = finish(socket).await;
        assert!(run.code == 1008 && run.reason.contains("deleted") && run.control.is_none(), "{run:?}");
    }
}

#[tokio::test]
async fn calls_of_one_context_run_in_their_order() {
    let Some(daemon) = daemon_with_python().await else { return };
    let code = "import os, time\nseen = []\nwhile not os.path.exists('gate'):\n    time.sleep(0.01)";
    let mut first = begin(&daemon, json!({ "code": code })).await;
    let mut waiting = Vec::new();
    for number in 1..=8 {
        let code = format!("seen.append({number}); print(seen)");
        let mut socket = begin(&daemon, json!({ "code": code })).await;
        // A ping is answered once the request before it is in the queue.
        socket.send(Message::Ping(bytes::Bytes::from_static(b"queued?"))).await;
        assert_eq!(socket.next().await, Message::Pong(bytes::Bytes::from_static(b"queued?")));
        waiting.push((number, socket));
    }
    std::fs::write(daemon.work().join("gate"), "").expect("open the gate");
    assert_eq!(finish(&mut first).await.code, 1000);
    for (number, mut socket) in waiting {
        let seen: Vec<String> = (1..=number).map(|number| number.to_string()).collect();
        assert_eq!(finish(&mut socket).await.stdout, format!("[{}]\n", seen.join(", ")));
    }
}

#[tokio::test]
async fn code_that_awaits_at_its_top_level_runs() {
    let Some(daemon) = daemon_with_python().await else { return };
    let code = "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 5\nvalue = await f()\nprint(value)";
    assert_eq!(print(&daemon, code).await, "5\n");
    assert_eq!(print(&daemon, "print(await f() + value)").await, "10\n");
    let failed = run(&daemon, json!({"code": "async def g():\n    raise KeyError('k')\nawait g()"})).await;
    assert_eq!(failed.error(), ("KeyError", "'k'"));
    assert_eq!(failed.traceback().matches("  File \"<cell 3>\"").count(), 2, "{}", failed.traceback());
}
