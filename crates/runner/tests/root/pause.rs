//! Sandboxes that are held for as long as somebody likes.

use std::time::Duration;

use runner::error::{Class, RunnerError};
use runner::host::Presence;

use crate::ground::{Ground, explain, order};
use crate::life::settled;

/// Counts in a file as fast as it may, and holds memory.
const BUSY: &str = "(x=remembered; i=0; while :; do i=$((i+1)); echo $i $x > /tmp/count; done) > /dev/null 2>&1 & \
                    while [ ! -s /tmp/count ]; do sleep 0.1; done; echo up";

/// Returns the processor time that all processes of the sandbox have had so far, in nanoseconds, as its control group
/// counted it.
pub(crate) fn processor_time(ground: &Ground) -> u64 {
    let groups = ground.census().groups;
    let texts = |file: &'static str| {
        groups.iter().filter_map(move |group| std::fs::read_to_string(format!("{group}/{file}")).ok())
    };
    if let Some(used) = texts("cpuacct.usage").next() {
        return used.trim().parse().unwrap();
    }
    let find =
        |text: String| text.lines().find_map(|line| Some(line.strip_prefix("usage_usec ")?.to_owned()));
    if let Some(microseconds) = texts("cpu.stat").find_map(find) {
        return microseconds.parse::<u64>().unwrap() * 1000;
    }
    // No group counts: the threads do.
    let pids = texts("cgroup.procs").next().unwrap();
    let threads = pids.lines().flat_map(|pid| std::fs::read_dir(format!("/proc/{pid}/task")).unwrap());
    let times = threads.map(|thread| {
        let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    times.sum()
}

#[test]
fn a_paused_sandbox_keeps_all_and_uses_no_processor_time() {
    let ground = Ground::new();
    let before = ground.census();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    assert_eq!(ground.execute(&spec.id, BUSY).1, "up");
    ground.host().pause(&spec.id).map_err(explain).unwrap();
    ground.host().pause(&spec.id).map_err(explain).unwrap();
    assert_eq!(ground.host().observe(&spec.id).unwrap().presence, Presence::Paused);
    let used = processor_time(&ground);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(processor_time(&ground), used, "it used processor time");

    // The group is the truth, whoever looks at it.
    let ground = ground.reopen();
    assert_eq!(ground.host().observe(&spec.id).unwrap().presence, Presence::Paused);
    assert_eq!(processor_time(&ground), used);
    ground.host().resume(&spec.id).map_err(explain).unwrap();
    ground.host().resume(&spec.id).map_err(explain).unwrap();
    assert_eq!(ground.host().observe(&spec.id).unwrap().presence, Presence::Started);
    let counted = || {
        let said = ground.execute(&spec.id, "cat /tmp/count").1;
        said.strip_suffix(" remembered").and_then(|number| number.parse::<u64>().ok())
    };
    let first = (0..50).find_map(|_| counted()).expect("the count goes on");
    let goes_on = (0..200).any(|_| counted().is_some_and(|number| number > first));
    assert!(goes_on, "the count stands still at {first}");
    assert!(processor_time(&ground) > used);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    settled(&ground, &before);
}

#[test]
fn connections_survive_a_pause() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    // One listens once and writes down what it hears; the other says something ten times a second.
    let talk = "sleep 1000 2>&1 | nc -l -p 7000 > /tmp/heard 2>&1 & \
                until grep -q ' 00000000:0000 0A ' /proc/net/tcp || grep -q ':0000 0A ' /proc/net/tcp6; do sleep 0.1; done; \
                (while :; do echo word; sleep 0.1; done) 2>&1 | nc 127.0.0.1 7000 > /dev/null 2>&1 & \
                while [ ! -s /tmp/heard ]; do sleep 0.1; done; wc -l < /tmp/heard";
    let heard = |said: String| said.parse::<u64>().unwrap_or_else(|_| panic!("{said}"));
    let before = heard(ground.execute(&spec.id, talk).1);
    let ports = "cat /proc/net/tcp /proc/net/tcp6 | grep ' 01 ' | awk '{print $2, $3}' | sort";
    let ends = ground.execute(&spec.id, ports).1;
    assert_eq!(ends.lines().count(), 2, "{ends}");
    ground.host().pause(&spec.id).map_err(explain).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    ground.host().resume(&spec.id).map_err(explain).unwrap();
    let more = format!(
        "for i in $(seq 300); do [ $(wc -l < /tmp/heard) -gt {before} ] && break; sleep 0.1; done; wc -l < /tmp/heard"
    );
    let after = heard(ground.execute(&spec.id, &more).1);
    assert!(after > before, "{after} lines after {before}");
    assert_eq!(ground.execute(&spec.id, ports).1, ends, "another connection");
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn a_request_that_waits_is_answered_after_the_resume() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    ground.host().pause(&spec.id).map_err(explain).unwrap();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| ground.execute(&spec.id, "echo awake"));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!asked.is_finished(), "somebody answered");
        ground.host().resume(&spec.id).map_err(explain).unwrap();
        assert_eq!(asked.join().unwrap(), (0, "awake".to_owned()));
    });
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn a_paused_sandbox_can_be_stopped_and_removed() {
    // Whoever is asked to end has the time for it on a busy machine, too; nobody here makes use of all of it.
    let ground = Ground::new().with_grace(60_000);
    let before = ground.census();
    let spec = order();
    for force in [false, true] {
        ground.host().create(&spec).map_err(explain).unwrap();
        // Who is asked to end may do something before.
        let trap = "rm -f /root/up; (trap 'echo ended > /root/ended; exit' TERM; touch /root/up; while :; do sleep 0.1; done) \
                    > /dev/null 2>&1 & until [ -e /root/up ]; do sleep 0.1; done";
        ground.execute(&spec.id, trap);
        ground.execute(&spec.id, "rm -f /root/ended");
        ground.host().pause(&spec.id).map_err(explain).unwrap();
        ground.host().stop(&spec.id, force).map_err(explain).unwrap();
        assert_eq!(ground.host().observe(&spec.id).unwrap().presence, Presence::Stopped);
        ground.host().start(&spec.id).map_err(explain).unwrap();
        assert_eq!(ground.host().observe(&spec.id).unwrap().presence, Presence::Started);
        let expected = if force { (1, String::new()) } else { (0, "ended".to_owned()) };
        assert_eq!(ground.execute(&spec.id, "cat /root/ended 2> /dev/null"), expected);
    }
    ground.host().pause(&spec.id).map_err(explain).unwrap();
    // A start that is asked for makes it run.
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(ground.execute(&spec.id, "echo runs").1, "runs");
    ground.host().pause(&spec.id).map_err(explain).unwrap();
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    settled(&ground, &before);
}

#[test]
fn a_paused_sandbox_that_is_killed_has_ended() {
    let ground = Ground::new();
    let before = ground.census();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    ground.execute(&spec.id, "sleep 1000 > /dev/null 2>&1 &");
    ground.host().pause(&spec.id).map_err(explain).unwrap();
    let pidfd = ground.host().process(&spec.id).unwrap();
    linux::process::kill(&pidfd).unwrap();
    if !linux::process::wait(&pidfd, 1000).unwrap() {
        println!("this host has version 1 groups alone, where who is held dies when it is let go");
    }
    let seen = ground.host().observe(&spec.id).unwrap();
    assert_eq!(seen.presence, Presence::Stopped);
    assert!(seen.ended.is_some());
    for refused in [ground.host().pause(&spec.id), ground.host().resume(&spec.id)] {
        assert!(matches!(refused, Err(RunnerError::NotRunning { .. })), "{refused:?}");
    }
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(ground.execute(&spec.id, "echo again").1, "again");
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    settled(&ground, &before);
    assert_eq!(ground.host().pause(&spec.id).unwrap_err().class(), Class::Gone);
}
