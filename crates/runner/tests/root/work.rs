//! What a sandbox is busy with.

use std::time::{Duration, Instant};

use types::work::{Work, WorkingProcess};

use crate::ground::{Ground, explain, order};

fn work(ground: &Ground, id: &str) -> Work {
    ground.host().work(id).map_err(explain).unwrap()
}

fn find<'a>(work: &'a Work, command: &str) -> Option<&'a WorkingProcess> {
    work.processes.iter().find(|process| process.command.contains(command))
}

#[test]
fn who_works_is_told_from_who_waits() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    assert_eq!(work(&ground, &spec.id), Work::default());
    ground.execute(&spec.id, "sleep 1000 > /dev/null 2>&1 &");
    let burn = "sh -c 'while :; do :; done # burns' > /dev/null 2>&1 &";
    ground.execute(&spec.id, burn);
    let time = |work: &Work, command: &str| {
        find(work, command).unwrap_or_else(|| panic!("{work:?}")).cpu_milliseconds
    };
    // Both are what they are to be: whoever burns does, and so the other sleeps, which began before.
    let seen_to_burn = |least| {
        let look = || {
            std::thread::sleep(Duration::from_millis(100));
            Some(work(&ground, &spec.id)).filter(|seen| time(seen, "burns") > least)
        };
        (0..600).find_map(|_| look()).expect("it burns")
    };
    let first = seen_to_burn(50);
    let second = seen_to_burn(time(&first, "burns") + 50);
    assert_eq!(time(&second, "sleep 1000"), time(&first, "sleep 1000"));
    // The id is the one inside, and the daemon is not among them.
    let pid = find(&second, "sleep 1000").unwrap().pid;
    assert_eq!(ground.execute(&spec.id, &format!("tr '\\0' ' ' < /proc/{pid}/cmdline")).1, "sleep 1000");
    assert!(second.processes.iter().all(|process| process.pid != 1), "{second:?}");

    // Held, nothing is at work.
    ground.host().pause(&spec.id).map_err(explain).unwrap();
    let held = work(&ground, &spec.id);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(work(&ground, &spec.id), held);
    let began = Instant::now();
    for _ in 0..100 {
        work(&ground, &spec.id);
    }
    println!("a look at {} processes takes {:?}", held.processes.len(), began.elapsed() / 100);
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    assert_eq!(work(&ground, &spec.id), Work::default());
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    assert_eq!(work(&ground, &spec.id), Work::default());
}

#[test]
fn command_lines_are_the_tenant_s_own_words_and_bounded() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    let long = "x".repeat(20_000);
    ground.execute(&spec.id, &format!("sh -c 'sleep 100; : {long}' > /dev/null 2>&1 &"));
    ground.execute(&spec.id, "sh -c 'sleep 101' \"$(printf 'a\\nb\\033[2J\\377')\" > /dev/null 2>&1 &");
    let seen = work(&ground, &spec.id);
    assert!(seen.processes.len() >= 2, "{seen:?}");
    for process in &seen.processes {
        assert!(process.command.len() <= 600, "{}", process.command.len());
        assert!(!process.command.contains(char::is_control), "{}", process.command);
    }
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}
