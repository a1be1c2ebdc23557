//! Sandboxes outlive the server: its end, asked for or not, is not theirs.

use serde_json::{Value, json};

use crate::serving::Serving;

#[test]
fn sandboxes_go_on_while_the_server_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let serving = Serving::start(home.path());
    let id = serving.create();
    serving.execute(&id, "echo kept > /tmp/file; sleep 1000 > /dev/null 2>&1 &");
    let serving = Serving::launch(&serving.stop());
    assert!(serving.execute(&id, "ps").contains("sleep 1000"));
    let serving = Serving::launch(&serving.crash());
    assert_eq!(serving.execute(&id, "cat /tmp/file"), "kept");
    let (_, sandbox) = serving.ask("GET", &format!("/api/sandbox/{id}"), &json!({})).unwrap();
    assert_eq!(sandbox.get("state").and_then(Value::as_str), Some("started"), "{sandbox}");
    serving.delete_all();
    serving.stop();
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let serving = Serving::start(home.path());
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_daytona"))
        .args(["server", "--port", "0", "--data-dir"])
        .arg(home.path())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another server uses this data directory"), "{said}");
    serving.stop();
}

/// The policy of a sandbox that is stopped is changed; the host knows before the sandbox runs again.
#[test]
fn a_network_that_was_shut_while_stopped_is_shut_from_the_start() {
    let home = tempfile::tempdir().unwrap();
    let serving = Serving::start(home.path());
    let id = serving.create();
    let post = |path: &str, body: &Value| {
        let (status, answer) = serving.ask("POST", &format!("/api/sandbox/{id}/{path}"), body).unwrap();
        assert_eq!(status, 200, "{answer}");
    };
    post("stop", &json!({}));
    post("network-settings", &json!({ "networkBlockAll": true }));
    post("start", &json!({}));
    let record = std::fs::read(home.path().join("sandboxes").join(&id).join("sandbox.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record.pointer("/spec/block_all"), Some(&json!(true)), "{record}");
    serving.delete_all();
    serving.stop();
}

/// A server that was killed leaves its control groups; the next server of the host removes them, and keeps those in which
/// something runs.
#[test]
fn what_a_dead_server_left_is_removed_by_its_neighbour() {
    let (one, two, three) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let groups = |home: &std::path::Path| -> usize {
        let instance = server::instance(&home.canonicalize().unwrap());
        let controllers = std::fs::read_dir("/sys/fs/cgroup").unwrap();
        controllers
            .filter(|it| it.as_ref().unwrap().path().join(format!("daytona-{instance}")).exists())
            .count()
    };
    let serving = Serving::start(two.path());
    let id = serving.create();
    let busy = serving.crash();
    let serving = Serving::start(one.path());
    // While it lives: once it is dead, any server that starts on this machine may remove what it left.
    assert!(groups(one.path()) > 0 && groups(&busy) > 0);
    let idle = serving.crash();
    // Processes prepared ahead end with their server, a moment later.
    for _ in 0..100 {
        if crate::serving::census(&idle).processes.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let third = Serving::start(three.path());
    assert_eq!(groups(&idle), 0);
    assert!(groups(&busy) > 0);
    third.stop();
    let serving = Serving::launch(&busy);
    assert_eq!(serving.execute(&id, "echo on"), "on");
    serving.delete_all();
    serving.stop();
}
