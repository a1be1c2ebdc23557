//! Git repositories that would like to run something, or that belong to somebody else.

use serde_json::json;

use crate::harness::is_root;
use crate::repository::start;

#[tokio::test]
async fn a_hostile_repository_runs_nothing() {
    let daemon = start();
    daemon.repository("r").await;
    let marker = daemon.work().join("ran");
    let script = format!("#!/bin/sh\ntouch {}\ncat\n", marker.display());
    for hook in [
        "pre-commit",
        "commit-msg",
        "post-commit",
        "post-checkout",
        "post-merge",
        "pre-push",
        "reference-transaction",
    ] {
        daemon.write(&format!("r/.git/hooks/{hook}"), &script);
    }
    daemon.write("evil", &script);
    daemon.shell("chmod +x evil r/.git/hooks/*; echo '* filter=evil diff=evil' > r/.gitattributes").await;
    for (key, value) in [
        ("core.fsmonitor", "../evil"),
        ("core.pager", "../evil"),
        ("core.sshCommand", "../evil"),
        ("core.editor", "../evil"),
        ("filter.evil.clean", "../evil"),
        ("filter.evil.smudge", "../evil"),
        ("diff.evil.textconv", "../evil"),
        ("credential.helper", "!../evil"),
        ("gpg.program", "../evil"),
        ("commit.gpgsign", "true"),
    ] {
        daemon.git("config", json!({"key": key, "value": value, "scope": "local", "path": "r"})).await;
    }
    daemon.write("r/a", "changed\n");
    daemon.status("r").await;
    daemon.commit_all("r", "second").await;
    daemon.git("branches", json!({"path": "r", "name": "other"})).await;
    daemon.git("checkout", json!({"path": "r", "branch": "main"})).await;
    daemon.git("reset", json!({"path": "r", "mode": "hard", "target": "HEAD~1"})).await;
    daemon.git("init", json!({"path": "bare", "bare": true})).await;
    daemon.git("remotes", json!({"path": "r", "name": "origin", "url": daemon.work().join("bare")})).await;
    daemon.git("push", json!({"path": "r"})).await;
    daemon.git("pull", json!({"path": "r"})).await;
    assert!(!marker.exists(), "something of the repository was run");
}

#[tokio::test]
async fn a_repository_of_somebody_else_is_not_trusted() {
    if !is_root() {
        println!("skipped: giving a repository to another user needs root");
        return;
    }
    let daemon = start();
    daemon.repository("r").await;
    daemon.shell("chown -R 65534:65534 r").await;
    let message = daemon.get("/git/status?path=r").await.error(403, "FORBIDDEN");
    assert!(message.contains("safe.directory"), "{message}");
    let body = json!({"key": "safe.directory", "value": daemon.work().join("r")});
    daemon.git("config", body).await;
    assert_eq!(daemon.status("r").await["currentBranch"], "main");
}
