//! The host is short of places, processes or descriptors, and the server's helper is killed.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{create_refused, delete, stop, wait_for};
use crate::agree::{agree, at_rest};
use crate::serving::{Serving, import, process};

#[test]
fn when_no_place_is_left_a_create_says_so_and_a_delete_makes_room() {
    let home = tempfile::tempdir().unwrap();
    import(home.path(), "daytona-default");
    let serving = Serving::adopt(
        process(home.path(), &["--id-range-start", "4100000000", "--id-range-count", "4"]),
        home.path(),
    );
    let ids: Vec<String> = (0..4).map(|_| serving.create()).collect();
    let message = create_refused(&serving);
    assert!(message.contains("all 4 are taken") && message.contains("delete"), "{message}");
    // A stopped sandbox keeps its place, and starts again although all are taken.
    stop(&serving, &ids[0]);
    let (status, answer) =
        serving.ask("POST", &format!("/api/sandbox/{}/start", ids[0]), &json!({})).unwrap();
    assert_eq!(status, 200, "{answer}");
    delete(&serving, &ids[1]);
    let new = serving.create();
    assert_eq!(serving.execute(&new, "echo new"), "new");
    serving.delete_all();
    serving.stop();
}

#[test]
fn a_killed_spawner_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let serving = Serving::start(home.path());
    let before = serving.create();
    for _ in 0..5 {
        serving.kill_spawner();
        let id = serving.create();
        assert_eq!(serving.execute(&id, "echo on"), "on");
        delete(&serving, &id);
    }
    assert_eq!(serving.execute(&before, "echo on"), "on");
    // Processes prepared ahead wait since before the kill; a start in a place of its own needs the spawner all the same.
    std::thread::sleep(Duration::from_millis(500));
    serving.kill_spawner();
    for verb in ["stop", "start"] {
        let path = format!("/api/sandbox/{before}/{verb}");
        let (status, answer) = serving.ask("POST", &path, &Value::Null).unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(serving.execute(&before, "echo on"), "on");
    agree(home.path(), &at_rest(&serving));
    serving.delete_all();
    serving.stop();
}

/// A control group that bounds the processes of the server and its spawner, and not those of sandboxes.
struct FewProcesses(PathBuf);

impl FewProcesses {
    fn around(server: u32) -> Option<Self> {
        let root = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(PathBuf::from);
        let root = root.into_iter().find(|root| root.join("cgroup.procs").exists())?;
        let group = root.join(format!("few-processes-{server}"));
        std::fs::create_dir(&group).ok()?;
        let group = Self(group);
        std::fs::write(group.0.join("cgroup.procs"), server.to_string()).ok()?;
        for spawner in crate::serving::children(server) {
            let _ = std::fs::write(group.0.join("cgroup.procs"), spawner.to_string());
        }
        group.0.join("pids.max").exists().then_some(group)
    }

    fn limit(&self, most: &str) {
        std::fs::write(self.0.join("pids.max"), most).unwrap();
    }

    fn now(&self) -> String {
        std::fs::read_to_string(self.0.join("pids.current")).unwrap().trim().to_owned()
    }
}

impl Drop for FewProcesses {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn when_no_process_can_be_made_the_server_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let serving = Serving::start(home.path());
    let id = serving.create();
    let Some(group) = FewProcesses::around(serving.pid()) else {
        println!("skipped: this host has no pids controller at a known place");
        serving.delete_all();
        return;
    };
    group.limit(&group.now());
    // Whatever was prepared ahead is used up, then there is nothing.
    let mut created = Vec::new();
    for _ in 0..20 {
        let (status, answer) = serving.ask("POST", "/api/sandbox", &json!({})).unwrap();
        let known = answer.get("id").and_then(Value::as_str).map(str::to_owned);
        let state = answer.get("state").and_then(Value::as_str).unwrap_or_default().to_owned();
        created.extend(known);
        if status != 200 || state != "started" {
            println!("without processes: {status}: {answer}");
            break;
        }
    }
    assert_eq!(serving.execute(&id, "echo on"), "on");
    group.limit("max");
    for id in &created {
        wait_for(&serving, id, "started");
    }
    delete(&serving, &id);
    let new = serving.create();
    assert_eq!(serving.execute(&new, "echo new"), "new");
    agree(home.path(), &at_rest(&serving));
    serving.delete_all();
    serving.stop();
}

#[test]
fn a_server_with_few_descriptors_refuses_and_recovers() {
    let home = tempfile::tempdir().unwrap();
    import(home.path(), "daytona-default");
    let child = Command::new("sh")
        .args(["-c", "ulimit -n 256 && exec \"$0\" server --port 0 --log-level warn --data-dir \"$1\""])
        .arg(env!("CARGO_BIN_EXE_daytona"))
        .arg(home.path())
        .spawn()
        .unwrap();
    let serving = Serving::adopt(child, home.path());
    let id = serving.create();
    let (host, _) = serving.address();
    // Connections that say nothing hold descriptors.
    let idle: Vec<_> = (0..300).filter_map(|_| std::net::TcpStream::connect(&host).ok()).collect();
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(idle);
    // Until it has noticed that they are gone, it may refuse.
    let path = format!("/toolbox/{id}/process/execute");
    let goes_on = || {
        std::thread::sleep(Duration::from_millis(100));
        let answer = serving.ask("POST", &path, &json!({ "command": "echo on" }));
        answer.is_ok_and(|(status, said)| status == 200 && said["result"] == "on\n")
    };
    assert!((0..300).any(|_| goes_on()), "it does not recover");
    for made in 0..40 {
        let (status, answer) = serving.ask("POST", "/api/sandbox", &json!({})).unwrap();
        if status != 200 || answer.get("state").and_then(Value::as_str) != Some("started") {
            println!("after {made} sandboxes: {status}: {answer}");
            break;
        }
    }
    assert_eq!(serving.execute(&id, "echo on"), "on");
    serving.delete_all();
    serving.execute(&serving.create(), "echo new");
    serving.delete_all();
    serving.stop();
}
