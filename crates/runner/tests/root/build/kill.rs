//! A server that is killed in the middle of a build.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use runner::build::Cancel;
use serde_json::{Value, json};

use super::{Files, Lines, build, build_order, inside};
use crate::ground::{self, Ground};
use crate::life::settled;

/// Tells a child what to do.
const ORDER: &str = "DAYTONA_TEST_BUILD_CHILD";
const TEXT: &str =
    "FROM tiny\nRUN echo 1 > /1\nWORKDIR /w\nCOPY a b\nRUN echo 2 > /2; sleep 0.05\nRUN cat b /1 /2 > /all\n";

fn files(content: &str) -> Files {
    Files::default().with("h", &[("a", content)])
}

/// The server that is killed; alone it has nothing to do.
#[test]
#[expect(clippy::disallowed_methods, reason = "how the test speaks to the process that it kills")]
fn the_one_that_is_killed() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let order: Value = serde_json::from_str(&order).unwrap();
    let number = |name: &str| order[name].as_u64().unwrap().try_into().unwrap();
    let home = Path::new(order["home"].as_str().unwrap());
    let settings = ground::settings(home, number("process"), number("number").try_into().unwrap());
    let host = ground::open(&settings);
    for content in 0.. {
        let files = files(&format!("{content} {}", order["round"]));
        let built = host.build(&build_order(TEXT, &files), &files, &Lines::default(), &Cancel::default());
        built.unwrap();
    }
}

/// Lists what a host may have of builds only while they run.
fn left(ground: &Ground) -> Vec<String> {
    // It is the host's, and goes with it.
    let Ok(names) = std::fs::read_dir(ground.home.path().join("pool")) else { return Vec::new() };
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("step-") || name.starts_with("context-")).collect()
}

#[test]
fn a_server_that_is_killed_anywhere_leaves_nothing() {
    let mut ground = Ground::new();
    let before = ground.census();
    for round in 0..8_u64 {
        ground = ground.reopen_after(|ground| kill_one(ground, round));
        assert_eq!(left(&ground), [""; 0], "in round {round}");
        assert_eq!(ground.host().warnings(), [""; 0]);
        assert_eq!(ground.host().ids(), [""; 0]);
        settled(&ground, &before);
        let (built, _) = build(&ground, TEXT, &files("x"));
        assert_eq!(inside(&ground, &built, "cat /all"), "x1\n2", "in round {round}");
    }
}

/// Starts a server that builds, and kills it after a while that depends on the round.
fn kill_one(ground: &Ground, round: u64) {
    let order = json!({
        "home": ground.home.path(),
        "process": std::process::id(),
        "number": ground.number,
        "round": round,
    });
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "build::kill::the_one_that_is_killed", "--nocapture"])
        .env(ORDER, order.to_string())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Until it is at work.
    for _ in 0..4000 {
        if !left(ground).is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(round * 61 % 400));
    assert!(child.try_wait().unwrap().is_none(), "the server ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
}
