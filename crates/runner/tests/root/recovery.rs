//! A host that is opened again knows what runs, and removes what was never finished.

use runner::host::Presence;

use crate::ground::{Ground, explain, order};
use crate::life::settled;

#[test]
fn running_sandboxes_outlive_the_host_process_and_are_found_again() {
    let ground = Ground::new();
    let before = ground.census();
    let (runs, stopped) = (order(), order());
    for spec in [&runs, &stopped] {
        ground.host().create(spec).map_err(explain).unwrap();
    }
    ground.execute(&runs.id, "echo $$ > /tmp/before; sleep 1000 > /dev/null 2>&1 &");
    ground.host().stop(&stopped.id, true).map_err(explain).unwrap();

    let ground = ground.reopen();
    assert_eq!(ground.host().observe(&runs.id).unwrap().presence, Presence::Started);
    assert_eq!(ground.host().observe(&stopped.id).unwrap().presence, Presence::Stopped);
    assert!(ground.execute(&runs.id, "ps").1.contains("sleep 1000"));
    ground.host().start(&stopped.id).map_err(explain).unwrap();
    assert_eq!(ground.execute(&stopped.id, "echo up"), (0, "up".to_owned()));
    // A new sandbox must not get the place of one that was found.
    let third = order();
    ground.host().create(&third).map_err(explain).unwrap();
    assert_eq!(ground.execute(&third.id, "echo up"), (0, "up".to_owned()));
    for id in [&runs.id, &stopped.id, &third.id] {
        ground.host().destroy(id).map_err(explain).unwrap();
    }
    settled(&ground, &before);
}

#[test]
fn a_half_made_sandbox_is_removed_at_the_next_start() {
    let ground = Ground::new();
    let before = ground.census();
    let id = order().id;
    let directory = ground.home.path().join("sandboxes").join(&id);
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("disk.ext4"), "half").unwrap();
    let ground = ground.reopen();
    assert_eq!(ground.host().observe(&id).unwrap().presence, Presence::Absent);
    settled(&ground, &before);
}

#[test]
fn a_sandbox_whose_first_process_was_killed_is_stopped_and_can_be_started() {
    let ground = Ground::new();
    let before = ground.census();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    let pidfd = ground.host().process(&spec.id).unwrap();
    linux::process::kill(&pidfd).unwrap();
    assert!(linux::process::wait(&pidfd, 5000).unwrap());
    assert_eq!(ground.host().observe(&spec.id).unwrap().presence, Presence::Stopped);
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(ground.execute(&spec.id, "echo again"), (0, "again".to_owned()));
    ground.host().destroy(&spec.id).unwrap();
    settled(&ground, &before);
}

#[test]
fn a_start_that_was_never_recorded_is_ended_at_the_next_opening() {
    let ground = Ground::new();
    let before = ground.census();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    // As when the server dies between the daemon's answer and the record: it runs, and the record says it does not.
    let path = ground.home.path().join("sandboxes").join(&spec.id).join("sandbox.json");
    let mut record: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    record["process"] = serde_json::Value::Null;
    std::fs::write(&path, record.to_string()).unwrap();
    let ground = ground.reopen();
    assert_eq!(ground.host().observe(&spec.id).unwrap().presence, Presence::Stopped);
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(ground.execute(&spec.id, "echo alone"), (0, "alone".to_owned()));
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    settled(&ground, &before);
}
