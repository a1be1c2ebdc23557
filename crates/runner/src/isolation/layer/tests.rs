//! One thing is wrong at a time: one layer is not in force.

use super::*;

const STATUS: &str = "Name:\tdaytona-daemon\nCapInh:\t0000000000000000\nCapPrm:\t00000000a00425fb\n\
                      CapEff:\t00000000a00425fb\nCapBnd:\t00000000a00425fb\nCapAmb:\t0000000000000000\n\
                      NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t3\n";
const MOUNTS: &str = "\
1 1 0:50 / / rw,nodev,relatime - overlay sandbox rw\n\
2 1 0:51 / /proc rw,nosuid - proc proc rw\n\
3 2 0:6 /null /proc/kcore rw - devtmpfs devtmpfs rw\n\
4 2 0:6 /null /proc/keys rw - devtmpfs devtmpfs rw\n\
5 2 0:6 /null /proc/sysrq-trigger rw - devtmpfs devtmpfs rw\n\
6 2 0:6 /null /proc/kmsg rw - devtmpfs devtmpfs rw\n\
7 2 0:51 /sys /proc/sys ro,nosuid - proc proc rw\n\
8 1 0:52 / /sys ro,nosuid - sysfs sysfs rw\n\
9 8 0:53 / /sys/firmware ro - tmpfs tmpfs rw\n";
const LIMITS: Limits = Limits { cpu_thousandths: 1500, memory_bytes: 1 << 30, processes: 512 };

fn sound() -> Evidence {
    let status = STATUS.replace("00000000a00425fb", &format!("{:016x}", KEPT.bits()));
    Evidence {
        status,
        id_map: "         0    1000000      65536\n".to_owned(),
        mounts: MOUNTS.to_owned(),
        absent: Vec::new(),
        shared_namespaces: Vec::new(),
        program: "/memfd:daytona-daemon (deleted)".to_owned(),
        is_sealed: true,
        limits: Ok(LIMITS),
        is_limited: true,
        ordered: LIMITS,
        root_bytes: Some(1 << 30),
        disk_bytes: 3 << 30,
        has_link: true,
        rules: Ok(()),
        trouble: None,
        policy: Network::default(),
    }
}

#[test]
fn a_sound_sandbox_has_every_layer() {
    let layers = layers(&sound());
    assert_eq!(layers.len(), 10);
    for layer in &layers {
        assert!(layer.in_force && !layer.detail.is_empty(), "{layer:?}");
    }
    let details: Vec<&str> = layers.iter().map(|layer| layer.detail.as_str()).collect();
    assert!(details.contains(&"root inside is 1000000 outside; 65536 ids of its own"), "{details:?}");
    assert!(details.contains(&"1.500 processors, 1024 MiB of memory, 512 processes"), "{details:?}");
}

type Case = (&'static str, fn(&mut Evidence));

const CASES: [Case; 27] = [
    ("user namespace", |seen| seen.id_map = "0 0 4294967295\n".to_owned()),
    ("user namespace", |seen| seen.id_map.clear()),
    ("user namespace", |seen| seen.id_map += "65536 0 1\n"),
    ("user namespace", |seen| seen.id_map = "0 1000000 4000000000\n".to_owned()),
    ("namespaces", |seen| seen.shared_namespaces = vec!["net"]),
    ("namespaces", |seen| seen.shared_namespaces = NAMESPACES.to_vec()),
    ("capabilities", |seen| seen.status = seen.status.replace("CapAmb:\t0", "CapAmb:\tf")),
    ("capabilities", |seen| seen.status = seen.status.replace("CapBnd:\t0", "CapBnd:\t1")),
    ("capabilities", |seen| seen.status = seen.status.replace("CapEff", "CapOff")),
    ("system calls", |seen| seen.status = seen.status.replace("Seccomp:\t2", "Seccomp:\t0")),
    ("system calls", |seen| seen.status = seen.status.replace("filters:\t3", "filters:\t2")),
    ("root file system", |seen| seen.mounts = seen.mounts.replace("- overlay", "- ext4")),
    ("root file system", |seen| seen.mounts = seen.mounts.replace("rw,nodev", "rw")),
    ("kernel files", |seen| seen.mounts = seen.mounts.replace("/proc/kcore", "/proc/other")),
    ("kernel files", |seen| seen.mounts = seen.mounts.replace("/proc/sys ro", "/proc/sys rw")),
    // What lies on top counts.
    ("kernel files", |seen| seen.mounts += "10 8 0:52 / /sys rw - sysfs sysfs rw\n"),
    ("disk", |seen| seen.root_bytes = None),
    ("disk", |seen| seen.root_bytes = Some(64 << 30)),
    ("limits", |seen| seen.limits = Err("read memory.max".to_owned())),
    ("limits", |seen| seen.is_limited = false),
    ("limits", |seen| seen.limits = Ok(Limits { memory_bytes: 1 << 40, ..LIMITS })),
    ("limits", |seen| seen.limits = Ok(Limits { processes: u32::MAX, ..LIMITS })),
    ("network", |seen| seen.has_link = false),
    ("network", |seen| seen.rules = Err("no such table".to_owned())),
    ("network", |seen| seen.trouble = Some("somebody took the rules away".to_owned())),
    ("daemon", |seen| seen.program = "/bin/sh".to_owned()),
    ("daemon", |seen| seen.is_sealed = false),
];

#[test]
fn what_does_not_hold_is_told_and_the_rest_is_not_doubted() {
    for (name, spoil) in CASES {
        let mut seen = sound();
        spoil(&mut seen);
        let broken: Vec<Layer> = layers(&seen).into_iter().filter(|layer| !layer.in_force).collect();
        assert_eq!(broken.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>(), [name], "{broken:?}");
    }
}

#[test]
fn what_the_kernel_does_not_have_needs_no_cover() {
    let mut seen = sound();
    seen.mounts = seen.mounts.replace("/proc/kcore", "/proc/other");
    seen.absent = vec!["/proc/kcore"];
    assert!(layers(&seen).iter().all(|layer| layer.in_force));
}

#[test]
fn of_a_process_that_ended_nothing_holds() {
    let nothing = Evidence {
        status: String::new(),
        id_map: String::new(),
        mounts: String::new(),
        absent: Vec::new(),
        shared_namespaces: NAMESPACES.to_vec(),
        program: String::new(),
        is_sealed: false,
        limits: Err("no such file".to_owned()),
        is_limited: false,
        ordered: LIMITS,
        root_bytes: None,
        disk_bytes: 1,
        has_link: false,
        rules: Err("no such table".to_owned()),
        trouble: None,
        policy: Network::default(),
    };
    for layer in &layers(&nothing) {
        assert!(!layer.in_force, "{layer:?}");
    }
}
