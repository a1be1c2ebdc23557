//! Every operation of the contract is answered: built, or honestly not.

use std::collections::BTreeSet;

use daemon::error::DaemonError;
use daytona_wire::toolbox;
use serde_json::Value;

use crate::harness::TestDaemon;

fn document() -> Value {
    serde_json::from_str(&daemon::http::openapi::document().expect("document")).expect("JSON")
}

fn built() -> BTreeSet<(String, String)> {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().expect("methods").keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    operations.collect()
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/toolbox.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let generated = daemon::http::openapi::document().expect("document");
    assert!(
        committed == generated,
        "openapi/toolbox.json is stale: run `cargo run -p daemon --example openapi > openapi/toolbox.json` and commit it"
    );
}

#[test]
fn everything_described_is_in_the_contract() {
    let contract: BTreeSet<_> = toolbox::operations()
        .map(|operation| (operation.method.to_owned(), operation.path.to_owned()))
        .collect();
    let beyond: Vec<_> = built().difference(&contract).cloned().collect();
    assert_eq!(beyond, [], "described but not in crates/wire/contract/toolbox.tsv");
    assert!(built().len() >= 22);
}

#[tokio::test]
async fn an_operation_is_either_built_or_answers_501() {
    let daemon = TestDaemon::start();
    let built = built();
    for operation in toolbox::operations() {
        let path = operation.path.replace("{port}", "3000").replace(['{', '}'], "");
        let answer = daemon.call(operation.method, &path, "").await;
        if built.contains(&(operation.method.to_owned(), operation.path.to_owned())) {
            let status = answer.status.as_u16();
            // That there is no such session is an answer of the operation; that there is no such operation is not.
            let absent = status == 404 && answer.json()["message"] == DaemonError::NoSuchOperation.message();
            assert!(status < 500 && !absent && status != 405, "{} {path}: {status}", operation.method);
        } else {
            let message = answer.error(501, "NOT_IMPLEMENTED");
            assert!(message.contains(&path), "{message}");
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let daemon = TestDaemon::start();
    for (method, path, status, code) in [
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/files/", 404, "NOT_FOUND"),
        ("GET", "/nothing/here?x=1", 404, "NOT_FOUND"),
        ("PUT", "/files", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/process/execute", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/project-dir", 405, "METHOD_NOT_ALLOWED"),
        ("PATCH", "/process/session/x", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let answer = daemon.call(method, path, "").await;
        answer.error(status, code);
        assert_eq!(answer.json()["path"], path);
        assert_eq!(answer.json()["method"], method);
    }
}

#[tokio::test]
async fn the_small_questions_are_answered() {
    let daemon = TestDaemon::start_with(|settings| {
        settings.home = Some("/somewhere".into());
        settings.cpu_count = Some(3);
        settings.memory_bytes = Some(1 << 30);
    });
    let work = daemon.work().to_string_lossy().into_owned();
    assert_eq!(daemon.get("/work-dir").await.json()["dir"], work);
    assert_eq!(daemon.get("/project-dir").await.json()["dir"], work);
    assert_eq!(daemon.get("/user-home-dir").await.json()["dir"], "/somewhere");
    assert_eq!(daemon.get("/version").await.json()["version"], daemon::daemon::VERSION);
    for body in ["", "{}", r#"{"token":"secret"}"#] {
        assert!(daemon.call("POST", "/init", body).await.json()["message"].is_string(), "{body}");
    }
    let metrics = daemon.get("/system/metrics").await.json();
    assert_eq!((&metrics["cpuCount"], &metrics["memTotal"]), (&3.into(), &(1_u64 << 30).into()));
    assert!(metrics["diskTotal"].as_i64() > Some(0) && metrics["cpuUsedPct"].is_f64(), "{metrics}");
}
