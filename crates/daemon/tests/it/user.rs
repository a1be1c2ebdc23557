//! The daemon is root; what it does for a user it does as the user.

use serde_json::json;

use crate::harness::{TestDaemon, encode, eventually, is_root, is_running};

/// Starts a daemon for the user `nobody` with a work directory of its own; `None` without root.
fn start() -> Option<TestDaemon> {
    start_under(&[])
}

fn start_under(wrapper: &[&str]) -> Option<TestDaemon> {
    if !is_root() {
        println!("skipped: serving another user needs root");
        return None;
    }
    let mut work = String::new();
    let daemon = TestDaemon::start_under(wrapper, |settings| {
        settings.user = "nobody".into();
        work = settings.work_dir.clone().expect("set");
        let parent = std::path::Path::new(&work).parent().expect("parent").to_owned();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(parent, mode).expect("let nobody in");
        std::os::unix::fs::chown(&work, Some(65534), Some(65534)).expect("give to nobody");
    });
    Some(daemon)
}

#[tokio::test]
async fn commands_are_the_users_completely() {
    let Some(daemon) = start() else { return };
    assert_eq!(
        daemon.shell("id -u; id -g; id -un; echo $USER $LOGNAME").await,
        "65534\n65534\nnobody\nnobody nobody"
    );
    assert_eq!(
        daemon.shell("grep -E 'CapEff|CapPrm|NoNewPrivs' /proc/self/status | tr -d '\\t'").await,
        "CapPrm:0000000000000000\nCapEff:0000000000000000\nNoNewPrivs:0"
    );
    assert_ne!(daemon.execute(json!({"command": "cat /etc/shadow"})).await.0, 0);
    let outside = daemon.directory.path().join("root-only");
    std::fs::create_dir(&outside).expect("directory");
    std::fs::set_permissions(&outside, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("mode");
    let (code, result) = daemon.execute(json!({"command": "pwd", "cwd": outside})).await;
    assert!(code == -1 && result.to_lowercase().contains("permission denied"), "{result}");
    let pid = daemon.child.id();
    assert_ne!(daemon.execute(json!({"command": format!("cat /proc/{pid}/environ")})).await.0, 0);
    assert_ne!(daemon.execute(json!({"command": format!("ls /proc/{pid}/fd")})).await.0, 0);
    assert_ne!(daemon.execute(json!({"command": format!("kill -9 {pid}")})).await.0, 0);
}

#[tokio::test]
async fn the_names_of_outputs_are_the_users_too() {
    let Some(daemon) = start() else { return };
    assert_eq!(daemon.shell("echo out > /dev/stdout; echo err > /dev/stderr").await, "out\nerr");
    assert_eq!(
        daemon.shell("echo again >> /proc/self/fd/2 && echo fd | tee /dev/fd/2").await,
        "again\nfd\nfd"
    );
}

#[tokio::test]
async fn files_are_checked_and_made_as_the_user() {
    let Some(daemon) = start() else { return };
    let secret = daemon.directory.path().join("secret");
    std::fs::write(&secret, "needle").expect("write");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode");
    let (secret, outside) = (encode(&secret), encode(daemon.directory.path().join("new")));
    for (method, path, code) in [
        ("GET", format!("/files/download?path={secret}"), "FILE_ACCESS_DENIED"),
        ("POST", format!("/files/upload-v2?path={secret}"), "FILE_ACCESS_DENIED"),
        ("POST", format!("/files/upload-v2?path={outside}"), "FILE_ACCESS_DENIED"),
        ("POST", format!("/files/folder?path={outside}&mode=755"), "FILE_ACCESS_DENIED"),
        ("POST", format!("/files/move?source={secret}&destination=mine"), "FILE_ACCESS_DENIED"),
        ("POST", format!("/files/permissions?path={secret}&mode=777"), "FILE_ACCESS_DENIED"),
        ("DELETE", format!("/files?path={secret}"), "FILE_ACCESS_DENIED"),
        ("GET", "/files?path=/root".to_owned(), "FILE_ACCESS_DENIED"),
        ("GET", "/files/download?path=/etc/shadow".to_owned(), "FILE_ACCESS_DENIED"),
    ] {
        daemon.call(method, &path, "x").await.error(403, code);
    }
    assert_eq!(daemon.get(&format!("/files/find?path={secret}&pattern=needle")).await.json(), json!([]));
    assert_eq!(daemon.call("POST", "/files/folder?path=d&mode=755", "").await.status, 201);
    assert_eq!(daemon.call("POST", "/files/upload-v2?path=d/e/f", "x").await.status, 200);
    for path in ["d", "d/e", "d/e/f"] {
        let info = daemon.get(&format!("/files/info?path={path}")).await.json();
        assert_eq!((&info["owner"], &info["group"]), (&json!("65534"), &json!("65534")), "{path}");
    }
    assert_eq!(daemon.call("POST", "/files/permissions?path=d&owner=nobody&mode=700", "").await.status, 200);
    daemon.call("POST", "/files/permissions?path=d&owner=root", "").await.error(403, "FILE_ACCESS_DENIED");
    assert_eq!(daemon.shell("cat d/e/f && rm -r d && ls -A | wc -l").await, "x0");
}

#[tokio::test]
async fn a_users_tree_is_killed_too() {
    // Root of a sandbox may have less than all capabilities; without these it cannot see its user's environments.
    let less: &[&str] = &["setpriv", "--bounding-set", "-sys_ptrace,-perfmon,-sys_admin"];
    for wrapper in [&[], less] {
        let Some(daemon) = start_under(wrapper) else { return };
        let command = "setsid -f sleep 8156@@.1; (setsid sh -c 'sleep 8156@@.2 & exit' &); sleep 8156@@.3";
        let answer = daemon.post("/process/execute", json!({"command": command, "timeout": 1})).await;
        answer.error(408, "PROCESS_EXECUTION_TIMEOUT");
        eventually("all are gone", || !is_running("sleep 8156@@.")).await;
    }
}
