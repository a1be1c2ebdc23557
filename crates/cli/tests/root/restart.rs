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
