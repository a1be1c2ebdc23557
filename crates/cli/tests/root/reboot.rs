//! A reboot: every process, mount, link, rule and control group is gone, and `/run` is empty. Sandboxes are stopped then,
//! with all their files.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agree::{agree, at_rest};
use crate::serving::{Serving, census};

#[test]
fn after_a_reboot_sandboxes_are_stopped_with_their_files_and_start() {
    let home = tempfile::tempdir().unwrap();
    Serving::start(home.path()).stop();
    let before = census(home.path());
    let serving = Serving::launch(home.path());
    let ids: Vec<String> = (0..5).map(|_| serving.create()).collect();
    for id in &ids {
        serving.execute(id, &format!("echo {id} > /home/daytona/file; sync; sleep 1000 > /dev/null 2>&1 &"));
    }
    // One was stopped before, one is asked to go while the machine goes down.
    serving.ask("POST", &format!("/api/sandbox/{}/stop", ids[3]), &json!({})).unwrap();
    reboot(serving);

    let serving = Serving::launch(home.path());
    let items = at_rest(&serving);
    assert_eq!(items.len(), ids.len());
    for item in &items {
        assert_eq!(item.get("state").and_then(Value::as_str), Some("stopped"), "{item}");
        assert!(item.get("errorReason").is_none_or(Value::is_null), "{item}");
    }
    agree(home.path(), &items);
    for id in &ids[..3] {
        let (status, answer) = serving.ask("POST", &format!("/api/sandbox/{id}/start"), &json!({})).unwrap();
        assert_eq!(status, 200, "{answer}");
        assert_eq!(serving.execute(id, "cat /home/daytona/file"), *id);
        assert!(!serving.execute(id, "ps").contains("sleep 1000"));
    }
    // New ones get places that the old ones do not have.
    let new = serving.create();
    assert_eq!(serving.execute(&new, "echo new"), "new");
    agree(home.path(), &at_rest(&serving));
    serving.delete_all();
    serving.stop();
    settled(home.path(), &before);
}

/// Two reboots in a row, the second while sandboxes are being started again.
#[test]
fn a_reboot_in_the_middle_of_the_work_after_a_reboot_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let serving = Serving::start(home.path());
    let ids: Vec<String> = (0..3).map(|_| serving.create()).collect();
    for id in &ids {
        serving.execute(id, &format!("echo {id} > /home/daytona/file; sync"));
    }
    reboot(serving);
    let serving = Serving::launch(home.path());
    at_rest(&serving);
    let (host, key) = serving.address();
    std::thread::scope(|scope| {
        for id in &ids {
            let (host, key) = (&host, &key);
            // Cut off, or done.
            scope.spawn(move || {
                drop(crate::serving::ask(host, key, "POST", &format!("/api/sandbox/{id}/start"), &json!({})));
            });
        }
        std::thread::sleep(Duration::from_millis(25));
        reboot(serving);
    });
    let serving = Serving::launch(home.path());
    let items = at_rest(&serving);
    agree(home.path(), &items);
    for id in &ids {
        let (status, answer) = serving.ask("POST", &format!("/api/sandbox/{id}/start"), &json!({})).unwrap();
        assert_eq!(status, 200, "{answer}");
        assert_eq!(serving.execute(id, "cat /home/daytona/file"), *id);
    }
    serving.delete_all();
    serving.stop();
}

/// Does to this server's part of the machine what a reboot does to all of it.
fn reboot(serving: Serving) {
    let home = serving.crash();
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let host = census(&home);
        for process in &host.processes {
            let pid: i32 = process.split(' ').next().unwrap().parse().unwrap();
            if let Ok(Some(pidfd)) = linux::process::open(pid) {
                linux::process::kill(&pidfd).unwrap();
            }
        }
        if host.processes.is_empty() && host.links.is_empty() && host.loops.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "not gone: {host:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    for group in census(&home).groups {
        // Some end by themselves with their last process.
        match std::fs::remove_dir(group) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            Ok(()) | Err(_) => {}
        }
    }
    let instance = server::instance(&home.canonicalize().unwrap());
    for controller in std::fs::read_dir("/sys/fs/cgroup").unwrap() {
        let _ = std::fs::remove_dir(controller.unwrap().path().join(format!("daytona-{instance}")));
    }
    let table = runner::net::address::Names::of(&instance).table;
    let mut socket = linux::netlink::Socket::open(linux::netlink::Family::Netfilter).unwrap();
    let mut transaction = linux::nft::Transaction::of(linux::nft::Family::Inet, &table);
    transaction.delete_table();
    let _ = transaction.commit(&mut socket);
    // What lies in `/run`: of the host's directory only our own entry, since other servers run.
    let _ = std::fs::remove_file(format!("/run/daytona/servers/{instance}.json"));
    another_boot(&home);
}

/// Has the records name another boot. Process ids and start times of the last boot mean nothing now, and may by chance
/// be those of other processes: here they are those of this test.
fn another_boot(home: &Path) {
    let own = i32::try_from(std::process::id()).unwrap();
    for sandbox in std::fs::read_dir(home.join("sandboxes")).unwrap() {
        let path = sandbox.unwrap().path().join("sandbox.json");
        let mut record: BTreeMap<String, Value> =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        if let Some(process) = record.get_mut("process").and_then(Value::as_object_mut) {
            process.insert("boot_id".to_owned(), json!(1));
            process.insert("pid".to_owned(), json!(own));
            process.insert("start_time".to_owned(), json!(linux::process::start_time(own)));
        }
        std::fs::write(&path, json!(record).to_string()).unwrap();
    }
}

fn settled(home: &Path, before: &testkit::census::Census) {
    for _ in 0..600 {
        if census(home) == *before {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(census(home), *before);
}
