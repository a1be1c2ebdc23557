//! The life of a sandbox, and what is left of it.

use runner::host::Presence;

use crate::ground::{Ground, explain, order};

#[test]
fn a_sandbox_runs_commands_keeps_files_over_a_stop_and_leaves_nothing() {
    let ground = Ground::new();
    let before = ground.census();
    let spec = order();
    let id = spec.id.clone();
    assert_eq!(ground.host().observe(&id).unwrap().presence, Presence::Absent);
    ground.host().create(&spec).map_err(explain).unwrap();
    assert_eq!(ground.host().observe(&id).unwrap().presence, Presence::Started);
    assert!(!ground.census().processes.is_empty(), "the census does not see a running sandbox");
    assert_eq!(ground.execute(&id, "echo $GREETING $DAYTONA_SANDBOX_ID"), (0, format!("hello {id}")));
    assert_eq!(ground.execute(&id, "hostname"), (0, id.clone()));
    ground.execute(&id, "echo kept > /root/file; sleep 1000 > /dev/null 2>&1 & sleep 0.1");
    assert!(ground.execute(&id, "ps").1.contains("sleep 1000"));

    ground.host().stop(&id, false).map_err(explain).unwrap();
    assert_eq!(ground.host().observe(&id).unwrap().presence, Presence::Stopped);
    ground.host().start(&id).map_err(explain).unwrap();
    assert_eq!(ground.execute(&id, "cat /root/file"), (0, "kept".to_owned()));
    assert!(!ground.execute(&id, "ps").1.contains("sleep 1000"));

    ground.host().destroy(&id).map_err(explain).unwrap();
    assert_eq!(ground.host().observe(&id).unwrap().presence, Presence::Absent);
    ground.host().destroy(&id).map_err(explain).unwrap();
    settled(&ground, &before);
}

#[test]
fn creating_twice_gives_one_sandbox() {
    let ground = Ground::new();
    let spec = order();
    let first = ground.host().create(&spec).map_err(explain).unwrap();
    assert_eq!(ground.host().create(&spec).map_err(explain).unwrap(), first);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn limits_hold() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    // 300 MiB of memory in 256: the kernel ends the command, not the sandbox.
    let (code, _) = ground.execute(&spec.id, "dd if=/dev/zero of=/dev/null bs=300M count=1");
    assert_ne!(code, 0);
    let (code, said) = ground.execute(&spec.id, "dd if=/dev/zero of=/big bs=1M count=2000");
    assert_ne!(code, 0);
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(ground.execute(&spec.id, "rm /big && echo gone"), (0, "gone".to_owned()));
    // 64 processes and threads: more do not start, and the sandbox goes on afterwards.
    let (_, said) = ground.execute(&spec.id, "for i in $(seq 200); do sleep 3 & done; wait");
    assert!(said.contains("can't fork") || said.contains("Resource temporarily unavailable"), "{said}");
    // When they have ended; until then a command may find no place.
    let pause = || std::thread::sleep(std::time::Duration::from_millis(200));
    let is_back = || ground.execute(&spec.id, "echo here") == (0, "here".to_owned());
    assert!((0..300).any(|_| {
        pause();
        is_back()
    }));
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn root_inside_has_no_power_over_the_host() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    assert_eq!(ground.execute(&spec.id, "id -u"), (0, "0".to_owned()));
    for command in [
        "mount -t tmpfs none /tmp",
        "echo 1 > /proc/sys/kernel/panic",
        "unshare -U true",
        "unshare -m true",
        "cat /proc/1/environ",
        "cat /proc/1/fd/3 || cat /proc/1/exe || ls /proc/1/cwd/",
        "kill -9 1; sleep 0.2; test ! -d /proc/1",
        "echo x > /proc/1/exe",
        "ip link add dummy0 type dummy",
        "ip link set eth0 down",
        "hostname other",
    ] {
        let (code, said) = ground.execute(&spec.id, command);
        assert_ne!(code, 0, "{command}: {said}");
    }
    let (_, map) = ground.execute(&spec.id, "cat /proc/self/uid_map");
    assert!(
        map.split_whitespace().nth(1).is_some_and(|base| base.parse::<u64>().unwrap() >= 3_500_000_000),
        "{map}"
    );
    assert_eq!(
        ground.execute(&spec.id, "cat /proc/kcore /proc/keys /proc/kmsg 2>/dev/null | head -c 1").1,
        ""
    );
    the_machine_is_hidden(&ground, &spec.id);
    // Nothing but its own standard streams is open in a command, and the daemon's working directory is inside.
    assert_eq!(ground.execute(&spec.id, "ls /proc/self/fd | echo $(cat)").1, "0 1 2 3");
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

/// Neither where the host keeps its files nor what machine it is can be read inside.
fn the_machine_is_hidden(ground: &Ground, id: &str) {
    for paths in [
        "/sys/block/*/loop/backing_file",
        "/sys/class/block/*/loop/backing_file",
        "/sys/devices/virtual/block/*/loop/backing_file",
        "/sys/class/dmi/*/*",
        "/sys/devices/virtual/dmi/*/*",
    ] {
        let (_, said) = ground.execute(id, &format!("cat {paths} 2>/dev/null"));
        assert_eq!(said, "", "{paths}");
    }
}

/// Waits for what the kernel releases behind our back, then compares.
pub(crate) fn settled(ground: &Ground, before: &testkit::census::Census) {
    for _ in 0..600 {
        if ground.census() == *before {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(ground.census(), *before);
}
