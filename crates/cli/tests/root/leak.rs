//! Two hundred rounds, some killed half-way: the host holds afterwards what it held before.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::serving::{Serving, ask, census};

const PHASES: usize = 8;
const CLIENTS: usize = 4;
const ROUNDS: usize = 7;

/// Creates and deletes; every third sandbox is used in between, every fifth is left behind for the end of the phase,
/// and once the client goes away without waiting for its answer. Errors are expected when the server is killed.
fn client(address: &(String, String), rounds: &AtomicUsize) {
    let (host, key) = address;
    for round in 0..ROUNDS {
        rounds.fetch_add(1, Ordering::Relaxed);
        if round == 3 {
            let Ok(mut stream) = TcpStream::connect(host) else { return };
            let head = format!(
                "POST /api/sandbox HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 2\r\n\r\n{{}}"
            );
            let _ = stream.write_all(head.as_bytes());
            continue;
        }
        let Ok((200, sandbox)) = ask(host, key, "POST", "/api/sandbox", &json!({})) else { return };
        let id = sandbox.get("id").and_then(Value::as_str).unwrap().to_owned();
        if round % 3 == 0 {
            let path = format!("/toolbox/{id}/process/execute");
            let _ = ask(host, key, "POST", &path, &json!({ "command": "echo x > /tmp/file" }));
        }
        if round % 5 != 4 {
            let _ = ask(host, key, "DELETE", &format!("/api/sandbox/{id}"), &json!({}));
        }
    }
}

#[test]
fn two_hundred_rounds_leave_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut serving = Serving::start(home.path());
    let before = census(home.path());
    let rounds = AtomicUsize::new(0);
    for phase in 0..PHASES {
        let address = serving.address();
        let crashes = phase % 2 == 1;
        serving = std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| client(&address, &rounds));
            }
            if crashes {
                // Another moment of the work each time.
                std::thread::sleep(Duration::from_millis(40 + 37 * phase as u64));
                Serving::launch(&serving.crash())
            } else {
                serving
            }
        });
        serving.delete_all();
    }
    let attempted = rounds.load(Ordering::Relaxed);
    println!("{attempted} rounds, {} crashes", PHASES / 2);
    // The rounds that a crash cut off are made up for, so that two hundred are really done.
    let missing = 200_usize.saturating_sub(attempted);
    for _ in 0..missing {
        let id = serving.create();
        assert_eq!(serving.ask("DELETE", &format!("/api/sandbox/{id}"), &json!({})).unwrap().0, 200);
    }
    serving.delete_all();
    for _ in 0..100 {
        if census(home.path()) == before {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(census(home.path()), before);
    serving.stop();
    let after = census(home.path());
    assert!(after.links.is_empty() && after.groups.is_empty() && after.loops.is_empty(), "{after:?}");
}
