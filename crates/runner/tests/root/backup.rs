//! Archived sandboxes come back as they were, or not at all.
#![cfg(test)]

use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::time::Instant;

use runner::backup::Saved;
use runner::error::{Class, RunnerError};
use runner::host::Presence;
use runner::sandbox::spec::Spec;

use crate::ground::{Ground, explain, order};
use crate::life::settled;
use crate::objects::{Objects, furnish, furnished, tree};

mod kill;

#[test]
fn an_archived_sandbox_leaves_the_host_and_comes_back_in_another_place() {
    let (ground, objects) = (Ground::new(), Objects::new());
    let before = ground.census();
    let (spec, files) = furnished(&ground);
    let saved = objects.archive(&ground, &spec);
    settled(&ground, &before);
    assert_eq!(ground.host().observe(&spec.id).unwrap().presence, Presence::Absent);
    assert_eq!(saved.bytes, std::fs::metadata(objects.file(&saved.object)).unwrap().len());
    // Its place is another's now.
    let other = order();
    ground.host().create(&other).map_err(explain).unwrap();
    objects.restore(&ground, &spec, &saved).map_err(explain).unwrap();
    assert_eq!(ground.host().observe(&spec.id).unwrap().presence, Presence::Stopped);
    // Asked again, it is done already.
    objects.restore(&ground, &spec, &saved).map_err(explain).unwrap();
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(tree(&ground, &spec.id), files);
    assert_eq!(
        ground.execute(&spec.id, "id -u; busybox stat -c %u /root/deep/er"),
        (0, "0\n1000".to_owned())
    );
    for id in [&spec.id, &other.id] {
        ground.host().destroy(id).map_err(explain).unwrap();
    }
    ground.host().discard(&spec.id, objects.shelf(&spec), &objects.storage).map_err(explain).unwrap();
    assert_eq!(objects.files(), 0);
    settled(&ground, &before);
}

#[test]
fn twenty_archives_later_every_file_is_what_it_was() {
    let (ground, objects) = (Ground::new(), Objects::new());
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    furnish(&ground, &spec.id);
    for cycle in 0..20 {
        let change = format!(
            "echo {cycle} >> /root/cycles; dd if=/dev/urandom of=/root/noise-{} bs=64k count=9 2> /dev/null; rm -f /root/noise-{}",
            cycle,
            cycle - 3
        );
        assert_eq!(ground.execute(&spec.id, &change).0, 0);
        let files = tree(&ground, &spec.id);
        let saved = objects.archive(&ground, &spec);
        objects.restore(&ground, &spec, &saved).map_err(explain).unwrap();
        ground.host().start(&spec.id).map_err(explain).unwrap();
        assert_eq!(tree(&ground, &spec.id), files, "in cycle {cycle}");
    }
    assert_eq!(objects.count(&spec), 1);
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    check(&ground, &spec.id);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn a_backup_of_a_running_sandbox_is_of_one_moment() {
    let (ground, objects) = (Ground::new(), Objects::new());
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    furnish(&ground, &spec.id);
    // Two numbers, one always written before the other.
    let writer = "cd /root; i=100000; (while :; do i=$((i+1)); echo $i 1<> first; echo $i 1<> second; done) > /dev/null 2>&1 & sleep 0.3";
    assert_eq!(ground.execute(&spec.id, writer).0, 0);
    let saved = objects.backup(&ground, &spec, None).map_err(explain).unwrap();
    // It went on.
    let read = "sleep 0.1; cat /root/first; sleep 0.3; cat /root/first";
    let (_, said) = ground.execute(&spec.id, read);
    let seen: Vec<u32> = said.lines().map(|line| line.parse().unwrap()).collect();
    assert!(seen[1] > seen[0], "{said}");
    // The first is kept until the second is known, and a third takes the place of what nobody knows.
    let second = objects.backup(&ground, &spec, Some(&saved.object)).map_err(explain).unwrap();
    assert_eq!(objects.count(&spec), 2);
    let third = objects.backup(&ground, &spec, Some(&saved.object)).map_err(explain).unwrap();
    assert_eq!(objects.count(&spec), 2);
    assert!(!objects.file(&second.object).exists() && objects.file(&third.object).exists());
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    for saved in [&third, &saved] {
        objects.restore(&ground, &spec, saved).map_err(explain).unwrap();
        check(&ground, &spec.id);
        ground.host().start(&spec.id).map_err(explain).unwrap();
        let (_, said) = ground.execute(&spec.id, "cat /root/first /root/second");
        let numbers: Vec<u32> = said.lines().map(|line| line.parse().unwrap()).collect();
        assert!(numbers[0] == numbers[1] || numbers[0] == numbers[1] + 1, "{said}");
        assert!(numbers[0] < seen[0] || saved.object == third.object, "{said} after {}", seen[0]);
        ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    }
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn a_paused_sandbox_is_backed_up_and_stays_paused() {
    let (ground, objects) = (Ground::new(), Objects::new());
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    ground.execute(&spec.id, "echo held > /root/file");
    ground.host().pause(&spec.id).map_err(explain).unwrap();
    let saved = objects.backup(&ground, &spec, None).map_err(explain).unwrap();
    assert_eq!(ground.host().observe(&spec.id).unwrap().presence, Presence::Paused);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
    objects.restore(&ground, &spec, &saved).map_err(explain).unwrap();
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(ground.execute(&spec.id, "cat /root/file"), (0, "held".to_owned()));
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn what_runs_is_neither_released_nor_replaced() {
    let (ground, objects) = (Ground::new(), Objects::new());
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    let saved = objects.backup(&ground, &spec, None).map_err(explain).unwrap();
    ground.execute(&spec.id, "echo later > /root/later");
    for refused in [ground.host().release(&spec.id), objects.restore(&ground, &spec, &saved)] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, RunnerError::Runs { .. }) && refused.class() == Class::Reject);
    }
    assert_eq!(ground.execute(&spec.id, "cat /root/later"), (0, "later".to_owned()));
    // One that is not here is released already, and cannot be copied.
    let nobody = order();
    ground.host().release(&nobody.id).map_err(explain).unwrap();
    assert_eq!(objects.backup(&ground, &nobody, None).unwrap_err().class(), Class::Gone);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn a_restore_replaces_files_that_are_no_use() {
    let (ground, objects) = (Ground::new(), Objects::new());
    let (spec, files) = furnished(&ground);
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    let saved = objects.backup(&ground, &spec, None).map_err(explain).unwrap();
    let disk = ground.home.path().join("sandboxes").join(&spec.id).join("disk.ext4");
    std::fs::File::options().write(true).open(disk).unwrap().write_all_at(&[0xAA; 8192], 0).unwrap();
    ground.host().start(&spec.id).unwrap_err();
    objects.restore(&ground, &spec, &saved).map_err(explain).unwrap();
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(tree(&ground, &spec.id), files);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn a_damaged_backup_is_refused_and_leaves_nothing() {
    let (ground, objects) = (Ground::new(), Objects::new());
    let before = ground.census();
    let (spec, files) = furnished(&ground);
    let saved = objects.archive(&ground, &spec);
    settled(&ground, &before);
    let whole = std::fs::read(objects.file(&saved.object)).unwrap();
    let refused = |saved: &Saved, content: &[u8], name: &str| {
        std::fs::write(objects.file(&saved.object), content).unwrap();
        let error = objects.restore(&ground, &spec, saved).expect_err(name);
        assert_eq!(error.class(), Class::Reject, "{name}");
        assert!(matches!(error, RunnerError::BackupDamaged { .. }), "{name}: {}", explain(error));
        assert_eq!(ground.census(), before, "{name}");
        assert_eq!(staged(&ground), [""; 0], "{name}");
    };
    for position in (0..whole.len()).step_by(whole.len() / 40) {
        let mut flipped = whole.clone();
        // One bit of a compressed run may mean the same.
        flipped[position..].iter_mut().take(64).for_each(|byte| *byte ^= 0xFF);
        refused(&saved, &flipped, "flipped");
        refused(&saved, &whole[..position], "cut");
    }
    refused(&saved, &[&whole[..], b"x"].concat(), "longer");
    refused(&Saved { digest: "0".repeat(64), ..saved.clone() }, &whole, "another digest");
    // A disk larger than the sandbox's, and one of somebody else's.
    let other = Spec { disk_bytes: 4 << 30, ..order() };
    ground.host().create(&other).map_err(explain).unwrap();
    let others = objects.archive(&ground, &other);
    settled(&ground, &before);
    let stolen = std::fs::read(objects.file(&others.object)).unwrap();
    refused(&saved, &stolen, "stolen");
    refused(&Saved { digest: others.digest, ..saved.clone() }, &stolen, "larger");
    // An object that is gone is named.
    std::fs::remove_file(objects.file(&saved.object)).unwrap();
    let gone = objects.restore(&ground, &spec, &saved).unwrap_err();
    assert_eq!(gone.class(), Class::Reject);
    assert!(explain(gone).contains("is not there"));
    // With the right bytes in its place it comes back after all.
    std::fs::write(objects.file(&saved.object), &whole).unwrap();
    objects.restore(&ground, &spec, &saved).map_err(explain).unwrap();
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(tree(&ground, &spec.id), files);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn a_storage_that_is_full_says_so_and_the_sandbox_stays() {
    let Some(volume) = Volume::new() else { return };
    let ground = Ground::new();
    let objects = Objects::at(&volume.at().join("objects"));
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    furnish(&ground, &spec.id);
    let fill = "dd if=/dev/urandom of=/root/much bs=1M count=160 2> /dev/null; echo wrote";
    assert_eq!(ground.execute(&spec.id, fill).1, "wrote");
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    let refused = objects.backup(&ground, &spec, None).unwrap_err();
    assert_eq!(refused.class(), Class::Reject);
    let said = explain(refused);
    assert!(said.contains("it is full; free space"), "{said}");
    for _ in 0..600 {
        if objects.files() == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(objects.files(), 0, "half an object was left");
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(ground.execute(&spec.id, "cat /root/file"), (0, "kept".to_owned()));
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

#[test]
fn a_full_host_takes_no_sandbox_back_and_keeps_no_place() {
    let (ground, objects) = (Ground::new(), Objects::new());
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    let saved = objects.archive(&ground, &spec);
    let ground = ground.with_places(1);
    let other = order();
    ground.host().create(&other).map_err(explain).unwrap();
    let refused = objects.restore(&ground, &spec, &saved).unwrap_err();
    assert!(matches!(refused, RunnerError::Full { .. }));
    ground.host().destroy(&other.id).map_err(explain).unwrap();
    // A failed one gives its place back, too.
    let missing = Saved { object: objects.key(&spec), ..saved.clone() };
    objects.restore(&ground, &spec, &missing).unwrap_err();
    objects.restore(&ground, &spec, &saved).map_err(explain).unwrap();
    ground.host().start(&spec.id).map_err(explain).unwrap();
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

/// Asserts nothing of how long it takes; prints it for whoever asks.
#[test]
fn half_a_gibibyte_goes_and_comes_back() {
    let (ground, objects) = (Ground::new(), Objects::new());
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    let fill = "cd /root; dd if=/dev/urandom of=noise bs=1M count=256 2> /dev/null; i=0
        while [ $i -lt 130 ]; do cat /bin/busybox; i=$((i+1)); done > program; busybox sha256sum *";
    let (_, sums) = ground.execute(&spec.id, fill);
    assert_eq!(sums.lines().count(), 2, "{sums}");
    ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    let began = Instant::now();
    let saved = objects.backup(&ground, &spec, None).map_err(explain).unwrap();
    let packed = began.elapsed();
    ground.host().release(&spec.id).map_err(explain).unwrap();
    let began = Instant::now();
    objects.restore(&ground, &spec, &saved).map_err(explain).unwrap();
    let unpacked = began.elapsed();
    let megabytes = 256.0 * 1.048_576 + 130.0 * 1.982_256;
    println!(
        "{megabytes:.0} MB became an object of {} bytes: packed with {:.0} MB/s, unpacked with {:.0} MB/s",
        saved.bytes,
        megabytes / packed.as_secs_f64(),
        megabytes / unpacked.as_secs_f64()
    );
    ground.host().start(&spec.id).map_err(explain).unwrap();
    assert_eq!(ground.execute(&spec.id, "cd /root; busybox sha256sum *").1, sums);
    ground.host().destroy(&spec.id).map_err(explain).unwrap();
}

/// Lists what restores and copies left behind.
fn staged(ground: &Ground) -> Vec<String> {
    // A host that is being opened makes the directory anew.
    let Ok(names) = std::fs::read_dir(ground.home.path().join("pool")) else { return Vec::new() };
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains('-')).collect()
}

/// Waits until nobody uses the disk and has the checker look at it.
fn check(ground: &Ground, id: &str) {
    let path = ground.home.path().canonicalize().unwrap().join("sandboxes").join(id).join("disk.ext4");
    while linux::loopback::find(&path).unwrap().is_some() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let check = Command::new("e2fsck").arg("-fn").arg(&path).output();
    let check = check.expect("e2fsck is missing: apt-get install e2fsprogs");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

/// A small file system, mounted; it goes with this.
struct Volume(tempfile::TempDir);

impl Volume {
    /// Makes one; says why when it cannot.
    fn new() -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let (file, at) = (home.path().join("file"), home.path().join("at"));
        std::fs::File::create(&file).unwrap().set_len(128 << 20).unwrap();
        std::fs::create_dir(&at).unwrap();
        let Ok(format) = Command::new("mkfs.btrfs").arg("-q").arg(&file).output() else {
            println!("skipped: there is no mkfs.btrfs; `cargo x test` installs btrfs-progs");
            return None;
        };
        assert!(format.status.success(), "{}", String::from_utf8_lossy(&format.stderr));
        let mount = Command::new("mount").args(["-o", "loop"]).arg(&file).arg(&at).output().unwrap();
        if !mount.status.success() {
            println!("skipped: {}", String::from_utf8_lossy(&mount.stderr));
            return None;
        }
        Some(Self(home))
    }

    fn at(&self) -> std::path::PathBuf {
        self.0.path().join("at")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        for _ in 0..100 {
            if Command::new("umount").arg(self.at()).output().is_ok_and(|done| done.status.success()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}
