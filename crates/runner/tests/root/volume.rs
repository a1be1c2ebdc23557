//! Volumes on the real kernel: they outlive sandboxes, several have one at once, and what is read-only stays so.

use runner::error::Class;
use runner::sandbox::spec::{Mount, Spec};

use crate::ground::{Ground, explain, order};

const DATA: &str = "0b5e7d0e-3f5f-4c0e-9b0a-6f1c9f2f1a01";
const OTHER: &str = "0b5e7d0e-3f5f-4c0e-9b0a-6f1c9f2f1a02";

fn mount(path: &str) -> Mount {
    Mount { volume_id: DATA.to_owned(), path: path.to_owned(), subpath: None, is_read_only: false }
}

fn read_only(path: &str) -> Mount {
    Mount { is_read_only: true, ..mount(path) }
}

fn part(path: &str, subpath: &str) -> Mount {
    Mount { subpath: Some(subpath.to_owned()), ..mount(path) }
}

fn with(volumes: &[Mount]) -> Spec {
    Spec { volumes: volumes.to_vec(), ..order() }
}

fn made(ground: &Ground, volumes: &[Mount]) -> String {
    let spec = with(volumes);
    ground.host().create(&spec).map_err(explain).unwrap();
    spec.id
}

fn ground() -> Ground {
    let ground = Ground::new();
    ground.host().volumes().make(DATA).map_err(explain).unwrap();
    ground
}

/// Runs a command that must succeed, and returns what it said.
fn good(ground: &Ground, id: &str, command: &str) -> String {
    let (code, said) = ground.execute(id, command);
    assert_eq!(code, 0, "{command}: {said}");
    said
}

#[test]
fn a_volume_outlives_its_sandboxes_and_several_have_it_at_once() {
    let ground = ground();
    let first = made(&ground, &[mount("/data")]);
    // Whoever is not root may write too.
    let fill = "mkdir /data/d && echo one > /data/d/f && chmod 640 /data/d/f && chown 1000:7 /data/d/f && ln /data/d/f /data/h";
    good(&ground, &first, fill);
    let second = made(&ground, &[mount("/mnt/deep/er")]);
    assert_eq!(
        good(&ground, &second, "stat -c '%u %g %a %h' /mnt/deep/er/d/f && cat /mnt/deep/er/h"),
        "1000 7 640 2\none"
    );
    good(&ground, &second, "echo two >> /mnt/deep/er/h && mv /mnt/deep/er/d/f /mnt/deep/er/d/g");
    assert_eq!(good(&ground, &first, "cat /data/d/g"), "one\ntwo");
    assert_eq!(good(&ground, &first, "stat -c %a /data"), "777");
    for id in [&first, &second] {
        ground.host().destroy(id).map_err(explain).unwrap();
    }
    let third = made(&ground, &[mount("/data")]);
    assert_eq!(good(&ground, &third, "cat /data/d/g"), "one\ntwo");
    ground.host().destroy(&third).map_err(explain).unwrap();
    ground.host().volumes().remove(DATA).map_err(explain).unwrap();
    ground.host().volumes().remove(DATA).map_err(explain).unwrap();
    assert_eq!(std::fs::read_dir(ground.home.path().join("volumes")).unwrap().count(), 0);
}

#[test]
fn what_is_read_only_stays_so_whatever_root_inside_tries() {
    let ground = ground();
    let writer = made(&ground, &[mount("/data")]);
    good(&ground, &writer, "echo kept > /data/f");
    let reader = made(&ground, &[read_only("/data")]);
    assert_eq!(good(&ground, &reader, "cat /data/f"), "kept");
    let tries = [
        "echo gone > /data/f",
        "rm /data/f",
        "touch /data/new",
        "chmod 777 /data/f",
        "mount -o remount,rw /data",
        "mount -o remount,bind,rw /data",
        "mount --bind /data /mnt && echo gone > /mnt/f",
        "umount /data && echo gone > /data/f && cat /data/f",
        "unshare -Urm sh -c 'mount -o remount,bind,rw /data && echo gone > /data/f'",
        "for d in /dev/loop*; do echo gone > $d; done; exit 1",
    ];
    for attempt in tries {
        assert_ne!(ground.execute(&reader, attempt).0, 0, "{attempt}");
        assert_eq!(good(&ground, &reader, "cat /data/f"), "kept", "{attempt}");
        assert_eq!(good(&ground, &writer, "cat /data/f && ls -A /data"), "kept\nf", "{attempt}");
    }
    // The same volume at two places of one sandbox, as each says.
    let both = made(&ground, &[mount("/a"), read_only("/b")]);
    good(&ground, &both, "echo more > /a/more && cat /b/more && ! echo less > /b/more");
}

#[test]
fn a_part_is_all_that_is_seen_and_no_link_leads_out_of_it() {
    let ground = ground();
    let whole = made(&ground, &[mount("/data")]);
    good(
        &ground,
        &whole,
        "mkdir -p /data/tenant/a && echo mine > /data/tenant/a/f && echo secret > /data/secret && ln -s / /data/link && ln -s ../../.. /data/tenant/up",
    );
    let partial = made(&ground, &[part("/part", "tenant/a"), part("/fresh", "not/there/yet")]);
    assert_eq!(good(&ground, &partial, "ls -A /part && cat /part/f"), "f\nmine");
    good(&ground, &partial, "touch /fresh/f && ! ls /part/../secret && ! ls /part/../../secret");
    assert_eq!(good(&ground, &whole, "ls /data/not/there/yet && stat -c %a /data/not"), "f\n777");
    for hostile in ["link/etc", "tenant/up/etc", "secret/x"] {
        let spec = with(&[part("/x", hostile)]);
        let error = ground.host().create(&spec).unwrap_err();
        assert!(explain(error).contains("mount a volume"), "{hostile}");
        assert!(!ground.host().ids().contains(&spec.id), "a failed create leaves nothing");
    }
}

#[test]
fn a_volume_that_is_full_is_full_alone() {
    let ground = ground();
    ground.host().volumes().make(OTHER).map_err(explain).unwrap();
    let other = Mount { volume_id: OTHER.to_owned(), ..mount("/other") };
    let id = made(&ground, &[mount("/data"), other]);
    let (code, said) = ground.execute(&id, "dd if=/dev/zero of=/data/big bs=1M 2>&1 | tail -n 4; [ $(df -m /data | tail -n 1 | awk '{print $4}') -lt 64 ]");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    good(&ground, &id, "echo room > /other/f && echo room > /root/f && rm /data/big && echo room > /data/f");
}

#[test]
fn a_sandbox_that_stops_and_a_server_that_dies_find_their_volumes_again() {
    let ground = ground();
    let id = made(&ground, &[mount("/data")]);
    good(
        &ground,
        &id,
        "echo kept > /data/f; (while true; do date >> /data/log; sleep 0.2; done) > /dev/null 2>&1 &",
    );
    let ground = ground.reopen();
    // The disk is mounted by the sandbox alone now; a second device of the same file would destroy it.
    let second = made(&ground, &[mount("/data")]);
    assert_eq!(good(&ground, &second, "cat /data/f && echo more >> /data/f"), "kept");
    assert_eq!(good(&ground, &id, "cat /data/f"), "kept\nmore");
    ground.host().stop(&id, false).map_err(explain).unwrap();
    ground.host().start(&id).map_err(explain).unwrap();
    assert_eq!(good(&ground, &id, "cat /data/f"), "kept\nmore");
}

#[test]
fn a_volume_comes_to_a_sandbox_that_runs() {
    let ground = ground();
    let id = made(&ground, &[]);
    good(&ground, &id, "mkdir -p /srv && ln -s /srv /link && echo before > /root/f");
    ground.host().attach(&id, &mount("/srv/data")).map_err(explain).unwrap();
    ground.host().attach(&id, &mount("/srv/data")).map_err(explain).unwrap();
    ground.host().attach(&id, &read_only("/view")).map_err(explain).unwrap();
    assert_eq!(
        good(&ground, &id, "echo late > /srv/data/f && cat /view/f && stat -c %u /srv/data/f"),
        "late\n0"
    );
    assert_eq!(good(&ground, &id, "grep -c ' /srv/data ' /proc/self/mounts"), "1");
    assert_ne!(ground.execute(&id, "echo gone > /view/f").0, 0);
    assert_ne!(ground.execute(&id, "mount -o remount,bind,rw /view").0, 0);
    ground.host().stop(&id, false).map_err(explain).unwrap();
    ground.host().start(&id).map_err(explain).unwrap();
    assert_eq!(good(&ground, &id, "cat /srv/data/f /view/f"), "late\nlate");
    // Nobody inside saw the helper, and nothing of it is left.
    assert_eq!(good(&ground, &id, "ls /proc | grep -c '^[0-9]*$' | awk '{print ($1 < 8)}'"), "1");
}

#[test]
fn what_is_not_there_or_in_use_is_told() {
    let ground = ground();
    let lost = Mount { volume_id: OTHER.to_owned(), ..mount("/data") };
    let error = ground.host().create(&with(&[lost])).unwrap_err();
    assert_eq!(error.class(), Class::Reject);
    assert!(explain(error).contains(OTHER));
    // A file is no place for a directory.
    let error = ground.host().create(&with(&[mount("/bin/busybox/x")])).unwrap_err();
    assert!(explain(error).contains("busybox"));
}
