//! Git repositories on the disk: every operation, once as it should go and once as it should not.

use serde_json::{Value, json};

use crate::git_server::git;
use crate::harness::{Answer, TestDaemon, encode};

/// A daemon whose user has a home of its own.
pub(crate) fn start() -> TestDaemon {
    TestDaemon::start_with(|settings| {
        let home = format!("{}/../home", settings.work_dir.as_deref().expect("set"));
        std::fs::create_dir(&home).expect("home");
        settings.home = Some(std::fs::canonicalize(home).expect("home").to_string_lossy().into_owned());
    })
}

impl TestDaemon {
    /// Posts to `/git/…` what must be done; returns the answer.
    pub(crate) async fn git(&self, operation: &str, body: Value) -> Answer {
        let answer = self.call("POST", &format!("/git/{operation}"), body.to_string()).await;
        assert!(answer.status.is_success(), "{operation} {body}: {}", answer.text());
        answer
    }

    /// Posts to `/git/…` what must be refused; returns the message.
    pub(crate) async fn git_fails(&self, operation: &str, body: Value, status: u16, code: &str) -> String {
        self.call("POST", &format!("/git/{operation}"), body.to_string()).await.error(status, code)
    }

    pub(crate) async fn status(&self, path: &str) -> Value {
        let answer = self.get(&format!("/git/status?path={}", encode(path))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        std::fs::write(self.work().join(path), text).expect("write");
    }

    pub(crate) async fn commit_all(&self, path: &str, message: &str) -> String {
        self.git("add", json!({"path": path, "files": ["."]})).await;
        let body = json!({"path": path, "message": message, "author": "Ada", "email": "ada@example.com"});
        self.git("commit", body).await.json()["hash"].as_str().expect("hash").to_owned()
    }

    /// Makes a repository with one commit of `a` and `b`.
    pub(crate) async fn repository(&self, path: &str) -> String {
        let answer = self.git("init", json!({"path": path, "initial_branch": "main"})).await;
        assert_eq!(answer.status, 201);
        self.write(&format!("{path}/a"), "one\n");
        self.write(&format!("{path}/b"), "two\n");
        self.commit_all(path, "first").await
    }
}

/// `(name, staging, worktree)` of all files, sorted.
fn files(status: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let listed = status["fileStatus"].as_array().expect("list").iter();
    let mut files: Vec<_> =
        listed.map(|file| (text(&file["name"]), text(&file["staging"]), text(&file["worktree"]))).collect();
    files.sort();
    files
}

fn row(name: &str, staging: &str, worktree: &str) -> (String, String, String) {
    (name.to_owned(), staging.to_owned(), worktree.to_owned())
}

#[tokio::test]
async fn init_add_commit_history_and_status() {
    let daemon = start();
    let hash = daemon.repository("r").await;
    assert_eq!(git(&daemon.work().join("r"), &["rev-parse", "HEAD"]), hash);
    assert_eq!(git(&daemon.work().join("r"), &["fsck", "--strict"]), "");
    let status = daemon.status("r").await;
    assert_eq!(
        status,
        json!({"currentBranch": "main", "fileStatus": [], "ahead": 0, "behind": 0, "branchPublished": false,
            "detached": false, "upstream": ""})
    );
    daemon.write("r/a", "changed\n");
    daemon.write("r/new é", "x");
    std::fs::remove_file(daemon.work().join("r/b")).expect("remove");
    let expected = [
        row("a", "Unmodified", "Modified"),
        row("b", "Unmodified", "Deleted"),
        row("new é", "Untracked", "Untracked"),
    ];
    assert_eq!(files(&daemon.status("r").await), expected);
    daemon.git("add", json!({"path": "r", "files": ["a", "b", "new é"]})).await;
    let expected = [
        row("a", "Modified", "Unmodified"),
        row("b", "Deleted", "Unmodified"),
        row("new é", "Added", "Unmodified"),
    ];
    assert_eq!(files(&daemon.status("r").await), expected);
    let second = daemon.commit_all("r", "second\n\nwith a body").await;
    let history = daemon.get("/git/history?path=r").await.json();
    assert_eq!(history[0]["hash"], second);
    assert_eq!(history[0]["message"], "second\n\nwith a body");
    assert_eq!((&history[1]["author"], &history[1]["email"]), (&json!("Ada"), &json!("ada@example.com")));
    assert_eq!(history[1]["hash"], hash);
    let told = history[0]["timestamp"].as_str().expect("text");
    assert_eq!(told, git(&daemon.work().join("r"), &["log", "-1", "--format=%aI"]).replace('Z', "+00:00"));
    std::fs::rename(daemon.work().join("r/a"), daemon.work().join("r/moved")).expect("move");
    daemon.git("add", json!({"path": "r", "files": ["."]})).await;
    let renamed = daemon.status("r").await["fileStatus"][0].clone();
    assert_eq!(
        renamed,
        json!({"name": "moved", "extra": "a", "staging": "Renamed", "worktree": "Unmodified"})
    );
}

#[tokio::test]
async fn init_add_and_commit_refuse_what_makes_no_sense() {
    let daemon = start();
    daemon.repository("r").await;
    daemon.git_fails("init", json!({"path": "r"}), 409, "CONFLICT").await;
    daemon.git_fails("init", json!({"path": "x", "initial_branch": "a..b"}), 400, "BAD_REQUEST").await;
    daemon.git_fails("init", json!({"path": ""}), 400, "INVALID_FILE_PATH").await;
    daemon.git_fails("add", json!({"path": "r", "files": ["nothing"]}), 404, "NOT_FOUND").await;
    daemon.git_fails("add", json!({"path": "r", "files": []}), 400, "BAD_REQUEST").await;
    for outside in ["../x", "/etc/passwd", "a/../../x", ".git/config"] {
        let answer =
            daemon.call("POST", "/git/add", json!({"path": "r", "files": [outside]}).to_string()).await;
        assert!(!answer.status.is_success(), "{outside}: {}", answer.text());
    }
    let body = json!({"path": "r", "message": "m", "author": "A", "email": "e@x"});
    daemon.git_fails("commit", body.clone(), 409, "CONFLICT").await;
    let mut empty = body.clone();
    empty["allow_empty"] = json!(true);
    assert_eq!(daemon.git("commit", empty).await.json()["hash"].as_str().expect("hash").len(), 40);
    for (field, value) in [("message", " "), ("author", ""), ("email", "a>b")] {
        let mut wrong = body.clone();
        wrong[field] = json!(value);
        daemon.git_fails("commit", wrong, 400, "BAD_REQUEST").await;
    }
    daemon.git_fails("commit", json!({"path": "r"}), 400, "INVALID_REQUEST_BODY").await;
}

#[tokio::test]
async fn what_is_no_repository_is_told_by_its_code() {
    let daemon = start();
    daemon.repository("r").await;
    std::fs::create_dir(daemon.work().join("r/inside")).expect("directory");
    for path in ["nowhere", ".", "r/inside", "r/a"] {
        for operation in ["status", "branches", "history", "remotes"] {
            let answer = daemon.get(&format!("/git/{operation}?path={}", encode(path))).await;
            answer.error(404, "GIT_REPO_NOT_FOUND");
        }
        let body = json!({"path": path, "files": ["."], "name": "b", "branch": "b", "message": "m", "author": "a",
            "email": "e@x", "url": "http://localhost:1/x"});
        for operation in
            ["add", "branches", "checkout", "commit", "pull", "push", "remotes", "reset", "restore"]
        {
            daemon.git_fails(operation, body.clone(), 404, "GIT_REPO_NOT_FOUND").await;
        }
        daemon.call("DELETE", "/git/branches", body.to_string()).await.error(404, "GIT_REPO_NOT_FOUND");
    }
    daemon.get("/git/status").await.error(400, "BAD_REQUEST");
    daemon.get(&format!("/git/status?path={}", "x".repeat(300))).await.error(400, "INVALID_FILE_PATH");
}

#[tokio::test]
async fn branches_are_made_listed_checked_out_and_deleted() {
    let daemon = start();
    let first = daemon.repository("r").await;
    assert_eq!(daemon.git("branches", json!({"path": "r", "name": "feature/x"})).await.status, 201);
    let listed = daemon.get("/git/branches?path=r").await.json();
    assert_eq!(listed, json!({"branches": ["feature/x", "main"], "current": "feature/x"}));
    daemon.git_fails("branches", json!({"path": "r", "name": "main"}), 409, "GIT_BRANCH_EXISTS").await;
    daemon.git_fails("branches", json!({"path": "r", "name": "a b"}), 400, "BAD_REQUEST").await;
    daemon.write("r/a", "on feature\n");
    daemon.commit_all("r", "second").await;
    daemon.git("checkout", json!({"path": "r", "branch": "main"})).await;
    assert_eq!(std::fs::read_to_string(daemon.work().join("r/a")).expect("file"), "one\n");
    daemon.write("r/a", "not committed\n");
    let body = json!({"path": "r", "branch": "feature/x"});
    let message = daemon.git_fails("checkout", body.clone(), 409, "GIT_DIRTY_WORKTREE").await;
    assert!(message.contains("`a`"), "{message}");
    assert_eq!(std::fs::read_to_string(daemon.work().join("r/a")).expect("file"), "not committed\n");
    daemon.git("restore", json!({"path": "r", "files": ["a"]})).await;
    daemon.git("checkout", body).await;
    daemon
        .git_fails("checkout", json!({"path": "r", "branch": "nothing"}), 404, "GIT_BRANCH_NOT_FOUND")
        .await;
    daemon.git("checkout", json!({"path": "r", "branch": first})).await;
    let status = daemon.status("r").await;
    assert_eq!((&status["detached"], &status["currentBranch"]), (&json!(true), &json!("HEAD")));
    assert_eq!(daemon.get("/git/branches?path=r").await.json()["current"], "");
    daemon.git("checkout", json!({"path": "r", "branch": "main"})).await;
    let delete = |name: &str| json!({"path": "r", "name": name}).to_string();
    daemon.call("DELETE", "/git/branches", delete("main")).await.error(400, "BAD_REQUEST");
    daemon.call("DELETE", "/git/branches", delete("nothing")).await.error(404, "GIT_BRANCH_NOT_FOUND");
    let answer = daemon.call("DELETE", "/git/branches", delete("feature/x")).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (204, ""));
    assert_eq!(daemon.get("/git/branches?path=r").await.json()["branches"], json!(["main"]));
}

#[tokio::test]
async fn a_repository_without_a_commit_has_a_branch_all_the_same() {
    let daemon = start();
    daemon.git("init", json!({"path": "r", "initial_branch": "trunk"})).await;
    assert_eq!(daemon.status("r").await["currentBranch"], "trunk");
    assert_eq!(daemon.get("/git/history?path=r").await.json(), json!([]));
    daemon.git("branches", json!({"path": "r", "name": "other"})).await;
    assert_eq!(daemon.get("/git/branches?path=r").await.json(), json!({"branches": [], "current": "other"}));
    daemon.git_fails("reset", json!({"path": "r"}), 409, "CONFLICT").await;
    daemon.git("init", json!({"path": "bare", "bare": true})).await;
    daemon.get("/git/status?path=bare").await.error(409, "CONFLICT");
    assert_eq!(daemon.get("/git/history?path=bare").await.json(), json!([]));
}

#[tokio::test]
async fn reset_does_what_git_does_in_every_mode() {
    let daemon = start();
    let first = daemon.repository("r").await;
    for (mode, staged, worktree, file) in [
        ("soft", "M", " ", "new\n"),
        ("mixed", " ", "M", "new\n"),
        ("hard", "", "", "one\n"),
        ("keep", "", "", "one\n"),
        ("merge", "", "", "one\n"),
    ] {
        daemon.write("r/a", "new\n");
        daemon.write("r/added", "x");
        daemon.commit_all("r", "second").await;
        daemon.git("reset", json!({"path": "r", "mode": mode, "target": first})).await;
        let work = daemon.work().join("r");
        assert_eq!(git(&work, &["rev-parse", "HEAD"]), first, "{mode}");
        let status = git(&work, &["status", "--porcelain", "a"]);
        let expected =
            if file == "new\n" { format!("{staged}{worktree} a").trim().to_owned() } else { String::new() };
        assert_eq!(status, expected, "{mode}");
        assert_eq!(std::fs::read_to_string(work.join("a")).expect("file"), file, "{mode}");
        assert_eq!(work.join("added").exists(), file == "new\n", "{mode}");
        git(&work, &["reset", "-q", "--hard"]);
        git(&work, &["clean", "-q", "-fd"]);
    }
    daemon.write("r/a", "mine\n");
    daemon.write("r/staged", "x");
    daemon.git("add", json!({"path": "r", "files": ["staged"]})).await;
    daemon.git("reset", json!({"path": "r", "files": ["staged"]})).await;
    let expected = [row("a", "Unmodified", "Modified"), row("staged", "Untracked", "Untracked")];
    assert_eq!(files(&daemon.status("r").await), expected);
    daemon.git("add", json!({"path": "r", "files": ["staged"]})).await;
    daemon.git("reset", json!({"path": "r", "mode": "merge"})).await;
    assert_eq!(files(&daemon.status("r").await), [row("a", "Unmodified", "Modified")], "kept and taken back");
    daemon.git_fails("reset", json!({"path": "r", "target": "nothing"}), 404, "GIT_BRANCH_NOT_FOUND").await;
    daemon.git_fails("reset", json!({"path": "r", "mode": "gentle"}), 400, "BAD_REQUEST").await;
    daemon.git_fails("reset", json!({"path": "r", "mode": "hard", "files": ["a"]}), 400, "BAD_REQUEST").await;
    git(&daemon.work().join("r"), &["commit", "-q", "-a", "-m", "mine"]);
    daemon.write("r/a", "not committed\n");
    for mode in ["keep", "merge"] {
        let body = json!({"path": "r", "mode": mode, "target": first});
        daemon.git_fails("reset", body, 409, "GIT_DIRTY_WORKTREE").await;
    }
    assert_eq!(std::fs::read_to_string(daemon.work().join("r/a")).expect("file"), "not committed\n");
}

#[tokio::test]
async fn restore_takes_from_the_index_or_from_a_commit() {
    let daemon = start();
    let first = daemon.repository("r").await;
    let read = |name: &str| std::fs::read_to_string(daemon.work().join("r").join(name)).expect("file");
    daemon.write("r/a", "staged\n");
    daemon.git("add", json!({"path": "r", "files": ["a"]})).await;
    daemon.write("r/a", "later\n");
    daemon.git("restore", json!({"path": "r", "files": ["a"]})).await;
    assert_eq!(read("a"), "staged\n");
    daemon.git("restore", json!({"path": "r", "files": ["a"], "staged": true})).await;
    assert_eq!(
        (read("a").as_str(), files(&daemon.status("r").await)),
        ("staged\n", vec![row("a", "Unmodified", "Modified")])
    );
    daemon.git("restore", json!({"path": "r", "files": ["."], "staged": true, "worktree": true})).await;
    assert_eq!((read("a").as_str(), files(&daemon.status("r").await)), ("one\n", vec![]));
    daemon.write("r/a", "second\n");
    daemon.commit_all("r", "second").await;
    daemon.git("restore", json!({"path": "r", "files": ["a"], "source": first})).await;
    assert_eq!(
        (read("a").as_str(), files(&daemon.status("r").await)),
        ("one\n", vec![row("a", "Unmodified", "Modified")])
    );
    daemon.git_fails("restore", json!({"path": "r", "files": ["nothing"]}), 404, "NOT_FOUND").await;
    daemon.git_fails("restore", json!({"path": "r", "files": []}), 400, "BAD_REQUEST").await;
    let body = json!({"path": "r", "files": ["a"], "source": "nothing"});
    daemon.git_fails("restore", body, 404, "GIT_BRANCH_NOT_FOUND").await;
}

#[tokio::test]
async fn settings_are_those_that_git_reads() {
    let daemon = start();
    daemon.repository("r").await;
    daemon.git("config/user", json!({"name": "Grace Hopper", "email": "grace@example.com"})).await;
    daemon.git("config", json!({"key": "alias.st", "value": "status", "scope": "local", "path": "r"})).await;
    let get = async |query: &str| daemon.get(&format!("/git/config?{query}")).await.json();
    assert_eq!(get("key=user.name").await, json!({"value": "Grace Hopper"}));
    assert_eq!(get("key=user.name&scope=local&path=r").await, json!({"value": null}));
    assert_eq!(get("key=alias.st&scope=local&path=r").await, json!({"value": "status"}));
    assert_eq!(get("key=core.nothing&scope=system").await, json!({"value": null}));
    assert_eq!(
        daemon.shell("git -C r config user.email && git -C r config alias.st").await,
        "grace@example.com\nstatus"
    );
    daemon.git_fails("config", json!({"key": "nonsense", "value": "x"}), 400, "BAD_REQUEST").await;
    daemon
        .git_fails("config", json!({"key": "a.b", "value": "x", "scope": "moon"}), 400, "BAD_REQUEST")
        .await;
    daemon
        .git_fails("config", json!({"key": "a.b", "value": "x", "scope": "local"}), 400, "BAD_REQUEST")
        .await;
    let body = json!({"key": "a.b", "value": "x", "scope": "local", "path": "nowhere"});
    daemon.git_fails("config", body, 404, "GIT_REPO_NOT_FOUND").await;
    daemon.git_fails("config/user", json!({"name": "", "email": "x"}), 400, "BAD_REQUEST").await;
    daemon.get("/git/config").await.error(400, "BAD_REQUEST");
}

#[tokio::test]
async fn credentials_are_kept_for_git_and_for_nobody_else() {
    let daemon = start();
    let body = json!({"username": "me@x", "password": "p/w:%é", "host": "git.example:8443"});
    daemon.git("credentials", body).await;
    daemon.git("credentials", json!({"username": "hub", "password": "old"})).await;
    daemon.git("credentials", json!({"username": "hub", "password": "new"})).await;
    let fill =
        "printf 'protocol=https\\nhost=git.example:8443\\n\\n' | GIT_TERMINAL_PROMPT=0 git credential fill";
    let told = daemon.shell(fill).await;
    assert!(told.contains("username=me@x") && told.contains("password=p/w:%é"), "{told}");
    assert_eq!(
        daemon.shell("stat -c %a ~/.git-credentials; grep -c github.com ~/.git-credentials").await,
        "600\n1"
    );
    assert_eq!(daemon.shell("git config --global --get-all credential.helper").await, "store");
    for body in [
        json!({"username": "", "password": "x"}),
        json!({"username": "a\nb", "password": "x"}),
        json!({"username": "a", "password": "x\ny"}),
        json!({"username": "a", "password": "x", "host": "h/p"}),
        json!({"username": "a", "password": "x", "host": "a:b@h"}),
        json!({"username": "a", "password": "x", "protocol": "ssh"}),
    ] {
        daemon.git_fails("credentials", body, 400, "BAD_REQUEST").await;
    }
}

#[tokio::test]
async fn remotes_are_kept_without_credentials() {
    let daemon = start();
    daemon.repository("r").await;
    let body = json!({"path": "r", "name": "origin", "url": "https://me:hunter2@git.example/a.git"});
    assert_eq!(daemon.git("remotes", body.clone()).await.status, 201);
    let expected = json!({"remotes": [{"name": "origin", "url": "https://git.example/a.git"}]});
    assert_eq!(daemon.get("/git/remotes?path=r").await.json(), expected);
    daemon.git_fails("remotes", body, 409, "CONFLICT").await;
    daemon.git("remotes", json!({"path": "r", "name": "origin", "url": "/other", "overwrite": true})).await;
    assert_eq!(git(&daemon.work().join("r"), &["remote", "get-url", "origin"]), "/other");
    daemon.git_fails("remotes", json!({"path": "r", "name": "a b", "url": "/x"}), 400, "BAD_REQUEST").await;
    daemon
        .git_fails("remotes", json!({"path": "r", "name": "s", "url": "git@host:x"}), 400, "BAD_REQUEST")
        .await;
    assert_eq!(daemon.shell("grep -rc hunter2 r/.git | grep -v ':0' | wc -l").await, "0");
}
