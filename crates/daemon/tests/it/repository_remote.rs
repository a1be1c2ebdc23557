//! Git with a real server: over HTTP with a password, over TLS with a private authority, and with servers that are not kind.

use serde_json::{Value, json};

use crate::git_server::{Behaviour, GitServer, PASSWORD, USER, authority, git, proxy};
use crate::harness::{TestDaemon, eventually};
use crate::repository::start;

fn private() -> Behaviour {
    Behaviour { is_private: true, ..Behaviour::default() }
}

fn with_password(mut body: Value) -> Value {
    body["username"] = json!(USER);
    body["password"] = json!(PASSWORD);
    body
}

pub(crate) fn identity() -> Value {
    json!({"name": "Ada", "email": "ada@example.com"})
}

pub(crate) async fn commit(daemon: &TestDaemon, path: &str, file: &str, text: &str) -> String {
    std::fs::write(daemon.work().join(path).join(file), text).expect("write");
    daemon.git("add", json!({"path": path, "files": ["."]})).await;
    let body = json!({"path": path, "message": "mine", "author": "Ada", "email": "ada@example.com"});
    daemon.git("commit", body).await.json()["hash"].as_str().expect("hash").to_owned()
}

/// Returns every file below the daemon's directory that contains a text.
fn containing(daemon: &TestDaemon, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![daemon.directory.path().to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).expect("directory").flatten() {
            if entry.file_type().expect("type").is_dir() {
                left.push(entry.path());
            } else if let Ok(bytes) = std::fs::read(entry.path())
                && String::from_utf8_lossy(&bytes).contains(text)
            {
                found.push(entry.path().to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// Returns every process whose command line or environment contains a text.
fn processes_with(text: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let files = entries.flat_map(|entry| ["cmdline", "environ"].map(|name| entry.path().join(name)));
    files
        .filter(|path| std::fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text)))
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}

#[tokio::test]
async fn a_private_repository_is_cloned_and_the_password_is_kept_nowhere() {
    let (daemon, server) = (start(), GitServer::start(private()));
    server.repository("a.git");
    let url = server.url("a.git");
    let body = json!({"url": url, "path": "c"});
    let message = daemon.git_fails("clone", body.clone(), 401, "GIT_AUTH_FAILED").await;
    assert!(message.contains("username"), "{message}");
    let mut wrong = with_password(body.clone());
    wrong["password"] = json!("wrong-password");
    let message = daemon.git_fails("clone", wrong, 401, "GIT_AUTH_FAILED").await;
    assert!(!message.contains("wrong-password"), "{message}");
    assert!(!daemon.work().join("c").exists(), "nothing is left of a clone that failed");
    daemon.git("clone", with_password(body)).await;
    let status = daemon.status("c").await;
    assert_eq!((&status["currentBranch"], &status["upstream"]), (&json!("main"), &json!("origin/main")));
    assert_eq!((&status["fileStatus"], &status["branchPublished"]), (&json!([]), &json!(true)));
    assert_eq!(git(&daemon.work().join("c"), &["fsck", "--strict"]), "");
    assert_eq!(git(&daemon.work().join("c"), &["tag"]), "v1", "tags of what came");
    let encoded = "s3cret%2F%26-Zq81%20wX%2541";
    let in_url = url.replace("http://", &format!("http://{USER}:{encoded}@"));
    daemon.git("clone", json!({"url": in_url, "path": "deep/er/d"})).await;
    let expected = json!({"remotes": [{"name": "origin", "url": url}]});
    assert_eq!(daemon.get("/git/remotes?path=deep/er/d").await.json(), expected);
    for text in [PASSWORD, encoded] {
        assert_eq!(containing(&daemon, text), Vec::<String>::new());
        assert_eq!(processes_with(text), Vec::<String>::new());
    }
    daemon.git_fails("pull", json!({"path": "c"}), 401, "GIT_AUTH_FAILED").await;
    let host = server.origin().replace("http://", "");
    let body = json!({"username": USER, "password": PASSWORD, "host": host, "protocol": "http"});
    daemon.git("credentials", body).await;
    daemon.git("pull", json!({"path": "c"})).await;
    assert_eq!(daemon.shell("git -C c pull 2>&1").await, "Already up to date.", "git itself finds them too");
}

#[tokio::test]
async fn parts_of_a_repository_are_cloned() {
    let (daemon, server) = (start(), GitServer::start(Behaviour::default()));
    let bare = server.repository("a.git");
    let url = server.url("a.git");
    daemon.git("clone", json!({"url": url, "path": "shallow", "depth": 1})).await;
    let history = async |path: &str| daemon.get(&format!("/git/history?path={path}")).await.json();
    assert_eq!(history("shallow").await.as_array().expect("list").len(), 1);
    assert_eq!(git(&daemon.work().join("shallow"), &["rev-parse", "--is-shallow-repository"]), "true");
    server.change("a.git", "later.txt", "later");
    daemon.git("pull", json!({"path": "shallow"})).await;
    assert_eq!(history("shallow").await.as_array().expect("list").len(), 2);
    assert_eq!(git(&daemon.work().join("shallow"), &["fsck"]), "");
    daemon.git("clone", json!({"url": url, "path": "branch", "branch": "feature"})).await;
    assert_eq!(daemon.status("branch").await["currentBranch"], "feature");
    assert!(daemon.work().join("branch/feature.txt").exists());
    daemon.git("clone", json!({"url": url, "path": "tag", "branch": "v1"})).await;
    assert_eq!(daemon.status("tag").await["detached"], true);
    let old = git(&bare, &["rev-parse", "main~2"]);
    for (path, depth) in [("commit", 0), ("commit-1", 1)] {
        daemon.git("clone", json!({"url": url, "path": path, "commit_id": old, "depth": depth})).await;
        assert_eq!(git(&daemon.work().join(path), &["rev-parse", "HEAD"]), old);
        assert_eq!(daemon.status(path).await["detached"], true);
    }
    let elsewhere = git(&bare, &["rev-parse", "feature"]);
    daemon.git("clone", json!({"url": url, "path": "elsewhere", "commit_id": elsewhere})).await;
    assert_eq!(git(&daemon.work().join("elsewhere"), &["rev-parse", "HEAD"]), elsewhere);
    git(server.directory.path(), &["init", "-q", "--bare", "-b", "trunk", "empty.git"]);
    daemon.git("clone", json!({"url": server.url("empty.git"), "path": "empty"})).await;
    assert_eq!(daemon.get("/git/history?path=empty").await.json(), json!([]));
}

#[tokio::test]
async fn what_cannot_be_cloned_leaves_nothing() {
    let (daemon, server) = (start(), GitServer::start(Behaviour::default()));
    server.repository("a.git");
    let url = server.url("a.git");
    let page =
        GitServer::start(Behaviour { page: Some("<html>Please log in</html>"), ..Behaviour::default() });
    for (body, status, code) in [
        (json!({"url": server.url("none.git")}), 404, "GIT_REPO_NOT_FOUND"),
        (json!({"url": daemon.work().join("none")}), 404, "GIT_REPO_NOT_FOUND"),
        (json!({"url": url, "branch": "none"}), 404, "GIT_BRANCH_NOT_FOUND"),
        (json!({"url": url, "commit_id": "1".repeat(40)}), 404, "GIT_BRANCH_NOT_FOUND"),
        (json!({"url": url, "commit_id": "1".repeat(40), "depth": 1}), 404, "GIT_BRANCH_NOT_FOUND"),
        (json!({"url": url, "commit_id": "abc"}), 400, "BAD_REQUEST"),
        (json!({"url": url, "depth": -1}), 400, "BAD_REQUEST"),
        (json!({"url": "ssh://git@host/x"}), 400, "BAD_REQUEST"),
        (json!({"url": "ext::sh -c touch% /tmp/x"}), 400, "BAD_REQUEST"),
        (json!({"url": page.url("a.git")}), 502, "GIT_TRANSPORT_FAILED"),
        (json!({"url": "http://localhost:1/a.git"}), 502, "GIT_TRANSPORT_FAILED"),
        (json!({"url": "https://no-such-host.invalid/a.git"}), 502, "GIT_TRANSPORT_FAILED"),
    ] {
        let mut body = body;
        body["path"] = json!("deep/c");
        daemon.git_fails("clone", body, status, code).await;
        assert!(!daemon.work().join("deep").exists());
    }
    std::fs::create_dir_all(daemon.work().join("full/x")).expect("directory");
    daemon.git_fails("clone", json!({"url": url, "path": "full"}), 409, "CONFLICT").await;
    assert!(daemon.work().join("full/x").exists());
    std::fs::create_dir(daemon.work().join("void")).expect("directory");
    let body = json!({"url": url, "path": "void", "commit_id": "1".repeat(40)});
    daemon.git_fails("clone", body, 404, "GIT_BRANCH_NOT_FOUND").await;
    let mut left = std::fs::read_dir(daemon.work().join("void")).expect("it stays");
    assert!(left.next().is_none(), "empty as it was");
    daemon.git("clone", json!({"url": url, "path": "void"})).await;
}

#[tokio::test]
async fn commits_are_pushed_unless_the_server_has_others() {
    let (daemon, server) = (start(), GitServer::start(private()));
    let bare = server.repository("a.git");
    daemon.git("clone", with_password(json!({"url": server.url("a.git"), "path": "c"}))).await;
    let hash = commit(&daemon, "c", "mine.txt", "mine").await;
    let status = daemon.status("c").await;
    assert_eq!((&status["ahead"], &status["behind"]), (&json!(1), &json!(0)));
    daemon.git_fails("push", json!({"path": "c"}), 401, "GIT_AUTH_FAILED").await;
    daemon.git("push", with_password(json!({"path": "c"}))).await;
    assert_eq!(git(&bare, &["rev-parse", "main"]), hash);
    assert_eq!(daemon.status("c").await["ahead"], 0);
    daemon.git("push", with_password(json!({"path": "c"}))).await;
    daemon.git("branches", json!({"path": "c", "name": "new"})).await;
    assert_eq!(daemon.status("c").await["branchPublished"], false);
    let hash = commit(&daemon, "c", "new.txt", "new").await;
    daemon
        .git(
            "push",
            with_password(json!({"path": "c", "branch": "new", "remote": "origin", "set_upstream": true})),
        )
        .await;
    assert_eq!(git(&bare, &["rev-parse", "new"]), hash);
    assert_eq!(daemon.status("c").await["upstream"], "origin/new");
    assert_eq!(git(&bare, &["fsck", "--strict"]), "");
    daemon
        .git_fails("push", with_password(json!({"path": "c", "branch": "none"})), 404, "GIT_BRANCH_NOT_FOUND")
        .await;
    daemon.git_fails("push", json!({"path": "c", "remote": "none"}), 404, "NOT_FOUND").await;
    daemon.git("checkout", json!({"path": "c", "branch": "main"})).await;
    let theirs = server.change("a.git", "file.txt", "somebody else's\n");
    commit(&daemon, "c", "again.txt", "again").await;
    daemon.git_fails("push", with_password(json!({"path": "c"})), 409, "GIT_PUSH_REJECTED").await;
    assert_eq!(git(&bare, &["rev-parse", "main"]), theirs);
    let hook = bare.join("hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\necho 'no releases on Friday' >&2\nexit 1\n").expect("hook");
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("mode");
    daemon.git("branches", json!({"path": "c", "name": "refused"})).await;
    let message =
        daemon.git_fails("push", with_password(json!({"path": "c"})), 422, "GIT_REMOTE_REJECTED").await;
    assert!(message.contains("no releases on Friday"), "{message}");
    assert_eq!(daemon.status("c").await["branchPublished"], false);
}

#[tokio::test]
async fn pulls_go_forward_merge_or_say_what_is_in_the_way() {
    let (daemon, server) = (start(), GitServer::start(Behaviour::default()));
    server.repository("a.git");
    daemon.git("clone", json!({"url": server.url("a.git"), "path": "c"})).await;
    let read = |name: &str| std::fs::read_to_string(daemon.work().join("c").join(name)).expect("file");
    daemon.git("pull", json!({"path": "c"})).await;
    let theirs = server.change("a.git", "file.txt", "line 4\nsame\n");
    std::fs::write(daemon.work().join("c/file.txt"), "not committed\n").expect("write");
    daemon.git_fails("pull", json!({"path": "c"}), 409, "GIT_DIRTY_WORKTREE").await;
    assert_eq!(read("file.txt"), "not committed\n");
    daemon.git("restore", json!({"path": "c", "files": ["file.txt"]})).await;
    daemon.git("pull", json!({"path": "c", "remote": "origin", "branch": "main"})).await;
    assert_eq!(
        (read("file.txt").as_str(), git(&daemon.work().join("c"), &["rev-parse", "HEAD"])),
        ("line 4\nsame\n", theirs)
    );
    server.change("a.git", "theirs.txt", "theirs");
    commit(&daemon, "c", "mine.txt", "mine").await;
    daemon.git_fails("pull", json!({"path": "c"}), 400, "BAD_REQUEST").await;
    daemon.git("config/user", identity()).await;
    daemon.git("pull", json!({"path": "c"})).await;
    assert_eq!(git(&daemon.work().join("c"), &["rev-list", "--count", "--merges", "HEAD"]), "1");
    assert_eq!(daemon.status("c").await["fileStatus"], json!([]));
    server.change("a.git", "file.txt", "their line\nsame\n");
    let before = commit(&daemon, "c", "file.txt", "my line\nsame\n").await;
    std::fs::write(daemon.work().join("c/file.txt"), "not committed\n").expect("write");
    daemon.git_fails("pull", json!({"path": "c"}), 409, "GIT_DIRTY_WORKTREE").await;
    assert_eq!(read("file.txt"), "not committed\n");
    daemon.git("restore", json!({"path": "c", "files": ["file.txt"]})).await;
    let message = daemon.git_fails("pull", json!({"path": "c"}), 409, "GIT_MERGE_CONFLICT").await;
    assert!(message.contains("`file.txt`"), "{message}");
    assert!(read("file.txt").contains("<<<<<<<") && read("file.txt").contains("their line"));
    let unmerged = "Updated but unmerged";
    let expected = json!({"name": "file.txt", "extra": "", "staging": unmerged, "worktree": unmerged});
    assert_eq!(daemon.status("c").await["fileStatus"], json!([expected]));
    let body = json!({"path": "c", "message": "m", "author": "A", "email": "a@x"});
    daemon.git_fails("commit", body.clone(), 409, "GIT_MERGE_CONFLICT").await;
    daemon.git_fails("pull", json!({"path": "c"}), 409, "CONFLICT").await;
    daemon.git("reset", json!({"path": "c", "mode": "merge"})).await;
    assert_eq!(
        (read("file.txt").as_str(), git(&daemon.work().join("c"), &["rev-parse", "HEAD"])),
        ("my line\nsame\n", before)
    );
    daemon.git_fails("pull", json!({"path": "c"}), 409, "GIT_MERGE_CONFLICT").await;
    commit(&daemon, "c", "file.txt", "both lines\nsame\n").await;
    assert_eq!(git(&daemon.work().join("c"), &["rev-list", "--count", "--merges", "HEAD"]), "2");
    daemon.git("push", json!({"path": "c"})).await;
    daemon.git_fails("pull", json!({"path": "c", "branch": "none"}), 404, "GIT_BRANCH_NOT_FOUND").await;
    daemon.git_fails("pull", json!({"path": "c", "remote": "none"}), 404, "NOT_FOUND").await;
    daemon.git("checkout", json!({"path": "c", "branch": "HEAD~1"})).await;
    daemon.git_fails("pull", json!({"path": "c"}), 409, "CONFLICT").await;
}

#[tokio::test]
async fn a_remote_is_added_and_fetched_at_once() {
    let (daemon, server) = (start(), GitServer::start(private()));
    server.repository("a.git");
    daemon.repository("r").await;
    let encoded = "s3cret%2F%26-Zq81%20wX%2541";
    let url = server.url("a.git").replace("http://", &format!("http://{USER}:{encoded}@"));
    daemon.git("remotes", json!({"path": "r", "name": "up", "url": url, "fetch": true})).await;
    assert_eq!(git(&daemon.work().join("r"), &["branch", "-r"]), "up/feature\n  up/main");
    assert_eq!(containing(&daemon, encoded), Vec::<String>::new());
    daemon.git("checkout", json!({"path": "r", "branch": "feature"})).await;
    assert_eq!(daemon.status("r").await["upstream"], "up/feature");
    let body = json!({"path": "r", "name": "none", "url": server.url("none.git"), "fetch": true});
    daemon.git_fails("remotes", body, 401, "GIT_AUTH_FAILED").await;
}

#[tokio::test]
async fn certificates_are_checked_unless_told_otherwise() {
    let server = GitServer::start(Behaviour { is_encrypted: true, is_private: true, ..Behaviour::default() });
    server.repository("a.git");
    let daemon = start();
    let body = with_password(json!({"url": server.url("a.git"), "path": "c"}));
    let message = daemon.git_fails("clone", body.clone(), 502, "GIT_TRANSPORT_FAILED").await;
    assert!(message.contains("SSL_CERT_FILE"), "{message}");
    assert_eq!(server.requests(), Vec::<String>::new(), "nothing was said to a server that is not trusted");
    let mut unverified = body.clone();
    unverified["insecure_skip_tls"] = json!(true);
    daemon.git("clone", unverified).await;
    daemon.git_fails("pull", with_password(json!({"path": "c"})), 502, "GIT_TRANSPORT_FAILED").await;
    let set = json!({"set": {"SSL_CERT_FILE": authority()}});
    assert_eq!(daemon.post("/env", set).await.status, 200);
    daemon.git("pull", with_password(json!({"path": "c"}))).await;
    let mut body = body;
    body["path"] = json!("d");
    daemon.git("clone", body.clone()).await;
    commit(&daemon, "d", "mine.txt", "mine").await;
    daemon.git("push", with_password(json!({"path": "d"}))).await;
    body["url"] = json!(server.url("a.git").replace("localhost", "127.0.0.1"));
    body["path"] = json!("e");
    daemon.git_fails("clone", body, 502, "GIT_TRANSPORT_FAILED").await;
}

#[tokio::test]
async fn credentials_never_follow_a_redirect_elsewhere() {
    let elsewhere = GitServer::start(private());
    elsewhere.repository("a.git");
    let open = GitServer::start(Behaviour::default());
    open.repository("b.git");
    let daemon = start();
    let to = |target: &GitServer| {
        GitServer::start(Behaviour { redirect_to: Some(target.origin()), ..Behaviour::default() })
    };
    let body = with_password(json!({"url": to(&elsewhere).url("a.git"), "path": "c"}));
    let message = daemon.git_fails("clone", body, 401, "GIT_AUTH_FAILED").await;
    assert!(message.contains("redirects to"), "{message}");
    let asked = elsewhere.requests();
    assert!(!asked.is_empty() && asked.iter().all(|request| !request.contains("Basic")), "{asked:?}");
    daemon.git("clone", with_password(json!({"url": to(&open).url("b.git"), "path": "c"}))).await;
    assert!(open.requests().iter().all(|request| !request.contains("Basic")));
    for target in ["file:///etc", "/nowhere", "ssh://x", "http://localhost:1/?x="] {
        let server =
            GitServer::start(Behaviour { redirect_to: Some(target.to_owned()), ..Behaviour::default() });
        daemon
            .git_fails("clone", json!({"url": server.url("a.git"), "path": "d"}), 502, "GIT_TRANSPORT_FAILED")
            .await;
    }
}

#[tokio::test]
async fn the_proxy_of_the_sandbox_is_used() {
    let (daemon, server) = (start(), GitServer::start(Behaviour::default()));
    server.repository("a.git");
    let (url, count) = proxy();
    daemon.post("/env", json!({"set": {"http_proxy": url}})).await;
    daemon.git("clone", json!({"url": server.url("a.git"), "path": "c"})).await;
    let used = *count.lock().expect("count");
    assert!(used > 0, "the proxy was not used");
    daemon.post("/env", json!({"set": {"no_proxy": "localhost"}})).await;
    daemon.git("pull", json!({"path": "c"})).await;
    assert_eq!(*count.lock().expect("count"), used);
}

#[tokio::test]
async fn a_clone_whose_client_goes_away_is_taken_away() {
    let server = GitServer::start(Behaviour { stalls: true, is_private: true, ..Behaviour::default() });
    server.repository("a.git");
    let daemon = start();
    std::fs::create_dir(daemon.work().join("there")).expect("directory");
    for path in ["deep/er/c", "there"] {
        let body = with_password(json!({"url": server.url("a.git"), "path": path})).to_string();
        let request = axum::http::Request::post("/git/clone")
            .header("host", "daemon")
            .body(body.into())
            .expect("request");
        let mut sender = daemon.connect().await;
        let answer = tokio::spawn(async move { sender.send_request(request).await.map(drop) });
        let is_begun = || daemon.work().join(path).join(".git/HEAD").exists();
        eventually("the clone has begun", is_begun).await;
        let posts =
            |server: &GitServer| server.requests().iter().filter(|line| line.starts_with("POST")).count();
        eventually("the pack is on its way", || posts(&server) > 0).await;
        assert_eq!(processes_with(PASSWORD), Vec::<String>::new());
        assert_eq!(containing(&daemon, PASSWORD), Vec::<String>::new());
        answer.abort();
        eventually("it is gone", || !daemon.work().join(path).join(".git").exists()).await;
    }
    eventually("so is what was made for it", || !daemon.work().join("deep").exists()).await;
    assert!(daemon.work().join("there").exists(), "what was there before stays");
    let pid = daemon.child.id().to_string();
    eventually("no process is left", || {
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("children").is_empty()
    })
    .await;
}
