//! What goes wrong on a host: the cause and the remedy are told, nothing is stuck, `delete` works, and what is not
//! concerned goes on.

mod disk;
mod store;
mod shortage;

use serde_json::{Value, json};

use crate::serving::Serving;

/// Sends a request that must be refused, and returns what the answer says; its shape is the contract's.
fn refused(serving: &Serving, method: &str, path: &str, body: &Value) -> String {
    let (status, answer) = serving.ask(method, path, body).unwrap();
    assert!(status >= 400, "{method} {path} is not refused: {answer}");
    for field in ["statusCode", "message", "code", "source", "path", "method", "timestamp"] {
        assert!(answer.get(field).is_some(), "{field} is missing: {answer}");
    }
    let message = answer.get("message").and_then(Value::as_str).unwrap().to_owned();
    assert!(!message.contains("unexpected error"), "{method} {path}: {answer}");
    assert!(
        !message.contains("/tmp/") && !message.contains("/proc/"),
        "a path of the host is told: {message}"
    );
    message
}

/// Creates a sandbox, which must be refused, and leaves no trace of the attempt.
fn create_refused(serving: &Serving) -> String {
    let known = list(serving).len();
    let message = refused(serving, "POST", "/api/sandbox", &json!({}));
    for _ in 0..3000 {
        if list(serving).len() == known {
            return message;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("a failed create left {:?}", list(serving));
}

fn list(serving: &Serving) -> Vec<Value> {
    let path = "/api/sandbox?limit=200&includeErroredDeleted=true";
    let (status, page) = serving.ask("GET", path, &json!({})).unwrap();
    assert_eq!(status, 200, "{page}");
    page.get("items").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Waits until a sandbox is in a state, and returns its reason.
fn wait_for(serving: &Serving, id: &str, state: &str) -> String {
    let mut last = Value::Null;
    for _ in 0..3000 {
        last = serving.ask("GET", &format!("/api/sandbox/{id}"), &json!({})).unwrap().1;
        if last.get("state").and_then(Value::as_str) == Some(state) {
            return last.get("errorReason").and_then(Value::as_str).unwrap_or_default().to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{id} is not {state}: {last}");
}

/// Deletes a sandbox, which must work whatever is the matter with it.
fn delete(serving: &Serving, id: &str) {
    let (status, answer) = serving.ask("DELETE", &format!("/api/sandbox/{id}"), &json!({})).unwrap();
    assert_eq!(status, 200, "{answer}");
    for _ in 0..3000 {
        if serving.ask("GET", &format!("/api/sandbox/{id}"), &json!({})).unwrap().0 == 404 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{id} does not go");
}

fn start(serving: &Serving, id: &str) {
    let (status, answer) = serving.ask("POST", &format!("/api/sandbox/{id}/start"), &json!({})).unwrap();
    assert_eq!(status, 200, "{answer}");
    wait_for(serving, id, "started");
}

fn stop(serving: &Serving, id: &str) {
    let (status, answer) = serving.ask("POST", &format!("/api/sandbox/{id}/stop"), &json!({})).unwrap();
    assert_eq!(status, 200, "{answer}");
    wait_for(serving, id, "stopped");
}
