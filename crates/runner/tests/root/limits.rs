//! Attacks from inside, as root: what is limited stays limited, the neighbour goes on, the attacked sandbox recovers and
//! says what it ran into. How long the neighbour's commands take is printed, not judged: machines differ.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use types::inspection::{Cause, Condition};

use crate::ground::{Ground, explain, order};
use crate::life::settled;

/// Runs a command and returns the status and the whole answer.
fn ask(ground: &Ground, id: &str, command: &str, timeout_s: u32) -> (u16, Value) {
    let stream = UnixStream::connect(ground.host().socket(id)).unwrap();
    let body = json!({ "command": command, "timeout": timeout_s });
    testkit::request::request(stream, "POST", "/process/execute", "", &body).unwrap()
}

fn answer(ground: &Ground, id: &str, command: &str) -> Value {
    let (status, answer) = ask(ground, id, command, 60);
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Checks that an answer tells the cause, what was found and what helps.
fn assert_cause(answer: &Value, cause: Cause) {
    assert_ne!(answer["exitCode"], 0, "{answer}");
    assert_eq!(answer["cause"], cause.as_str(), "{answer}");
    for field in ["evidence", "remedy"] {
        assert!(answer[field].as_str().is_some_and(|text| text.len() > 10), "{field}: {answer}");
    }
}

fn condition(ground: &Ground, id: &str, cause: Cause) -> Option<Condition> {
    let conditions = ground.host().conditions(id).map_err(explain).unwrap();
    conditions.into_iter().find(|condition| condition.cause == cause)
}

/// How long each of some trivial commands took.
fn times(ground: &Ground, id: &str, mut go_on: impl FnMut(usize) -> bool) -> Vec<Duration> {
    let mut times = Vec::new();
    while go_on(times.len()) {
        let start = Instant::now();
        assert_eq!(ground.execute(id, "echo here"), (0, "here".to_owned()));
        times.push(start.elapsed());
    }
    times.sort();
    times
}

fn told(times: &[Duration]) -> String {
    let at = |part: usize| times.get(times.len() * part / 100).or(times.last()).copied().unwrap_or_default();
    format!("p50 {:.1?} p95 {:.1?} max {:.1?} of {}", at(50), at(95), at(100), times.len())
}

/// Whether something comes true in a minute of trying: the kernel takes a process out of the count a moment after its end.
fn persist(mut try_it: impl FnMut() -> bool) -> bool {
    (0..1200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        try_it()
    })
}

/// Runs an attack in one sandbox while another works; both work afterwards, and nothing is left on the host.
#[expect(clippy::print_stdout, reason = "measurements are for whoever runs the test")]
fn under_attack(name: &str, attack: impl FnOnce(&Ground, &str) + Send) {
    let ground = Ground::new();
    let before = ground.census();
    let (attacked, neighbour) = (order(), order());
    for spec in [&attacked, &neighbour] {
        ground.host().create(spec).map_err(explain).unwrap();
    }
    let quiet = times(&ground, &neighbour.id, |done| done < 30);
    let during = std::thread::scope(|scope| {
        let under_way = scope.spawn(|| attack(&ground, &attacked.id));
        let during = times(&ground, &neighbour.id, |_| !under_way.is_finished());
        under_way.join().unwrap();
        during
    });
    println!("{name}: a neighbour's command: quiet {}; during {}", told(&quiet), told(&during));
    assert_eq!(ground.execute(&attacked.id, "echo back"), (0, "back".to_owned()));
    for spec in [&attacked, &neighbour] {
        ground.host().destroy(&spec.id).map_err(explain).unwrap();
    }
    settled(&ground, &before);
}

#[test]
fn a_memory_hog_is_killed_and_the_cause_is_told() {
    under_attack("memory hog", |ground, id| {
        assert!(condition(ground, id, Cause::OutOfMemory).is_none());
        for round in 1..=5 {
            let answer = answer(ground, id, "dd if=/dev/zero of=/dev/null bs=400M count=1");
            assert_cause(&answer, Cause::OutOfMemory);
            assert!(answer["evidence"].as_str().unwrap().contains("256 MiB"), "{answer}");
            let found = condition(ground, id, Cause::OutOfMemory).unwrap();
            assert!(found.count >= round, "{found:?}");
            assert!(found.evidence.contains("256 MiB") && found.remedy.contains("resize"), "{found:?}");
        }
        // Nobody inside can hide behind the host's processes when its memory runs out.
        let (code, said) =
            ground.execute(id, "echo 0 > /proc/self/oom_score_adj && echo -1 > /proc/self/oom_score_adj");
        assert!(code != 0 && said.contains("ermission denied"), "{said}");
        // A command that fails for a reason of its own is not blamed on the earlier ones.
        let answer = answer(ground, id, "exit 3");
        assert_eq!((&answer["exitCode"], &answer["cause"]), (&json!(3), &Value::Null));
    });
}

#[test]
fn shared_memory_is_limited_and_counts_as_memory() {
    under_attack("shared memory hog", |ground, id| {
        let answer = answer(ground, id, "dd if=/dev/zero of=/dev/shm/big bs=1M count=1000");
        assert_ne!(answer["exitCode"], 0);
        assert!(answer["result"].as_str().unwrap().contains("No space left"), "{answer}");
        assert_eq!(ground.execute(id, "rm /dev/shm/big"), (0, String::new()));
    });
}

#[test]
fn a_fork_bomb_stays_in_its_sandbox_and_the_cause_is_told() {
    under_attack("fork bomb", |ground, id| {
        // The shell itself fails to fork and says so.
        let fill = "for i in $(seq 200); do sleep 100 & done; wait";
        assert_cause(&answer(ground, id, fill), Cause::ProcessLimit);
        assert!(condition(ground, id, Cause::ProcessLimit).unwrap().count > 0);
        // The place of that shell is free again, and may not be the only one: when they are taken, not even a command can be
        // started.
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        ask(ground, id, "exec sleep 100", 3);
                    }
                });
            }
            let refused = persist(|| {
                let (status, answer) = ask(ground, id, "echo through", 5);
                let refused = status == 200 && answer["exitCode"] == -1;
                if refused {
                    assert_cause(&answer, Cause::ProcessLimit);
                }
                refused
            });
            is_over.store(true, Ordering::Relaxed);
            assert!(refused, "a command is refused where there is no place for it");
        });
        let killed = persist(|| ground.execute(id, "kill -9 -1") == (0, String::new()));
        assert!(killed, "the place of the command that was ended at its deadline is free again");
        // One that goes on until its deadline: its first shell forks no more and cannot give up.
        let bomb = "bomb() { bomb | bomb & wait; }; while :; do bomb; done & exec sleep 100";
        let (status, answer) = ask(ground, id, bomb, 5);
        assert_eq!(status, 408, "{answer}");
        // Three in a row: what the bomb left is gone, not only one place of it.
        let back = persist(|| (0..3).all(|_| ask(ground, id, "echo back", 5).1["exitCode"] == 0));
        assert!(back, "the sandbox works again");
    });
}

#[test]
fn a_bomb_that_nobody_stops_ends_with_its_sandbox() {
    let ground = Ground::new();
    let before = ground.census();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    ask(&ground, &spec.id, "bomb() { bomb | bomb & }; bomb", 5);
    ground.host().stop(&spec.id, false).map_err(explain).unwrap();
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(ground.execute(&spec.id, "echo back"), (0, "back".to_owned()));
    ask(&ground, &spec.id, "bomb() { bomb | bomb & }; bomb", 5);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    settled(&ground, &before);
}

#[test]
fn a_full_disk_is_full_alone_and_the_cause_is_told() {
    under_attack("disk filler", |ground, id| {
        let answer = answer(ground, id, "dd if=/dev/zero of=/big bs=1M count=2000");
        assert_cause(&answer, Cause::DiskFull);
        assert!(condition(ground, id, Cause::DiskFull).unwrap().remedy.contains("disk"));
        assert_eq!(ground.execute(id, "rm /big"), (0, String::new()));
        assert_eq!(condition(ground, id, Cause::DiskFull), None);
    });
}

#[test]
fn a_disk_full_of_files_is_full_alone_and_the_cause_is_told() {
    under_attack("inode filler", |ground, id| {
        let fill = "mkdir /many; cd /many; seq 70000 | xargs touch";
        let answer = answer(ground, id, fill);
        assert_cause(&answer, Cause::InodesFull);
        let found = condition(ground, id, Cause::InodesFull).unwrap();
        assert!(found.evidence.contains("65536"), "{found:?}");
        assert_eq!(ground.execute(id, "rm -rf /many"), (0, String::new()));
        assert_eq!(condition(ground, id, Cause::InodesFull), None);
    });
}

#[test]
fn a_flood_of_output_is_cut_and_costs_the_daemon_no_more_than_it_keeps() {
    under_attack("log flood", |ground, id| {
        // Each answer keeps 16 MiB, and all of them together 64: four floods at once are as much as is kept.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let (status, answer) = ask(ground, id, "yes 0123456789abcdef | head -c 200000000", 100);
                    assert_eq!((status, &answer["exitCode"]), (200, &json!(0)), "{}", answer["message"]);
                    let said = answer["result"].as_str().unwrap();
                    assert!(said.len() < 17 << 20 && said.contains("bytes omitted"), "{} bytes", said.len());
                });
            }
        });
        assert_eq!(condition(ground, id, Cause::OutOfMemory), None);
    });
}

#[test]
fn a_thousand_connections_to_the_daemon_leave_room_for_one_more() {
    under_attack("connections", |ground, id| {
        let socket = ground.host().socket(id);
        let open: Vec<UnixStream> = (0..1000).map(|_| UnixStream::connect(&socket).unwrap()).collect();
        assert_eq!(ground.execute(id, "echo still here"), (0, "still here".to_owned()));
        drop(open);
    });
}

#[test]
fn why_the_first_process_ended_is_told() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    let answer = answer(&ground, &spec.id, "dd if=/dev/zero of=/dev/null bs=400M count=1");
    assert_cause(&answer, Cause::OutOfMemory);
    let pidfd = ground.host().process(&spec.id).unwrap();
    linux::process::kill(&pidfd).unwrap();
    assert!(linux::process::wait(&pidfd, 60_000).unwrap());
    let ended = ground.host().observe(&spec.id).unwrap().ended.unwrap();
    for part in ["signal 9", "lack of memory", "256 MiB", "resize", "start the sandbox"] {
        // Kernels before 6.15 do not tell the signal.
        assert!(
            ended.contains(part) || part == "signal 9" && linux::process::ending(&pidfd).is_none(),
            "{part}: {ended}"
        );
    }
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(ground.host().observe(&spec.id).unwrap().ended, None);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}
