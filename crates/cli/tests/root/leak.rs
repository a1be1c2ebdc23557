//! Two hundred rounds, some killed half-way: the host holds afterwards what it held before.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::agree::agree;
use crate::serving::{Serving, ask, census};

const PHASES: usize = 8;
const CLIENTS: usize = 4;
const ROUNDS: usize = 7;

/// Creates and deletes; every third sandbox is used in between, every fifth is left behind for the end of the phase,
/// and once the client goes away without waiting for its answer. Counts the rounds whose sandbox was made and deleted.
/// In a phase with a crash, what fails ends the client's work; in one without, nothing may fail.
fn client(address: &(String, String), finished: &AtomicUsize, crashes: bool) {
    let (host, key) = address;
    for round in 0..ROUNDS {
        if round == 3 {
            match go_away(host, key) {
                Ok(()) => continue,
                Err(_) if crashes => return,
                Err(error) => panic!("cannot send a request: {error}"),
            }
        }
        let Some(sandbox) = answer(address, crashes, &[200], "POST", "/api/sandbox", &json!({})) else {
            return;
        };
        let id = sandbox.get("id").and_then(Value::as_str).unwrap().to_owned();
        if round % 3 == 0 {
            let path = format!("/toolbox/{id}/process/execute");
            let command = json!({ "command": "echo x > /tmp/file" });
            let Some(_) = answer(address, crashes, &[200], "POST", &path, &command) else { return };
        }
        if round % 5 != 4 {
            let path = format!("/api/sandbox/{id}");
            let Some(_) = answer(address, crashes, &[200, 404], "DELETE", &path, &json!({})) else { return };
            finished.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sends a request and returns the answer, which must have one of these statuses; `None` when the server crashed.
fn answer(
    (host, key): &(String, String),
    crashes: bool,
    statuses: &[u16],
    method: &str,
    path: &str,
    body: &Value,
) -> Option<Value> {
    match ask(host, key, method, path, body) {
        Ok((status, answer)) if statuses.contains(&status) => Some(answer),
        _ if crashes => None,
        Ok((status, answer)) => panic!("{method} {path}: {status}: {answer}"),
        Err(error) => panic!("{method} {path}: {error}"),
    }
}

/// Asks for a sandbox and does not wait for the answer.
fn go_away(host: &str, key: &str) -> std::io::Result<()> {
    let head = format!(
        "POST /api/sandbox HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    TcpStream::connect(host)?.write_all(head.as_bytes())
}

#[test]
fn two_hundred_rounds_leave_nothing() {
    let home = tempfile::tempdir().unwrap();
    Serving::start(home.path()).stop();
    let before = census(home.path());
    assert!(before.processes.is_empty() && before.links.is_empty() && before.groups.is_empty(), "{before:?}");
    let mut serving = Serving::launch(home.path());
    let finished = AtomicUsize::new(0);
    for phase in 0..PHASES {
        let address = serving.address();
        let crashes = phase % 2 == 1;
        serving = std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| client(&address, &finished, crashes));
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
    let in_phases = finished.load(Ordering::Relaxed);
    println!("{in_phases} rounds finished in {PHASES} phases, {} crashes", PHASES / 2);
    // What crashes cut off, clients left behind or did not wait for is no round: two hundred are really done.
    for round in in_phases..200 {
        let id = serving.create();
        if round == in_phases {
            assert!(!census(home.path()).processes.is_empty(), "the census does not see a running sandbox");
        }
        assert_eq!(serving.ask("DELETE", &format!("/api/sandbox/{id}"), &json!({})).unwrap().0, 200);
    }
    serving.delete_all();
    agree(home.path(), &[]);
    serving.stop();
    for _ in 0..600 {
        if census(home.path()) == before {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(census(home.path()), before);
}
