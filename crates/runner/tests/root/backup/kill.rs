//! A server that is killed in the middle of a backup, a release or a restore.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use runner::backup::Saved;
use runner::host::Presence;
use runner::sandbox::spec::Spec;
use serde_json::{Value, json};

use super::staged;
use crate::ground::{self, Ground, explain};
use crate::objects::{Objects, furnished, tree};

/// Tells a child what to do.
const ORDER: &str = "DAYTONA_TEST_BACKUP_CHILD";

/// The server that is killed; alone it has nothing to do.
#[test]
#[expect(clippy::disallowed_methods, reason = "how the test speaks to the process that it kills")]
fn the_one_that_is_killed() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let order: Value = serde_json::from_str(&order).unwrap();
    let number = |name: &str| order[name].as_u64().unwrap().try_into().unwrap();
    let text = |name: &str| order[name].as_str().unwrap();
    let settings =
        ground::settings(Path::new(text("home")), number("process"), number("number").try_into().unwrap());
    let host = ground::open(&settings);
    let objects = Objects::at(Path::new(text("objects")));
    let spec: Spec = serde_json::from_value(order["spec"].clone()).unwrap();
    let key = text("key").parse().unwrap();
    loop {
        host.restore(&spec, &key, text("digest"), &objects.storage).map_err(explain).unwrap();
        // Of what was restored and not run since, each backup has the same content.
        let again = host.backup(&spec.id, objects.shelf(&spec), Some(&key), &objects.storage);
        assert_eq!(again.map_err(explain).unwrap().digest.len(), 64);
        host.release(&spec.id).map_err(explain).unwrap();
    }
}

#[test]
fn a_server_that_is_killed_anywhere_loses_nothing() {
    let (mut ground, objects) = (Ground::new(), Objects::new());
    let (spec, files) = furnished(&ground);
    let saved = objects.archive(&ground, &spec);
    let mut found = [0, 0];
    for round in 0..12_u64 {
        ground = ground.reopen_after(|ground| kill_one(ground, &objects, &spec, &saved, round));
        // What is there is whole; what is not comes back.
        let presence = ground.host().observe(&spec.id).unwrap().presence;
        assert!(matches!(presence, Presence::Absent | Presence::Stopped), "{presence:?}");
        found[usize::from(presence == Presence::Stopped)] += 1;
        assert_eq!(staged(&ground), [""; 0]);
        assert_eq!(ground.host().warnings(), [""; 0]);
        // A storage that is opened anew has no halves: the one that was there and at most one more.
        let objects = Objects::at(&objects.home);
        assert!((1..=2).contains(&objects.files()), "{} objects", objects.files());
        objects.restore(&ground, &spec, &saved).map_err(explain).unwrap();
        ground.host().start(&spec.id).map_err(explain).unwrap();
        assert_eq!(tree(&ground, &spec.id), files, "in round {round}");
        ground.host().stop(&spec.id, true).map_err(explain).unwrap();
        ground.host().release(&spec.id).map_err(explain).unwrap();
    }
    println!("killed 12 servers: {} times the sandbox was away, {} times it was here", found[0], found[1]);
    ground.host().discard(&spec.id, objects.shelf(&spec), &objects.storage).map_err(explain).unwrap();
    assert_eq!(objects.files(), 0);
}

/// Starts a server that archives and restores, and kills it after a while that depends on the round.
fn kill_one(ground: &Ground, objects: &Objects, spec: &Spec, saved: &Saved, round: u64) {
    let order = json!({
        "home": ground.home.path(),
        "process": std::process::id(),
        "number": ground.number,
        "objects": objects.home,
        "spec": spec,
        "key": saved.object.to_string(),
        "digest": saved.digest,
    });
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "backup::kill::the_one_that_is_killed", "--nocapture"])
        .env(ORDER, order.to_string())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Until it is at work: it has begun a directory, or made an object.
    for _ in 0..400 {
        if !staged(ground).is_empty() || objects.files() > 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(round * 17 % 90));
    assert!(child.try_wait().unwrap().is_none(), "the server ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
}
