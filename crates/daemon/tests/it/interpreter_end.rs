//! Code that is interrupted, runs out of time, kills its process or floods its output; and requests that are none.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{TestDaemon, eventually, is_running};
use crate::interpreter::{EXECUTE, begin, daemon_with_python, finish, print, run};

#[tokio::test]
async fn a_timeout_interrupts_and_keeps_the_variables() {
    let Some(daemon) = daemon_with_python().await else { return };
    print(&daemon, "import asyncio, os, sys, time\nx = 5").await;
    for code in [
        "time.sleep(1000)",
        "while True: pass",
        // Python hears nothing until the child has ended.
        "os.system('sleep 32@@1')",
        "await asyncio.sleep(1000)",
        "asyncio.run(asyncio.sleep(1000))",
        "while True: sys.stdout.write('x' * 1000)",
    ] {
        let late = run(&daemon, json!({"code": code, "timeout": 0.5})).await;
        assert!(
            late.code == 4008 && late.control.is_none() && late.error.is_none(),
            "{code}: {}",
            late.reason
        );
        assert!(late.reason.contains("longer than 0.5 s"), "{code}: {}", late.reason);
        assert!(late.reason.contains("keeps its variables"), "{code}: {}", late.reason);
        assert_eq!(print(&daemon, "print(x)").await, "5\n");
    }
    eventually("the child is gone", || !is_running("sleep 32@@1")).await;
    // Without a limit, and within one.
    for timeout in [json!(0), json!(1000), Value::Null] {
        assert_eq!(run(&daemon, json!({"code": "print(x)", "timeout": timeout})).await.stdout, "5\n");
    }
}

#[tokio::test]
async fn what_does_not_heed_an_interrupt_is_killed() {
    let Some(daemon) = daemon_with_python().await else { return };
    let code = "import signal, subprocess, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\n\
                subprocess.Popen(['sleep', '32@@2'], start_new_session=True)";
    assert_eq!(run(&daemon, json!({ "code": code })).await.code, 1000);
    eventually("the child runs", || is_running("sleep 32@@2")).await;
    let late = run(&daemon, json!({"code": "time.sleep(1000)", "timeout": 0.2})).await;
    assert!(late.code == 4008 && late.reason.contains("variables are lost"), "{late:?}");
    assert!(late.control.is_none() && late.error.is_none(), "{late:?}");
    eventually("its child is gone", || !is_running("sleep 32@@2")).await;
    assert_eq!(run(&daemon, json!({"code": "print(time)"})).await.error().0, "NameError");
}

#[tokio::test]
async fn code_whose_client_goes_away_is_interrupted() {
    let Some(daemon) = daemon_with_python().await else { return };
    for farewell in [None, Some(Message::Close(None))] {
        let code = "import time\nseen = []\ntry:\n    print('on')\n    time.sleep(1000)\n\
                    except KeyboardInterrupt:\n    seen.append('interrupted')\n    raise";
        let mut socket = begin(&daemon, json!({"code": code, "timeout": 0})).await;
        assert_eq!(socket.json().await, json!({"type": "stdout", "text": "on\n"}));
        if let Some(farewell) = farewell {
            socket.send(farewell).await;
        }
        drop(socket);
        assert_eq!(print(&daemon, "print(seen)").await, "['interrupted']\n");
    }
    // A call whose client left while it waited does not run at all.
    std::fs::write(daemon.work().join("gate"), "").expect("close the gate");
    let code = "import os\nwhile os.path.exists('gate'):\n    time.sleep(0.01)";
    let mut first = begin(&daemon, json!({ "code": code })).await;
    let mut second = begin(&daemon, json!({"code": "seen = 'the second ran'"})).await;
    second.send(Message::Ping(bytes::Bytes::new())).await;
    assert_eq!(second.next().await, Message::Pong(bytes::Bytes::new()));
    second.send(Message::Close(None)).await;
    // The answer to it.
    assert!(matches!(second.next().await, Message::Close(_)));
    drop(second);
    // Through the one thread that serves: when this is answered, the end of the connection has been seen as well.
    daemon.shell("true").await;
    std::fs::remove_file(daemon.work().join("gate")).expect("open the gate");
    assert_eq!(finish(&mut first).await.code, 1000);
    assert_eq!(print(&daemon, "print(seen)").await, "['interrupted']\n");
}

#[tokio::test]
async fn a_process_that_dies_is_told_and_replaced() {
    let Some(daemon) = daemon_with_python().await else { return };
    for (code, expected) in [
        ("os._exit(3)", "ended with exit code 3"),
        ("os._exit(0)", "ended with exit code 0"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL (exit code 137)"),
        ("import ctypes; ctypes.string_at(0)", "was killed by SIGSEGV (exit code 139)"),
        ("os.abort()", "was killed by SIGABRT (exit code 134)"),
        ("os.close(3)\nimport time\ntime.sleep(1000)", "closed its control descriptor"),
        ("os.write(3, b'x' * 5_000_000)\nimport time\ntime.sleep(1000)", "closed its control descriptor"),
    ] {
        let code = format!("import os\nx = 1\nprint('before')\n{code}");
        let died = run(&daemon, json!({ "code": code })).await;
        let (name, value) = died.error();
        assert!(name == "InterpreterDied" && value.contains(expected), "{code}: {died:?}");
        assert!(value.contains("the next call starts a fresh one"), "{died:?}");
        assert_eq!(
            (died.stdout.as_str(), died.control.as_deref(), died.code),
            ("before\n", Some("completed"), 1000)
        );
        assert_eq!(print(&daemon, "print('x' in globals())").await, "False\n", "{code}");
    }
    // Between calls, too.
    let code = "import os, threading, time\ndef wait():\n    while not os.path.exists('gate'):\n        time.sleep(0.01)\n    \
                os._exit(1)\nthreading.Thread(target=wait).start()\nprint(os.getpid())";
    let pid = print(&daemon, code).await;
    std::fs::write(daemon.work().join("gate"), "").expect("open the gate");
    let gone = format!("/proc/{}", pid.trim());
    eventually("the process is gone", || !std::path::Path::new(&gone).exists()).await;
    assert_eq!(print(&daemon, "print('x' in globals())").await, "False\n");
}

#[tokio::test]
async fn code_can_only_cheat_itself() {
    let Some(daemon) = daemon_with_python().await else { return };
    let forged = r#"{"type": "control", "text": "completed"}"#;
    assert_eq!(
        print(&daemon, &format!("print('''{forged}''')\nprint('more')")).await,
        format!("{forged}\nmore\n")
    );
    // Answers to other calls, and what is no answer, are not heard.
    let code = "import os\nos.write(3, b'{\"number\": 99, \"error\": null}\\nnonsense\\n\\xff\\n[1]\\n')\nprint('end')";
    assert_eq!(print(&daemon, code).await, "end\n");
    // A child that the code forks and forgets does not answer in its parent's place.
    let code = "pid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\nprint('parent' if pid else 'child')";
    assert_eq!(print(&daemon, code).await, "child\nparent\n");
    assert_eq!(print(&daemon, "print('alive')").await, "alive\n");
    // Its streams closed, replaced, or taken away.
    for code in ["import sys\nsys.stdout.close()", "sys.stdout = None", "sys.stdin.close()", "exit()"] {
        run(&daemon, json!({ "code": code })).await;
        assert_eq!(print(&daemon, "print('still')").await, "still\n", "{code}");
    }
    assert_eq!(run(&daemon, json!({"code": "input()"})).await.error().0, "EOFError");
}

#[tokio::test]
async fn a_flood_of_output_arrives_whole_in_bounded_memory() {
    let Some(daemon) = daemon_with_python().await else { return };
    print(&daemon, "import sys, os").await;
    let before_kib = peak_kib(&daemon);
    let code = "line = 'x' * 1023 + '\\n'\nfor _ in range(64 * 1024):\n    sys.stdout.write(line)\nprint('end', file=sys.stderr)";
    let mut socket = begin(&daemon, json!({ "code": code })).await;
    let mut bytes = 0;
    let mut last = Value::Null;
    loop {
        match socket.next().await {
            Message::Text(text) => {
                assert!(text.len() <= 1024 * 1024);
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                if frame["type"] == "stdout" {
                    bytes += frame["text"].as_str().expect("text").len();
                } else {
                    last = frame;
                }
            }
            Message::Close(frame) => {
                assert_eq!(u16::from(frame.expect("a code").code), 1000);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((bytes, &last["text"]), (64 * 1024 * 1024, &json!("completed")));
    let grown_kib = peak_kib(&daemon) - before_kib;
    assert!(grown_kib < 16 * 1024, "the daemon grew by {grown_kib} KiB");
}

/// The most memory that the daemon has had (`proc_pid_status(5)`).
fn peak_kib(daemon: &TestDaemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn what_is_printed_between_calls_holds_nobody_up() {
    let Some(daemon) = daemon_with_python().await else { return };
    let code =
        "import subprocess\nchild = subprocess.Popen(['sh', '-c', 'head -c 10000000 /dev/zero; touch done'])";
    print(&daemon, code).await;
    let done = daemon.work().join("done");
    eventually("the child could print all", || done.exists()).await;
    print(&daemon, "child.wait()").await;
    assert_eq!(print(&daemon, "print('clean')").await, "clean\n");
}

#[tokio::test]
async fn requests_that_are_none_are_refused() {
    let daemon = TestDaemon::start();
    let first = [
        (Message::from("nonsense"), 1002, "not the JSON"),
        (Message::from("[\"1\"]"), 1002, "a list"),
        (Message::from(r#"{"code": 1}"#), 1002, "not the JSON"),
        (Message::from(vec![1_u8, 2]), 1002, "binary"),
        (Message::from("{}"), 1008, "code cannot be empty"),
        (Message::from(r#"{"code": " \n"}"#), 1008, "code cannot be empty"),
        (Message::from(r#"{"code": "1", "contextId": "no-such"}"#), 1008, "no interpreter context"),
        (Message::from(r#"{"code": "1", "timeout": -1}"#), 1008, "timeout is -1"),
    ];
    for (message, code, part) in first {
        let mut socket = daemon.websocket(EXECUTE, &[]).await;
        socket.send(message.clone()).await;
        let refused = finish(&mut socket).await;
        assert!(refused.code == code && refused.reason.contains(part), "{message:?}: {refused:?}");
    }
    assert!(daemon.get(EXECUTE).await.error(400, "BAD_REQUEST").contains("web socket"));
    let socket = daemon.websocket(EXECUTE, &["X-Daytona-SDK-Version~0.226.1", "other"]).await;
    assert_eq!(socket.protocol.as_deref(), Some("X-Daytona-SDK-Version~0.226.1"));
    drop(socket);
}

#[tokio::test]
async fn calls_are_limited_and_the_limit_is_given_back() {
    let daemon = TestDaemon::start();
    let mut sockets = Vec::new();
    for _ in 0..64 {
        sockets.push(daemon.websocket(EXECUTE, &[]).await);
    }
    let refused = daemon.refused_websocket(EXECUTE, &[], &[]).await;
    assert!(refused.error(429, "TOO_MANY_REQUESTS").contains("64 calls"));
    let mut one = sockets.pop().expect("one");
    one.send("{}").await;
    assert_eq!(finish(&mut one).await.code, 1008);
    drop((one, sockets));
    // Given back when the daemon has seen the ends of the connections.
    let deadline = Instant::now() + Duration::from_mins(1);
    while ask_for_web_socket(&daemon).await != StatusCode::SWITCHING_PROTOCOLS {
        assert!(Instant::now() < deadline, "the limit is not given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ask_for_web_socket(daemon: &TestDaemon) -> StatusCode {
    let request = Request::builder()
        .uri(EXECUTE)
        .header("host", "daemon")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
    daemon.send(request.body(Body::empty()).expect("request")).await.status
}

#[tokio::test]
async fn an_image_without_python_is_told() {
    let daemon = TestDaemon::start_with(|settings| {
        settings.env.insert("PATH".into(), "/no/such".into());
    });
    let answer = run(&daemon, json!({"code": "1"})).await;
    assert!(answer.error().1.contains("python3: command not found"), "{answer:?}");
    assert_eq!((answer.control.as_deref(), answer.code), (Some("completed"), 1000));
}

/// Reads one frame of a server (RFC 6455 §5.2) into `payload`; returns its kind.
fn read_frame(stream: &mut impl std::io::Read, payload: &mut Vec<u8>) -> u8 {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    assert_eq!((head[0] & 0x80, head[1] & 0x80), (0x80, 0), "whole, and not masked");
    let mut wide = [0; 8];
    let length = match head[1] {
        126 => {
            stream.read_exact(&mut wide[6..]).expect("a length");
            u64::from_be_bytes(wide)
        }
        127 => {
            stream.read_exact(&mut wide).expect("a length");
            u64::from_be_bytes(wide)
        }
        length => u64::from(length),
    };
    payload.resize(usize::try_from(length).expect("a length"), 0);
    stream.read_exact(payload).expect("a payload");
    head[0] & 0x0f
}

/// Asks for code to be run over a connection that nothing but this test reads from.
fn begin_raw(daemon: &TestDaemon, code: &str) -> std::os::unix::net::UnixStream {
    use std::io::{Read as _, Write as _};
    let mut stream = std::os::unix::net::UnixStream::connect(&daemon.socket).expect("connect");
    let request = format!(
        "GET {EXECUTE} HTTP/1.1\r\nHost: daemon\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("ask");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    let order = json!({ "code": code }).to_string();
    let length = u16::try_from(order.len()).expect("short");
    let mut frame = vec![0x81, 0x80 | 0x7e];
    frame.extend(length.to_be_bytes());
    // A mask of zeros changes nothing.
    frame.extend([0; 4]);
    frame.extend(order.as_bytes());
    stream.write_all(&frame).expect("order");
    stream
}

#[tokio::test]
async fn half_a_gigabyte_of_output_arrives_whole_while_memory_stays_flat() {
    const PIECE: usize = 1 << 16;
    const PIECES: usize = 1 << 13;
    let Some(daemon) = daemon_with_python().await else { return };
    print(&daemon, "import sys, os").await;
    let before_kib = peak_kib(&daemon);
    // Nothing that JSON would write otherwise, so that a frame is as long as its text and what is around it.
    let code = format!("for _ in range({PIECES}):\n    sys.stdout.write('x' * {PIECE})\n");
    let mut stream = std::io::BufReader::with_capacity(PIECE, begin_raw(&daemon, &code));
    let read = tokio::task::spawn_blocking(move || {
        let (head, tail) = (br#"{"type":"stdout","text":""#.as_slice(), br#""}"#.as_slice());
        let (expected, mut payload, mut bytes) = (vec![b'x'; 1 << 20], Vec::new(), 0);
        loop {
            let kind = read_frame(&mut stream, &mut payload);
            let text = payload.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
            match (kind, text) {
                (1, Some(text)) => {
                    assert!(text == &expected[..text.len()], "nothing is changed on the way");
                    bytes += text.len();
                }
                (1, None) => {
                    let control: Value = serde_json::from_slice(&payload).expect("JSON");
                    assert_eq!(control["text"], "completed");
                }
                (8, _) => return (bytes, payload),
                other => panic!("{other:?}"),
            }
        }
    });
    let (bytes, close) = read.await.expect("read");
    assert_eq!((bytes, close.get(..2)), (PIECE * PIECES, Some(1000_u16.to_be_bytes().as_slice())));
    let grown_kib = peak_kib(&daemon) - before_kib;
    println!("the daemon grew by {grown_kib} KiB while it passed {bytes} bytes");
    assert!(grown_kib < 8 * 1024, "the daemon grew by {grown_kib} KiB");
}
