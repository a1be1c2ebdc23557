//! Limits that change while a sandbox runs, while it does not, and while something goes wrong.

use runner::error::{Class, RunnerError};
use runner::sandbox::spec::Spec;
use types::inspection::Cause;

use crate::ground::{Ground, explain, order};
use crate::life::settled;

const GIB: u64 = 1 << 30;

fn resize(ground: &Ground, spec: &Spec, memory_bytes: u64, disk_bytes: u64) -> Result<(), RunnerError> {
    ground.host().resize(&spec.id, spec.cpu_thousandths, memory_bytes, disk_bytes)
}

/// Returns the size that `df` shows for the root, in KiB.
fn root_kib(ground: &Ground, id: &str) -> u64 {
    let (code, said) = ground.execute(id, "df -k / | tail -1 | awk '{print $2}'");
    assert_eq!(code, 0, "{said}");
    said.parse().unwrap()
}

fn assert_root(ground: &Ground, id: &str, gib: u64) {
    let kib = root_kib(ground, id);
    assert!(kib <= gib << 20 && kib > (gib << 20) * 9 / 10, "{kib} KiB for {gib} GiB");
}

/// Allocates and touches memory; tells whether there was enough.
fn fits(ground: &Ground, id: &str, mebibytes: u32) -> bool {
    ground.execute(id, &format!("dd if=/dev/zero of=/dev/null bs={mebibytes}M count=1")).0 == 0
}

#[test]
fn memory_grows_and_shrinks_in_use() {
    let ground = Ground::new();
    let before = ground.census();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    assert!(!fits(&ground, &spec.id, 400));
    resize(&ground, &spec, GIB, spec.disk_bytes).map_err(explain).unwrap();
    assert!(fits(&ground, &spec.id, 400));
    resize(&ground, &spec, 128 << 20, spec.disk_bytes).map_err(explain).unwrap();
    assert!(!fits(&ground, &spec.id, 200));
    assert!(fits(&ground, &spec.id, 64));
    // The same again is no change and no failure.
    resize(&ground, &spec, 128 << 20, spec.disk_bytes).map_err(explain).unwrap();
    // It is the limit of the next start, too.
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert!(!fits(&ground, &spec.id, 200));
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    settled(&ground, &before);
}

#[test]
fn memory_in_use_is_not_taken_away() {
    let ground = Ground::new();
    let spec = Spec { memory_bytes: 512 << 20, ..order() };
    ground.host().create(&spec).map_err(explain).unwrap();
    // A shell's variable is anonymous memory, which cannot be given back: there is no swap. The last command keeps the
    // shell from becoming `sleep`.
    let hold = "(x=$(yes 0123456789 | head -c 150000000); touch /tmp/held; sleep 60; :) > /dev/null 2>&1 & \
                while [ ! -e /tmp/held ]; do sleep 0.1; done; echo held";
    assert_eq!(ground.execute(&spec.id, hold).1, "held");
    let refused = resize(&ground, &spec, 64 << 20, spec.disk_bytes).unwrap_err();
    assert_eq!(refused.class(), Class::Reject);
    let said = explain(refused);
    assert!(said.contains("64 MiB") && said.contains("in use"), "{said}");
    // Nothing has changed, nothing was killed.
    assert!(ground.execute(&spec.id, "ps").1.contains("sleep 60"));
    assert!(fits(&ground, &spec.id, 80));
    let conditions = ground.host().conditions(&spec.id).map_err(explain).unwrap();
    assert!(conditions.iter().all(|condition| condition.cause != Cause::OutOfMemory), "{conditions:?}");
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn processor_time_grows_and_shrinks_in_use() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    // A loop that uses what it gets for a second, counted by the processor time it got.
    let burn = "timeout 2 sh -c 'while :; do :; done' 2> /dev/null; awk '{print $16+$17}' /proc/$$/stat";
    let ticks = |thousandths: u32| {
        ground
            .host()
            .resize(&spec.id, thousandths, spec.memory_bytes, spec.disk_bytes)
            .map_err(explain)
            .unwrap();
        let said = ground.execute(&spec.id, burn).1;
        said.lines().last().unwrap().parse::<u32>().unwrap()
    };
    // 2 s at a tenth are 20 ticks of a hundredth; whole processors give more, however busy the machine is with others.
    let (little, much) = (ticks(100), ticks(2000));
    assert!(little <= 40, "{little}");
    assert!(much > little, "{much} after {little}");
    assert!(ticks(100) <= 40);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn a_disk_grows_while_its_sandbox_is_stopped() {
    let ground = Ground::new();
    let before = ground.census();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    assert_root(&ground, &spec.id, 1);
    ground.execute(&spec.id, "echo kept > /root/file");
    for gib in [2, 20] {
        ground.host().stop(&spec.id, true).map_err(explain).unwrap();
        resize(&ground, &spec, spec.memory_bytes, gib * GIB).map_err(explain).unwrap();
        ground.host().start(&spec.id).map_err(explain).unwrap();
        assert_root(&ground, &spec.id, gib);
        assert_eq!(ground.execute(&spec.id, "cat /root/file"), (0, "kept".to_owned()));
    }
    // More than was there before fits.
    assert_eq!(ground.execute(&spec.id, "dd if=/dev/zero of=/root/big bs=1M count=1500 2>/dev/null").0, 0);
    let refused = resize(&ground, &spec, spec.memory_bytes, 3 * GIB).unwrap_err();
    assert_eq!(refused.class(), Class::Reject);
    assert!(explain(refused).contains("only grow"));
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    check(&ground, &spec.id);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    settled(&ground, &before);
}

#[test]
fn a_disk_grows_in_use_or_is_left_as_it_is() {
    let ground = Ground::new();
    let before = ground.census();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    // Found again by its loop device, as after a restart of the server.
    let ground = ground.reopen();
    match resize(&ground, &spec, 128 << 20, 20 * GIB) {
        Ok(()) => {
            assert_root(&ground, &spec.id, 20);
            assert_eq!(ground.execute(&spec.id, "dd if=/dev/zero of=/big bs=1M count=1500 2>/dev/null").0, 0);
        }
        Err(refused @ RunnerError::DiskInUse { .. }) => {
            println!(
                "growing in use needs CAP_SYS_RESOURCE, which this root does not have: checked that it says so"
            );
            assert_eq!(refused.class(), Class::Reject);
            assert!(explain(refused).contains("stop the sandbox first"));
            // Nothing has changed, the memory included.
            assert_root(&ground, &spec.id, 1);
            assert!(fits(&ground, &spec.id, 150));
            let length = std::fs::metadata(disk(&ground, &spec.id)).unwrap().len();
            assert_eq!(length, GIB);
        }
        Err(error) => panic!("{}", explain(error)),
    }
    ground.host().stop(&spec.id, false).map_err(explain).unwrap();
    check(&ground, &spec.id);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    settled(&ground, &before);
}

#[test]
fn a_resize_that_a_crash_interrupted_is_finished_by_the_next_start() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    // The record is new and the disk is old, as after a crash of the machine that lost what the record promised.
    let path = ground.home.path().join("sandboxes").join(&spec.id).join("sandbox.json");
    let mut record: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    record["spec"]["disk_bytes"] = (3 * GIB).into();
    std::fs::write(&path, record.to_string()).unwrap();
    let ground = ground.reopen();
    // The file is longer than its file system, as when the crash came between the two.
    let file = std::fs::File::options().write(true).open(disk(&ground, &spec.id)).unwrap();
    file.set_len(2 * GIB).unwrap();
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_root(&ground, &spec.id, 3);
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    check(&ground, &spec.id);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn what_is_not_here_cannot_be_resized() {
    let ground = Ground::new();
    let refused = resize(&ground, &order(), GIB, GIB).unwrap_err();
    assert_eq!(refused.class(), Class::Gone);
}

fn disk(ground: &Ground, id: &str) -> std::path::PathBuf {
    ground.home.path().canonicalize().unwrap().join("sandboxes").join(id).join("disk.ext4")
}

/// Waits until nobody uses the disk and has the checker look at it.
fn check(ground: &Ground, id: &str) {
    let path = disk(ground, id);
    while linux::loopback::find(&path).unwrap().is_some() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let check = std::process::Command::new("e2fsck").arg("-fn").arg(&path).output();
    let check = check.expect("e2fsck is missing: apt-get install e2fsprogs");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}
