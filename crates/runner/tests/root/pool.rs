//! Disks prepared ahead are given away sound, or not at all.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use linux::mount::{self, Attributes};
use runner::pool::Pool;
use types::{SystemClock, SystemRandom};

const BYTES: u64 = 1 << 30;

#[test]
fn a_disk_that_was_shut_by_the_kernel_is_not_given_away() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("pool");
    let pool =
        Pool::open(directory.clone(), BYTES, 1, Arc::new(SystemClock), Arc::new(SystemRandom)).unwrap();
    let began = Instant::now();
    // What the kernel does to a file system whose writes fail: it takes no more.
    let device = loop {
        let file = directory.join("1").join(runner::sandbox::spec::DISK_FILE);
        if let Some(device) = linux::loopback::find(&file).ok().flatten()
            && let Ok(mounted) = mount::filesystem("ext4", &[("source", &device)], Attributes::empty())
            && mount::reconfigure(mounted.as_fd(), &[("ro", "")]).is_ok()
        {
            break device;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "no disk is prepared");
        std::thread::sleep(Duration::from_millis(10));
    };
    // The next may be ready already, or not yet; either is sound.
    for number in 0..300 {
        let path = home.path().join(number.to_string());
        if let Some(disk) = pool.take(&path, BYTES, 100_000).unwrap() {
            drop(disk);
            assert!(path.is_dir());
            assert!(!directory.join("1").exists(), "the shut one is gone, with {device}");
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no disk after the shut one");
}
