//! Sandboxes that cannot go on, repaired where they are.

use runner::error::{Class, RunnerError};

use crate::ground::{Ground, explain, order};
use crate::life::settled;

const GROUP: u64 = 128 << 20;
const FILL: &str = "dd if=/dev/zero of=/root/fill.$(ls /root | wc -l) bs=1M 2> /dev/null; dd if=/dev/zero of=/root/rest.$(ls /root | wc -l) bs=4k 2> /dev/null; df -k / | tail -1";

fn free_kib(ground: &Ground, id: &str) -> u64 {
    ground.execute(id, "df -k / | tail -1 | awk '{print $4}'").1.parse().unwrap()
}

#[test]
fn a_full_disk_grows_twice_and_then_says_that_it_does_not() {
    let ground = Ground::new();
    let before = ground.census();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    assert_eq!(ground.host().recover(&spec.id).map_err(explain).unwrap().grown_bytes, 0);
    ground.execute(&spec.id, "echo kept > /root/file");
    for _ in 0..2 {
        ground.execute(&spec.id, FILL);
        assert!(free_kib(&ground, &spec.id) < 2048, "{}", free_kib(&ground, &spec.id));
        ground.host().stop(&spec.id, true).map_err(explain).unwrap();
        // Found by whoever comes after a crash.
        assert_eq!(ground.host().recover(&spec.id).map_err(explain).unwrap().grown_bytes, GROUP);
        assert_eq!(ground.host().recover(&spec.id).map_err(explain).unwrap().grown_bytes, 0);
        ground.host().start(&spec.id).map_err(explain).unwrap();
        assert!(free_kib(&ground, &spec.id) > 64 << 10);
        assert_eq!(ground.execute(&spec.id, "cat /root/file").1, "kept");
    }
    ground.execute(&spec.id, FILL);
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    let refused = ground.host().recover(&spec.id).unwrap_err();
    assert!(matches!(refused, RunnerError::DiskStaysFull { .. }), "{refused:?}");
    assert_eq!(refused.class(), Class::Reject);
    assert!(explain(refused).contains("resize"));
    // What is ordered and paid for is another matter.
    let more = spec.disk_bytes * 2;
    ground.host().resize(&spec.id, spec.cpu_thousandths, spec.memory_bytes, more).map_err(explain).unwrap();
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert!(free_kib(&ground, &spec.id) > 512 << 10);
    assert_eq!(ground.execute(&spec.id, "cat /root/file").1, "kept");
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    settled(&ground, &before);
}

#[test]
fn a_running_sandbox_with_a_full_disk_grows_or_says_what_to_do() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    ground.execute(&spec.id, FILL);
    match ground.host().recover(&spec.id) {
        Ok(recovered) => assert_eq!(recovered.grown_bytes, GROUP),
        Err(refused @ RunnerError::DiskInUse { .. }) => {
            println!(
                "growing in use needs CAP_SYS_RESOURCE, which this root does not have: checked that it says so"
            );
            assert!(explain(refused).contains("stop the sandbox first"));
        }
        Err(error) => panic!("{}", explain(error)),
    }
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn what_is_beyond_repair_is_said() {
    let ground = Ground::new();
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    let disk = ground.home.path().canonicalize().unwrap().join("sandboxes").join(&spec.id).join("disk.ext4");
    while linux::loopback::find(&disk).unwrap().is_some() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let file = std::fs::File::options().write(true).open(&disk).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 8192], 0).unwrap();
    let refused = ground.host().recover(&spec.id).unwrap_err();
    assert_eq!(refused.class(), Class::Reject, "{refused:?}");
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    assert_eq!(ground.host().recover(&spec.id).unwrap_err().class(), Class::Gone);
}
