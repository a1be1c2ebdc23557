//! Git with a remote that is a path of the same machine.

use serde_json::json;

use crate::git_server::git;
use crate::repository::start;
use crate::repository_remote::{commit, identity};

#[tokio::test]
async fn a_path_is_a_remote_too() {
    let daemon = start();
    daemon.repository("r").await;
    git(&daemon.work(), &["clone", "-q", "--bare", "r", "bare.git"]);
    for url in [daemon.work().join("bare.git").to_string_lossy().into_owned(), "bare.git".to_owned()] {
        daemon.git("clone", json!({"url": url, "path": "c"})).await;
        let expected = daemon.work().join("bare.git");
        assert_eq!(
            git(&daemon.work().join("c"), &["remote", "get-url", "origin"]),
            expected.to_string_lossy()
        );
        commit(&daemon, "c", "mine", &url).await;
        daemon.git("push", json!({"path": "c"})).await;
        std::fs::remove_dir_all(daemon.work().join("c")).expect("remove");
    }
    daemon.git_fails("clone", json!({"url": "bare.git", "path": "d", "depth": 1}), 400, "BAD_REQUEST").await;
    daemon.git("clone", json!({"url": "bare.git", "path": "one"})).await;
    daemon.git("clone", json!({"url": "bare.git", "path": "two"})).await;
    commit(&daemon, "one", "one", "one").await;
    commit(&daemon, "two", "two", "two").await;
    daemon.git("push", json!({"path": "one"})).await;
    daemon.git_fails("push", json!({"path": "two"}), 409, "GIT_PUSH_REJECTED").await;
    daemon.git("config/user", identity()).await;
    daemon.git("pull", json!({"path": "two"})).await;
    daemon.git("push", json!({"path": "two"})).await;
}
