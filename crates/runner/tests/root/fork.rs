//! Sandboxes with the files of another.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runner::error::{Class, RunnerError};
use runner::fork::{Forked, Way};
use runner::host::Presence;
use runner::sandbox::spec::Spec;
use rustix::fs::XattrFlags;

use crate::ground::{Ground, explain, order};
use crate::life::settled;

const GIB: u64 = 1 << 30;

/// Prints of every file its name, kind, mode, owners as seen inside, size, target, change of content, and content.
const TREE: &str = "cd / && { find . -xdev \\( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp/moving \
    -o -path ./etc/hosts -o -path ./etc/hostname -o -path ./etc/resolv.conf \\) -prune -o -print0 | sort -z | \
    xargs -0 stat -c '%n %f %u %g %s %t %T %Y %N'; find . -xdev \\( -path ./proc -o -path ./sys -o -path ./dev \
    -o -path ./tmp/moving -o -path ./etc/hosts -o -path ./etc/hostname -o -path ./etc/resolv.conf \\) -prune -o \
    -type f -print0 | sort -z | xargs -0 md5sum; } | md5sum";

/// Files of every kind that a sandbox can make.
const FILL: &str = "cd /root && mkdir -p a/b/c && echo text > a/b/c/file && ln a/b/c/file hard && ln -s /etc/passwd soft \
    && mkfifo pipe && cp /bin/busybox own && chmod 4755 own && chown 1000:1000 a/b && chown -h 1000:7 soft \
    && chmod 1777 a && rm /bin/wget && rm -rf /home && mkdir /home && echo new > /home/file \
    && for i in $(seq 300); do echo $i > a/b/c/n$i; done; dd if=/dev/urandom of=big bs=1M count=3 2> /dev/null; \
    dd if=/dev/zero of=sparse bs=1 count=1 seek=100000000 2> /dev/null; echo filled";

fn fork(ground: &Ground, parent: &str, child: &Spec) -> Forked {
    ground.host().fork(parent, child).map_err(explain).unwrap()
}

fn tree(ground: &Ground, id: &str) -> String {
    let (code, said) = ground.execute(id, TREE);
    assert_eq!(code, 0, "{said}");
    said
}

fn with_disk(disk_bytes: u64) -> Spec {
    Spec { disk_bytes, ..order() }
}

/// Returns the root of a running sandbox as the host's root sees it.
fn root_of(ground: &Ground, id: &str) -> PathBuf {
    let path = ground.home.path().join("sandboxes").join(id).join("sandbox.json");
    let record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    PathBuf::from(format!("/proc/{}/root", record.pointer("/process/pid").unwrap()))
}

fn id_base(ground: &Ground, id: &str) -> u32 {
    let (_, map) = ground.execute(id, "cat /proc/self/uid_map");
    map.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn capability(root: u32) -> Vec<u8> {
    let mut value = vec![1, 0, 0, 3, 0, 4, 0, 0];
    value.extend([0; 12]);
    value.extend(root.to_le_bytes());
    value
}

fn attribute(path: &Path, name: &str) -> Vec<u8> {
    let mut value = vec![0; 256];
    let length = rustix::fs::getxattr(path, name, &mut value[..]).expect(name);
    value.truncate(length);
    value
}

#[test]
fn a_child_has_the_parent_s_tree_and_then_each_its_own() {
    let ground = Ground::new();
    let before = ground.census();
    let (parent, child, grandchild) = (order(), order(), order());
    ground.host().create(&parent).map_err(explain).unwrap();
    assert_eq!(ground.execute(&parent.id, FILL).1, "filled");
    let own = |id: &str| root_of(&ground, id).join("root/own");
    let base = id_base(&ground, &parent.id);
    rustix::fs::setxattr(own(&parent.id), "security.capability", &capability(base), XattrFlags::empty())
        .unwrap();
    rustix::fs::setxattr(own(&parent.id), "user.word", b"kept", XattrFlags::empty()).unwrap();
    ground.execute(&parent.id, "mkdir /tmp/moving");
    let expected = tree(&ground, &parent.id);
    // Something moves meanwhile, which every tree leaves out.
    let moving = "(while :; do echo x >> /tmp/moving/file; mv /tmp/moving/file /tmp/moving/other; \
                  rm /tmp/moving/other; done) > /dev/null 2>&1 & echo moving";
    ground.execute(&parent.id, moving);

    let forked = fork(&ground, &parent.id, &child);
    println!("the parent was held for {:?}: {:?}", forked.held, forked.way);
    assert!(forked.held > Duration::ZERO && forked.held < Duration::from_secs(2), "{:?}", forked.held);
    assert_eq!(tree(&ground, &child.id), expected);
    assert_eq!(tree(&ground, &parent.id), expected);
    // Nobody runs in the child but what it starts; its own names and ids are new.
    assert!(!ground.execute(&child.id, "ps").1.contains("moving"));
    assert_eq!(ground.execute(&child.id, "hostname").1, child.id);
    assert_eq!(ground.execute(&child.id, "echo $DAYTONA_SANDBOX_ID").1, child.id);
    let file_system = |id: &str| ground.execute(id, "stat -f -c %i /").1;
    assert_ne!(file_system(&child.id), file_system(&parent.id));
    let child_base = id_base(&ground, &child.id);
    assert_ne!(child_base, base);
    assert_eq!(attribute(&own(&child.id), "security.capability"), capability(child_base));
    assert_eq!(attribute(&own(&child.id), "user.word"), b"kept");
    assert_eq!(ground.execute(&child.id, "stat -c '%a %u' /root/own").1, "4755 0");

    // Again is once.
    assert_eq!(fork(&ground, &parent.id, &child), Forked { held: Duration::ZERO, way: None, ..forked });
    ground.execute(&child.id, "echo child > /root/a/b/c/file; rm /root/big; echo new > /root/new");
    ground.execute(&parent.id, "echo parent > /root/only-parent");
    assert_eq!(
        ground.execute(&parent.id, "cat /root/a/b/c/file; ls /root/new 2>&1 | wc -l; wc -c < /root/big").1,
        "text\n1\n3145728"
    );
    assert_eq!(ground.execute(&child.id, "ls /root/only-parent > /dev/null 2>&1 || echo none").1, "none");

    // A fork of a fork, and the parents may go.
    ground.execute(&child.id, "rm -rf /root/new; echo text > /root/a/b/c/file");
    let expected = tree(&ground, &child.id);
    ground.host().destroy(&parent.id).map_err(explain).unwrap();
    fork(&ground, &child.id, &grandchild);
    ground.host().destroy(&child.id).map_err(explain).unwrap();
    assert_eq!(tree(&ground, &grandchild.id), expected);
    ground.host().stop(&grandchild.id, false).map_err(explain).unwrap();
    check(&ground, &grandchild.id);
    ground.host().start(&grandchild.id).map_err(explain).unwrap();
    assert_eq!(tree(&ground, &grandchild.id), expected);
    ground.host().destroy(&grandchild.id).map_err(explain).unwrap();
    settled(&ground, &before);
}

#[test]
fn a_parent_may_be_paused_or_stopped_and_stays_so() {
    let ground = Ground::new();
    let before = ground.census();
    let (parent, of_paused, of_stopped) = (order(), order(), with_disk(3 * GIB));
    ground.host().create(&parent).map_err(explain).unwrap();
    ground.execute(&parent.id, FILL);
    let expected = tree(&ground, &parent.id);
    ground.host().pause(&parent.id).map_err(explain).unwrap();
    fork(&ground, &parent.id, &of_paused);
    assert_eq!(ground.host().observe(&parent.id).unwrap().presence, Presence::Paused);
    assert_eq!(tree(&ground, &of_paused.id), expected);
    ground.host().stop(&parent.id, true).map_err(explain).unwrap();
    let forked = fork(&ground, &parent.id, &of_stopped);
    assert_eq!(forked.held, Duration::ZERO);
    assert_eq!(ground.host().observe(&parent.id).unwrap().presence, Presence::Stopped);
    assert_eq!(tree(&ground, &of_stopped.id), expected);
    // It was ordered larger.
    let size = ground.execute(&of_stopped.id, "df -k / | tail -1 | awk '{print $2}'").1;
    assert!(size.parse::<u64>().unwrap() > 2 << 20, "{size}");
    for id in [&parent.id, &of_paused.id, &of_stopped.id] {
        ground.host().destroy(id).map_err(explain).unwrap();
    }
    settled(&ground, &before);
}

#[test]
fn names_of_a_machine_are_not_inherited() {
    let ground = Ground::new();
    let (parent, child) = (order(), order());
    ground.host().create(&parent).map_err(explain).unwrap();
    let id = "0123456789abcdef0123456789abcdef";
    ground.execute(&parent.id, &format!("echo {id} > /etc/machine-id; chmod 444 /etc/machine-id"));
    fork(&ground, &parent.id, &child);
    let (_, said) = ground.execute(&child.id, "cat /etc/machine-id; stat -c %a /etc/machine-id");
    let lines: Vec<&str> = said.lines().collect();
    let [new, "444"] = lines[..] else { panic!("{said}") };
    assert!(new != id && new.len() == 32 && new.bytes().all(|byte| byte.is_ascii_hexdigit()), "{said}");
    assert_eq!(ground.execute(&parent.id, "cat /etc/machine-id").1, id);
    // A link there leads nowhere, and is no reason to fail.
    ground.execute(&parent.id, "rm /etc/machine-id; ln -s /etc/passwd /etc/machine-id");
    let other = order();
    fork(&ground, &parent.id, &other);
    assert!(ground.execute(&other.id, "head -1 /etc/passwd").1.starts_with("root:"));
    for id in [&parent.id, &child.id, &other.id] {
        ground.host().destroy(id).map_err(explain).unwrap();
    }
}

#[test]
fn many_forks_of_one_parent_at_once() {
    const FORKS: usize = 50;
    let ground = Ground::new().with_places(60);
    let before = ground.census();
    let parent = order();
    ground.host().create(&parent).map_err(explain).unwrap();
    ground.execute(&parent.id, FILL);
    let expected = tree(&ground, &parent.id);
    let began = Instant::now();
    let done: Vec<(Spec, Result<Forked, RunnerError>)> = std::thread::scope(|scope| {
        let forks = (0..FORKS).map(|_| {
            scope.spawn(|| {
                let child = order();
                let forked = ground.host().fork(&parent.id, &child);
                (child, forked)
            })
        });
        let forks: Vec<_> = forks.collect();
        forks.into_iter().map(|fork| fork.join().unwrap()).collect()
    });
    println!("{FORKS} forks took {:?}", began.elapsed());
    for (child, forked) in done {
        forked.map_err(explain).unwrap();
        assert_eq!(tree(&ground, &child.id), expected);
        ground.host().destroy(&child.id).map_err(explain).unwrap();
    }
    assert_eq!(tree(&ground, &parent.id), expected);
    ground.host().destroy(&parent.id).map_err(explain).unwrap();
    settled(&ground, &before);
}

fn copies(ground: &Ground) -> usize {
    let entries = std::fs::read_dir(ground.home.path().join("pool")).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("copy-")).count()
}

#[test]
fn a_fork_that_fails_leaves_nothing() {
    let ground = Ground::new().with_places(1);
    let parent = order();
    ground.host().create(&parent).map_err(explain).unwrap();
    let before = ground.census();
    let refused = ground.host().fork(&parent.id, &order()).unwrap_err();
    assert!(matches!(refused, RunnerError::Full { .. }), "{refused:?}");
    settled(&ground, &before);
    assert_eq!(copies(&ground), 0);
    assert_eq!(ground.execute(&parent.id, "echo x > /root/x && echo written").1, "written");
    let refused = ground.host().fork(&order().id, &order()).unwrap_err();
    assert_eq!(refused.class(), Class::Gone);
    ground.host().destroy(&parent.id).map_err(explain).unwrap();
}

#[test]
fn a_crash_in_the_middle_of_a_fork_is_mended_at_the_next_start() {
    let ground = Ground::new();
    let before = ground.census();
    let (running, dead, child) = (order(), order(), order());
    for spec in [&running, &dead] {
        ground.host().create(spec).map_err(explain).unwrap();
    }
    let directory =
        |ground: &Ground, id: &str| ground.home.path().canonicalize().unwrap().join("sandboxes").join(id);
    let half = directory(&ground, &child.id);
    let copy = ground.home.path().join("pool/copy-7");
    let ground = ground.reopen_after(|ground| {
        // What a server that is killed in that moment leaves: all of it is held, and marked.
        for spec in [&running, &dead] {
            let disk = directory(ground, &spec.id).join("disk.ext4");
            std::fs::write(disk.with_file_name("held"), "").unwrap();
            let device = linux::loopback::find(&disk).unwrap().unwrap();
            let mounted =
                linux::mount::filesystem("ext4", &[("source", &device)], linux::mount::Attributes::empty());
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
            let root = rustix::fs::openat(mounted.unwrap(), ".", flags, rustix::fs::Mode::empty()).unwrap();
            linux::ext4::freeze::freeze(&root).unwrap();
        }
        let path = directory(ground, &dead.id).join("sandbox.json");
        let record: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let pid = i32::try_from(record.pointer("/process/pid").unwrap().as_i64().unwrap()).unwrap();
        linux::process::kill(linux::process::open(pid).unwrap().unwrap()).unwrap();
        for half in [&half, &copy] {
            std::fs::create_dir_all(half).unwrap();
            std::fs::write(half.join("sandbox.json"), "half-made\n").unwrap();
            std::fs::write(half.join("disk.ext4"), "half").unwrap();
        }
    });
    assert!(ground.host().warnings().is_empty(), "{:?}", ground.host().warnings());
    assert!(!half.exists() && !copy.exists());
    assert_eq!(ground.host().observe(&child.id).unwrap().presence, Presence::Absent);
    assert_eq!(ground.host().observe(&running.id).unwrap().presence, Presence::Started);
    assert_eq!(ground.execute(&running.id, "echo x > /root/x && sync && echo written").1, "written");
    assert_eq!(ground.host().observe(&dead.id).unwrap().presence, Presence::Stopped);
    ground.host().start(&dead.id).map_err(explain).unwrap();
    assert_eq!(ground.execute(&dead.id, "echo x > /root/x && sync && echo written").1, "written");
    fork(&ground, &running.id, &child);
    assert_eq!(ground.execute(&child.id, "cat /root/x").1, "x");
    for id in [&running.id, &dead.id, &child.id] {
        ground.host().destroy(id).map_err(explain).unwrap();
    }
    settled(&ground, &before);
}

#[test]
fn the_parent_is_held_for_a_moment_however_much_it_wrote() {
    let ground = Ground::new();
    let parent = with_disk(2 * GIB);
    ground.host().create(&parent).map_err(explain).unwrap();
    for (mebibytes, label) in [(1, "1 MB"), (100, "100 MB"), (1000, "1 GB")] {
        let wrote =
            format!("dd if=/dev/urandom of=/root/big bs=1M count={mebibytes} 2> /dev/null && echo wrote");
        assert_eq!(ground.execute(&parent.id, &wrote).1, "wrote");
        measure(&ground, &parent, label);
    }
    ground.host().destroy(&parent.id).map_err(explain).unwrap();
}

#[expect(clippy::print_stdout, reason = "a test says what it measured")]
fn measure(ground: &Ground, parent: &Spec, label: &str) -> Forked {
    let sum = ground.execute(&parent.id, "md5sum < /root/big").1;
    let child = Spec { disk_bytes: parent.disk_bytes, ..order() };
    let began = Instant::now();
    let forked = fork(ground, &parent.id, &child);
    println!(
        "{label} written: forked in {:?}, held for {:?}, {:?}",
        began.elapsed(),
        forked.held,
        forked.way
    );
    assert_eq!(ground.execute(&child.id, "md5sum < /root/big").1, sum);
    ground.host().destroy(&child.id).map_err(explain).unwrap();
    forked
}

/// A file system in a file, mounted; both go with it.
struct Volume {
    home: tempfile::TempDir,
}

impl Volume {
    /// Makes one of `kind`; says why when it cannot.
    #[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
    fn new(kind: &str) -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::File::create(&file).unwrap().set_len(8 * GIB).unwrap();
        let format = std::process::Command::new(format!("mkfs.{kind}")).arg("-q").arg(&file).output();
        let Ok(format) = format else {
            println!(
                "skipped {kind}: there is no mkfs.{kind}; `cargo x test` installs xfsprogs and btrfs-progs"
            );
            return None;
        };
        assert!(format.status.success(), "{}", String::from_utf8_lossy(&format.stderr));
        std::fs::create_dir(home.path().join("at")).unwrap();
        let mut mount = std::process::Command::new("mount");
        let mount = mount.args(["-o", "loop"]).arg(&file).arg(home.path().join("at")).output().unwrap();
        if !mount.status.success() {
            println!("skipped {kind}: {}", String::from_utf8_lossy(&mount.stderr));
            return None;
        }
        Some(Self { home })
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        for _ in 0..100 {
            let unmounted = std::process::Command::new("umount").arg(self.home.path().join("at")).output();
            if unmounted.is_ok_and(|done| done.status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn shares_its_blocks(kind: &str) {
    let Some(volume) = Volume::new(kind) else { return };
    let ground = Ground::at(tempfile::tempdir_in(volume.home.path().join("at")).unwrap());
    let parent = with_disk(2 * GIB);
    ground.host().create(&parent).map_err(explain).unwrap();
    ground.execute(&parent.id, FILL);
    let expected = tree(&ground, &parent.id);
    let child = with_disk(2 * GIB);
    assert_eq!(fork(&ground, &parent.id, &child).way, Some(Way::Shared));
    assert_eq!(tree(&ground, &child.id), expected);
    ground.host().destroy(&child.id).map_err(explain).unwrap();
    assert_eq!(
        ground
            .execute(
                &parent.id,
                "dd if=/dev/urandom of=/root/big bs=1M count=1024 2> /dev/null && echo wrote"
            )
            .1,
        "wrote"
    );
    let forked = measure(&ground, &parent, &format!("{kind}: 1 GiB just"));
    assert_eq!(forked.way, Some(Way::Shared));
    let forked = measure(&ground, &parent, &format!("{kind}: 1 GiB, at rest,"));
    assert_eq!(forked.way, Some(Way::Shared));
    ground.host().destroy(&parent.id).map_err(explain).unwrap();
    drop(ground);
}

#[test]
fn blocks_are_shared_on_xfs() {
    shares_its_blocks("xfs");
}

#[test]
fn blocks_are_shared_on_btrfs() {
    shares_its_blocks("btrfs");
}

/// Waits until nobody uses the disk and has the checker look at it.
fn check(ground: &Ground, id: &str) {
    let path = ground.home.path().canonicalize().unwrap().join("sandboxes").join(id).join("disk.ext4");
    while linux::loopback::find(&path).unwrap().is_some() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let check = std::process::Command::new("e2fsck").arg("-fn").arg(&path).output();
    let check = check.expect("e2fsck is missing: apt-get install e2fsprogs");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}
