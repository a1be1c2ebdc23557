//! The daemon starts, says so, is init, and ends with everything that runs.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{TestDaemon, eventually, is_root, is_running, unique};

#[tokio::test]
async fn the_start_is_announced_either_way() {
    assert_eq!(TestDaemon::start().ready, format!("R{}", daemon::daemon::VERSION));
    let mut unknown = TestDaemon::start_with(|settings| settings.user = "nobody-of-that-name".into());
    assert!(unknown.ready.starts_with("Eunknown user `nobody-of-that-name`"), "{}", unknown.ready);
    assert_eq!(unknown.child.wait().expect("ended").code(), Some(1));
    let mut odd = TestDaemon::start_with(|settings| drop(settings.env.insert("A=B".into(), "x".into())));
    assert!(odd.ready.starts_with('E') && odd.ready.contains("`A=B`"), "{}", odd.ready);
    assert_eq!(odd.child.wait().expect("ended").code(), Some(1));
}

#[tokio::test]
async fn an_idle_daemon_is_small() {
    let daemon = TestDaemon::start();
    for _ in 0..20 {
        daemon.shell("true").await;
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).expect("status");
    let memory = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    println!("idle: {} KiB resident, of which {} KiB are its own", memory("VmRSS:"), memory("RssAnon:"));
    // The rest is the program file, which all sandboxes share; a debug build's is large.
    assert!(memory("RssAnon:") < 4 * 1024, "{status}");
}

#[tokio::test]
async fn the_end_is_soft_first_and_hard_at_last() {
    let mut daemon = TestDaemon::start_with(|settings| settings.grace_ms = 60_000);
    let polite = "setsid -f sh -c 'trap \"echo bye > ended; exit\" TERM; touch up; while :; do sleep 8161@@.1 & wait; done'";
    daemon.shell(&format!("{polite}; setsid -f sleep 8161@@.2")).await;
    let up = daemon.work().join("up");
    eventually("it is ready to be asked", || up.exists()).await;
    let started = Instant::now();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.child.wait().expect("ended").code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "nobody had to be waited for: {:?}",
        started.elapsed()
    );
    assert!(daemon.work().join("ended").exists(), "a process may tidy up");
    assert!(!is_running("sleep 8161@@."));

    let mut stubborn = TestDaemon::start_with(|settings| settings.grace_ms = 300);
    let deaf = "setsid -f sh -c 'trap \"\" TERM; touch up; while :; do sleep 8162@@.1; done'";
    stubborn.shell(&format!("{deaf}; sleep 8162@@.2 & kill -STOP $!")).await;
    let up = stubborn.work().join("up");
    eventually("it is deaf", || up.exists()).await;
    let started = Instant::now();
    stubborn.signal(Signal::TERM);
    assert_eq!(stubborn.child.wait().expect("ended").code(), Some(0));
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    eventually("the stubborn are gone", || !is_running("8162@@.1")).await;
}

#[tokio::test]
async fn as_the_first_process_it_is_init() {
    if !is_root() {
        println!("skipped: a process namespace needs root");
        return;
    }
    let wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let daemon = TestDaemon::start_under(&wrapper, |settings| settings.grace_ms = 2_000);
    assert_eq!(daemon.shell("echo $PPID; tr '\\0' ' ' < /proc/1/comm").await, "1\ndaytona-daemon");
    daemon.shell("for i in 1 2 3; do (setsid sh -c 'exit 3' &); done; sleep 0.3").await;
    assert_eq!(
        daemon.shell("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l").await,
        "0",
        "zombies"
    );
    let command = "setsid -f sleep 8163@@.1; (setsid sh -c 'sleep 8163@@.2 & exit' &); sleep 8163@@.3";
    daemon
        .post("/process/execute", json!({"command": command, "timeout": 1}))
        .await
        .error(408, "PROCESS_EXECUTION_TIMEOUT");
    eventually("all are gone", || !is_running("sleep 8163@@.")).await;
    assert_eq!(daemon.shell("kill -KILL 1; kill -INT 1; echo still here").await, "still here");
    // The one signal that it hears from inside ends the sandbox softly.
    daemon.shell("setsid -f sleep 8163@@.4; (sleep 2; kill -TERM 1) &").await;
    eventually("the sandbox has ended", || !is_running("8163@@.4")).await;
    let mut daemon = daemon;
    assert!(daemon.child.wait().is_ok());
}

#[tokio::test]
async fn the_entrypoint_runs_as_the_user_and_its_failure_is_no_obstacle() {
    let marker = format!("entry-{}", std::process::id());
    let script = unique(&format!("echo {marker} > entry; exec sleep 8164@@.1"));
    let daemon =
        TestDaemon::start_with(|settings| settings.entrypoint = vec!["sh".into(), "-c".into(), script]);
    eventually("it runs", || is_running("sleep 8164@@.1")).await;
    assert_eq!(daemon.shell("cat entry").await, marker);
    drop(daemon);
    assert!(!is_running("sleep 8164@@.1"));
    let daemon = TestDaemon::start_with(|settings| settings.entrypoint = vec!["/no/such/program".into()]);
    assert_eq!(daemon.shell("echo serves").await, "serves");
}

#[tokio::test]
async fn settings_may_come_through_a_descriptor() {
    let path = env!("CARGO_BIN_EXE_daytona-daemon");
    let output = std::process::Command::new(path).arg("fd:99").output().expect("run");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("99"), "{output:?}");
    for arguments in [&[][..], &["a", "b"]] {
        assert_eq!(
            std::process::Command::new(path).args(arguments).output().expect("run").status.code(),
            Some(2)
        );
    }
    let daemon =
        TestDaemon::start_under(&["sh", "-c", "exec 9<<EOF\n$1\nEOF\nexec \"$0\" fd:9"], |settings| {
            drop(settings.env.insert("LONG".into(), "x".repeat(50_000)));
        });
    assert!(daemon.ready.starts_with('R'), "{}", daemon.ready);
    assert_eq!(daemon.shell("echo ${#LONG}").await, "50000");
}
