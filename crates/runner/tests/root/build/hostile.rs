//! What strangers may try: a build is as contained as any sandbox.

use runner::build::Cancel;
use tar::EntryType;
use types::sandbox::Network;

use super::{Files, Lines, build, build_order, failure, inside};
use crate::ground::Ground;
use crate::life::settled;

#[test]
fn steps_run_in_a_sandbox() {
    let ground = Ground::new();
    let before = ground.census();
    let text = "FROM tiny\nRUN cat /proc/self/uid_map > /map; cat /proc/1/cgroup > /group; hostname > /name; \
        mount 2>/dev/null | grep -c /work > /mounts; ls /sys/fs/cgroup > /control; true\n\
        RUN if mount -t tmpfs none /mnt 2>/dev/null; then exit 1; fi; if echo 1 2>/dev/null > /proc/sys/kernel/panic; then exit 2; fi\n";
    let (built, _) = build(&ground, text, &Files::default());
    let found = inside(&ground, &built, "cat /map");
    let words: Vec<&str> = found.split_whitespace().collect();
    assert_eq!((words[0], words[2]), ("0", "65536"), "{found}");
    assert_ne!(words[1], "0", "root of a step is root of the host");
    settled(&ground, &before);
}

#[test]
fn steps_have_limits() {
    let ground = Ground::new();
    let before = ground.census();
    // Memory: 64 MiB are allowed, and tail wants all of what it reads.
    let lines = Lines::default();
    let mut order =
        build_order("FROM tiny\nRUN dd if=/dev/zero of=/dev/null bs=200M count=1\n", &Files::default());
    order.memory_bytes = 64 << 20;
    let failed = ground.host().build(&order, &Files::default(), &lines, &Cancel::default()).unwrap_err();
    assert!(failed.to_string().contains("lack of memory"), "{failed}");
    // The disk is full alone.
    let said =
        failure(&ground, "FROM tiny\nRUN dd if=/dev/zero of=/full bs=1M count=2000\n", &Files::default());
    assert!(said.contains("line 2") && said.contains("No space left"), "{said}");
    settled(&ground, &before);
}

#[test]
fn steps_reach_what_a_sandbox_reaches() {
    let ground = Ground::new();
    // The host listens on all its addresses; a sandbox reaches none of them.
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!(
        "FROM tiny\nRUN gateway=$(ip route | grep default); set -- $gateway; echo \"$3\" > /gateway; \
         if nc -w 1 \"$3\" {port} < /dev/null 2>/dev/null; then exit 1; fi\n\
         RUN if wget -T 1 -q -O /dev/null http://169.254.169.254/ 2>/dev/null; then exit 1; fi\n\
         RUN --network=none if nc -w 1 192.0.2.1 53 < /dev/null 2>/dev/null; then exit 1; fi\n"
    );
    let mut order = build_order(&text, &Files::default());
    order.network = Network::default();
    let lines = Lines::default();
    let built = ground.host().build(&order, &Files::default(), &lines, &Cancel::default());
    let built = built.map_err(|error| format!("{error}: {:?}", lines.all())).unwrap();
    assert_ne!(inside(&ground, &built, "cat /gateway"), "");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "a step reached the host");
}

#[test]
fn contexts_stay_where_they_belong() {
    let ground = Ground::new();
    let before = ground.census();
    let secret = ground.home.path().join("secret");
    std::fs::write(&secret, "host").unwrap();
    let directory = ground.home.path().to_str().unwrap().trim_start_matches('/').to_owned();
    let entry = |path: &str, kind: EntryType, target: &str| {
        let (path, target) = (path.to_owned(), target.to_owned());
        Files::default().with_entries("h", move |archive| {
            if kind == EntryType::Regular {
                let mut header = tar::Header::new_gnu();
                header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
                header.set_mode(0o644);
                header.set_size(4);
                header.set_uid(0);
                header.set_gid(0);
                header.set_cksum();
                return archive.append(&header, &b"evil"[..]);
            }
            testkit::rootfs::link(archive, &path, &target)
        })
    };
    let said = failure(&ground, "FROM tiny\nCOPY a /\n", &entry("../../../secret", EntryType::Regular, ""));
    assert!(said.contains("`..`"), "{said}");
    // A link out of the context leads inside of it, where nothing is.
    let out = entry("a", EntryType::Symlink, secret.to_str().unwrap());
    assert!(failure(&ground, "FROM tiny\nCOPY a /x\n", &out).contains("`a` is not in the build context"));
    let up = entry("up", EntryType::Symlink, "../../../../../../../..");
    let said = failure(&ground, &format!("FROM tiny\nCOPY up/{directory}/secret /x\n"), &up);
    assert!(said.contains("build context"), "{said}");
    // A link of the image leads inside of the image.
    let text = format!(
        "FROM tiny\nRUN mkdir -p /{directory}; ln -s /{directory} /way; ln -s /../../../{directory}/secret /file\nCOPY a /way/secret\nCOPY a /file\n\
         RUN cat /file\n"
    );
    let (built, _) = build(&ground, &text, &Files::default().with("h", &[("a", "mine")]));
    assert_eq!(inside(&ground, &built, &format!("cat /{directory}/secret /file")), "minemine");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "host");
    // An ignore file that is a link, or endless.
    let ignore = entry(".dockerignore", EntryType::Symlink, "/dev/zero");
    let said = failure(&ground, "FROM tiny\nCOPY none /\n", &ignore);
    assert!(said.contains("build context"), "{said}");
    settled(&ground, &before);
}
