//! A file arrives whole or not at all.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn count(directory: &Path) -> usize {
    std::fs::read_dir(directory).expect("list").count()
}

#[test]
fn pieces_are_written_in_order_however_many() {
    let directory = tempfile::tempdir().expect("directory");
    let target = directory.path().join("file");
    // More than one call to the kernel can take (writev(2): 1,024).
    let pieces: Vec<Bytes> =
        (0..3_000_u32).map(|number| Bytes::copy_from_slice(&number.to_le_bytes())).collect();
    let mut incoming = Incoming::create(&target, "token").expect("create");
    incoming.write_pieces(&pieces).expect("write");
    incoming.write_pieces(&[]).expect("nothing to write");
    incoming.write_pieces(&[Bytes::new(), Bytes::from_static(b"end")]).expect("write");
    assert_eq!(incoming.finish().expect("finish"), 12_003);
    let expected = [pieces.concat(), b"end".to_vec()].concat();
    assert!(std::fs::read(&target).expect("read") == expected);
}

fn receive(target: &Path, contents: &[u8]) -> Result<u64, DaemonError> {
    let mut incoming = Incoming::create(target, "token")?;
    incoming.write(contents)?;
    incoming.finish()
}

#[test]
fn a_file_appears_only_when_it_is_whole() {
    let directory = tempfile::tempdir().expect("directory");
    let target = directory.path().join("a/b/é \"q\".txt");
    let mut incoming = Incoming::create(&target, "token").expect("create");
    incoming.write(b"half").expect("write");
    assert!(!target.exists());
    drop(incoming);
    assert_eq!(count(target.parent().expect("parent")), 0);
    assert_eq!(receive(&target, b"whole").expect("receive"), 5);
    assert_eq!(std::fs::read(&target).expect("read"), b"whole");
    assert_eq!(count(target.parent().expect("parent")), 1);
}

#[test]
fn a_replaced_file_keeps_its_mode_and_loses_its_contents() {
    let directory = tempfile::tempdir().expect("directory");
    let target = directory.path().join("script");
    std::fs::write(&target, "a long old text").expect("write");
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o751)).expect("mode");
    receive(&target, b"new").expect("receive");
    assert_eq!(std::fs::read(&target).expect("read"), b"new");
    assert_eq!(std::fs::metadata(&target).expect("metadata").mode() & 0o777, 0o751);
    assert_eq!(count(directory.path()), 1);
}

#[test]
fn links_lead_to_the_file_even_when_it_is_not_there_yet() {
    let directory = tempfile::tempdir().expect("directory");
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("file"), "old").expect("write");
    for (link, target) in [("to-file", "file"), ("to-nothing", "new")] {
        std::os::unix::fs::symlink(path(target), path(link)).expect("link");
        receive(&path(link), b"x").expect("receive");
        assert!(std::fs::symlink_metadata(path(link)).expect("link").is_symlink());
        assert_eq!(std::fs::read(path(target)).expect("read"), b"x");
    }
}

#[test]
fn directories_and_devices_are_not_replaced() {
    let directory = tempfile::tempdir().expect("directory");
    for target in [directory.path(), Path::new("/dev/null"), Path::new("/")] {
        let error = receive(target, b"x").expect_err("occupied");
        assert_eq!(error.status_and_code(), (400, "INVALID_FILE_PATH"), "{error}");
    }
    std::fs::write(directory.path().join("file"), "").expect("write");
    let error = receive(&directory.path().join("file/below"), b"x").expect_err("a file is no directory");
    assert!((400..500).contains(&error.status_and_code().0), "{error}");
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("directory");
    let mounted = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", "mount -t tmpfs -o size=1m none \"$0\" && exec sleep 60"])
        .arg(directory.path())
        .spawn();
    let Ok(mut holder) = mounted else {
        println!("skipped: no unshare(1) to make a small disk");
        return;
    };
    // The mount is only visible in the holder's namespace; its root is reached through /proc.
    let root = PathBuf::from(format!("/proc/{}/root{}", holder.id(), directory.path().display()));
    let is_small =
        || rustix::fs::statvfs(&root).is_ok_and(|status| status.f_blocks * status.f_frsize == 1 << 20);
    let ready = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        is_small()
    });
    if ready {
        let error = receive(&root.join("big"), &vec![1; 4 << 20]).expect_err("it does not fit");
        assert_eq!(error.status_and_code(), (413, "DISK_FULL"));
        assert_eq!(count(&root), 0);
    } else {
        println!("skipped: mounting a small disk needs root");
    }
    holder.kill().expect("kill");
    holder.wait().expect("wait");
}
