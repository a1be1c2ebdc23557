//! Clients of a terminal: what travels, how many there may be, and what becomes of slow ones.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{Client, EXIT_CONTROL, listed, start};

#[tokio::test]
async fn create_connect_starts_a_login_shell_with_what_was_asked() {
    let daemon = start();
    // {"E": "1 ü"}
    let variables = "X-Daytona-Pty-Envs~eyJFIjogIjEgw7wifQ";
    for (id, protocols) in [("p1", [EXIT_CONTROL, variables]), ("p2", [variables, EXIT_CONTROL])] {
        let path = format!("/process/pty/create-connect?id={id}&cols=100&rows=30&cwd=%2Fusr");
        let mut client = Client::open(&daemon, &path, &protocols).await;
        assert_eq!(client.socket.protocol.as_deref(), Some(EXIT_CONTROL));
        let shown = client
            .run("echo $E; pwd; echo $TERM; stty size; case $- in *i*) echo inter''active;; esac")
            .await;
        assert_eq!(shown, "1 ü\n/usr\nxterm-256color\n30 100\ninteractive");
        assert_eq!(client.run("shopt -q login_shell && echo lo''gin").await, "login");
        let info = daemon.get(&format!("/process/pty/{id}")).await.json();
        assert_eq!((&info["envs"], &info["active"]), (&json!({"E": "1 ü"}), &json!(true)));
    }
    assert_eq!(listed(&daemon).await, ["p1", "p2"]);
}

#[tokio::test]
async fn refusals_are_statuses_of_the_upgrade() {
    let daemon = start();
    let refused = async |path: &str, protocols: &[&str], status, code| {
        daemon.refused_websocket(path, protocols, &[]).await.error(status, code);
    };
    let create = "/process/pty/create-connect";
    refused("/process/pty/none/connect", &[EXIT_CONTROL], 404, "NOT_FOUND").await;
    refused(&format!("{create}?id=a&cols=many"), &[], 400, "BAD_REQUEST").await;
    refused(&format!("{create}?id=a&cols=1001"), &[], 400, "BAD_REQUEST").await;
    refused(&format!("{create}?id=a&cwd=/none"), &[], 400, "BAD_REQUEST").await;
    refused(&format!("{create}?id=a"), &["X-Daytona-Pty-Envs~!"], 400, "BAD_REQUEST").await;
    // {"A=B": "1"}
    refused(&format!("{create}?id=a"), &["X-Daytona-Pty-Envs~eyJBPUIiOiAiMSJ9"], 400, "BAD_REQUEST").await;
    let _client = Client::create(&daemon, "a").await;
    refused(&format!("{create}?id=a"), &[EXIT_CONTROL], 409, "CONFLICT").await;
    assert_eq!(listed(&daemon).await, ["a"]);
}

#[tokio::test]
async fn two_clients_see_and_type_the_same() {
    let daemon = start();
    daemon.post("/process/pty", json!({"id": "t", "lazyStart": true})).await;
    let mut first = Client::connect(&daemon, "t").await;
    let mut second = Client::connect(&daemon, "t").await;
    first.type_in("echo from''-first\r").await;
    for client in [&mut first, &mut second] {
        client.until("from-first\r\n").await;
    }
    // Text frames are input, too.
    let program = "sh -c 'trap \"stty size\" WINCH; echo from\"\"-second; while :; do sleep 0.1; done'\r";
    second.socket.send(Message::text(program)).await;
    for client in [&mut first, &mut second] {
        client.until("from-second\r\n").await;
    }
    let info = daemon.post("/process/pty/t/resize", json!({"cols": 91, "rows": 17})).await;
    assert_eq!(info.status, 200);
    for client in [&mut first, &mut second] {
        client.until("17 91\r\n").await;
    }
    first.type_in("\x03").await;
    first.type_in("exit 7\r").await;
    for client in [&mut first, &mut second] {
        let (exit, code, _) = client.end().await;
        assert_eq!((exit["exitCode"].as_i64(), code), (Some(7), 1000));
    }
}

#[tokio::test]
async fn who_comes_back_sees_what_was_and_what_is() {
    let daemon = start();
    let mut client = Client::create(&daemon, "r").await;
    client.run("V=kept; echo be''fore").await;
    drop(client);
    let mut client = Client::connect(&daemon, "r").await;
    client.until("before\r\n").await;
    assert_eq!(client.run("echo $V").await, "kept");
    // More than is kept: the end of it is what is shown, from the beginning of a line.
    client.run("seq 100000 200000").await;
    drop(client);
    let mut client = Client::connect(&daemon, "r").await;
    let past = client.until("200000\r\n").await;
    let first = past.lines().next().expect("a line");
    assert!(first.len() == 6 && first.bytes().all(|byte| byte.is_ascii_digit()), "{first}");
    assert!(past.len() > 100_000 && past.len() < daemon::terminal::feed::RING_BYTES, "{}", past.len());
}

#[tokio::test]
async fn every_byte_passes_both_ways() {
    let daemon = start();
    let mut client = Client::create(&daemon, "b").await;
    let all: Vec<u8> = (0..=255).collect();
    client.type_in("stty raw -echo; echo re''ady; head -c 256 > bytes; stty sane; echo st''ored\r").await;
    client.until("ready").await;
    client.socket.send(Message::binary(all.clone())).await;
    client.until("stored").await;
    assert_eq!(std::fs::read(daemon.work().join("bytes")).expect("read"), all);
    client.type_in("stty -opost; printf '<<''<'; cat bytes; printf '>>''>'\r").await;
    client.until("<<<").await;
    let end = loop {
        if let Some(end) = client.seen.windows(3).position(|three| three == b">>>") {
            break end;
        }
        client.more().await;
    };
    assert_eq!(client.seen[..end], all);
}

#[tokio::test]
async fn pings_are_answered_and_long_frames_are_not_taken() {
    let daemon = start();
    let mut client = Client::create(&daemon, "g").await;
    client.socket.send(Message::Ping("there?".into())).await;
    loop {
        match client.socket.next().await {
            Message::Pong(payload) => break assert_eq!(&payload[..], b"there?"),
            other => assert!(other.is_binary(), "{other:?}"),
        }
    }
    client.socket.send(Message::binary(vec![b'x'; 64 * 1024 + 1])).await;
    assert_eq!(client.socket.rest().await.1, 1009);
    // The terminal itself is as it was.
    let mut client = Client::connect(&daemon, "g").await;
    assert_eq!(client.run("echo al''ive").await, "alive");
}

#[tokio::test]
async fn the_number_of_clients_is_bounded() {
    let daemon = start();
    let mut clients = vec![Client::create(&daemon, "m").await];
    while clients.len() < daemon::terminal::feed::VIEWERS {
        clients.push(Client::connect(&daemon, "m").await);
    }
    let refused = daemon.refused_websocket("/process/pty/m/connect", &[], &[]).await;
    refused.error(429, "TOO_MANY_REQUESTS");
}

/// What a process has had in memory at most, in kilobytes (`proc_pid_status(5)`).
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[tokio::test]
async fn a_flood_that_nobody_reads_costs_no_memory() {
    let daemon = start();
    let mut client = Client::create(&daemon, "f").await;
    client.run("true").await;
    let before = peak_kib(daemon.child.id());
    client.type_in("head -c 100000000 /dev/zero | tr '\\0' x; touch do''ne\r").await;
    // The client takes nothing now, and the program goes on all the same.
    let done = daemon.work().join("done");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_mins(3);
    while !done.exists() {
        assert!(tokio::time::Instant::now() < deadline, "the flood never ended");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let grown = peak_kib(daemon.child.id()).saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB more for 100 MB");
    assert_eq!(client.socket.rest().await.1, 1008);
    let mut client = Client::connect(&daemon, "f").await;
    assert_eq!(client.run("echo al''ive").await, "alive");
}
