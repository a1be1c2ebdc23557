//! A first process that ends: asked to, by its own code, or by force; seen, or while no server looks.

use runner::host::{Look, Presence};
use serde_json::Value;

use crate::ground::{Ground, explain, order};
use crate::life::settled;

fn look(ground: &Ground, id: &str) -> Look {
    ground.host().observe(id).map_err(explain).unwrap()
}

/// Waits until the first process has ended.
fn ended(ground: &Ground, id: &str) {
    if let Some(pidfd) = ground.host().process(id) {
        assert!(linux::process::wait(&pidfd, 20_000).unwrap(), "it runs on");
    }
}

/// Changes the record of a sandbox as it lies on the disk.
fn edit_record(ground: &Ground, id: &str, edit: impl FnOnce(&mut Value)) {
    let path = ground.home.path().join("sandboxes").join(id).join("sandbox.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    edit(&mut record);
    std::fs::write(path, record.to_string()).unwrap();
}

#[test]
fn code_that_ends_its_daemon_gets_a_cause_and_a_restart_and_nobody_else_notices() {
    let ground = Ground::new();
    let before = ground.census();
    let (one, other) = (order(), order());
    for spec in [&one, &other] {
        ground.host().create(spec).map_err(explain).unwrap();
    }
    ground.execute(&one.id, "echo kept > /root/file");
    // Three times: it can be started as often as it ends.
    for _ in 0..3 {
        let pidfd = ground.host().process(&one.id).unwrap();
        // The answer may or may not come before the end.
        let _ = ground.try_execute(&one.id, "kill -TERM 1; sleep 5");
        assert!(linux::process::wait(&pidfd, 20_000).unwrap());
        let seen = look(&ground, &one.id);
        assert_eq!(seen.presence, Presence::Stopped);
        let reason = seen.ended.unwrap();
        assert!(!reason.is_empty());
        // Looking again tells the same, also after a restart of the server.
        assert_eq!(look(&ground, &one.id).ended, Some(reason));
        assert_eq!(ground.execute(&other.id, "echo alive"), (0, "alive".to_owned()));
        ground.host().start(&one.id).map_err(explain).unwrap();
        assert_eq!(look(&ground, &one.id), Look { presence: Presence::Started, ended: None });
        assert_eq!(ground.execute(&one.id, "cat /root/file"), (0, "kept".to_owned()));
    }
    for spec in [&one, &other] {
        ground.host().destroy(&spec.id).map_err(explain).unwrap();
    }
    settled(&ground, &before);
}

#[test]
fn a_stop_that_was_asked_for_has_no_cause() {
    let ground = Ground::new();
    for force in [false, true] {
        let spec = order();
        ground.host().create(&spec).map_err(explain).unwrap();
        ground.host().stop(&spec.id, force).map_err(explain).unwrap();
        assert_eq!(look(&ground, &spec.id), Look { presence: Presence::Stopped, ended: None });
        ground.host().destroy(&spec.id).map_err(explain).unwrap();
    }
}

#[test]
fn one_that_ended_while_no_server_was_there_is_known_by_its_boot() {
    let mut ground = Ground::new();
    let (crashed, rebooted) = (order(), order());
    for spec in [&crashed, &rebooted] {
        ground.host().create(spec).map_err(explain).unwrap();
    }
    let held: Vec<_> =
        [&crashed, &rebooted].map(|spec| ground.host().process(&spec.id).unwrap()).into_iter().collect();
    ground = ground.reopen_after(|ground| {
        for pidfd in &held {
            linux::process::kill(pidfd).unwrap();
            assert!(linux::process::wait(pidfd, 20_000).unwrap());
        }
        // As if the machine had been started since.
        edit_record(ground, &rebooted.id, |record| {
            let boot = record["process"]["boot_id"].as_u64().unwrap();
            record["process"]["boot_id"] = Value::from(boot ^ 1);
        });
    });
    let seen = look(&ground, &crashed.id);
    // How it ended is told where the kernel still knows.
    assert!(seen.ended.is_some_and(|reason| reason.contains("ended") || reason.contains("killed")));
    assert_eq!(look(&ground, &rebooted.id), Look { presence: Presence::Stopped, ended: None });
    // The cause outlives another restart.
    let ground = ground.reopen();
    assert!(look(&ground, &crashed.id).ended.is_some());
    for spec in [&crashed, &rebooted] {
        ended(&ground, &spec.id);
        ground.host().start(&spec.id).map_err(explain).unwrap();
        assert_eq!(look(&ground, &spec.id), Look { presence: Presence::Started, ended: None });
    }
}
