//! Files of the server that are damaged, missing or must not be written.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{create_refused, delete, list, start, stop, wait_for};
use crate::agree::{agree, at_rest};
use crate::serving::{Serving, import, process, said};

/// Overwrites every page of the database but the first few bytes of the file.
fn spoil(path: &Path, from: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    for byte in bytes.iter_mut().skip(from) {
        *byte = 0xA5;
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_database_is_kept_aside_and_every_sandbox_is_found_again() {
    for from in [0, 4096, 20_000] {
        let home = tempfile::tempdir().unwrap();
        let serving = Serving::start(home.path());
        let (runs, stopped) = (serving.create(), serving.create());
        serving.execute(&runs, "echo kept > /tmp/file; sleep 1000 > /dev/null 2>&1 &");
        serving.execute(&stopped, "echo kept > /home/daytona/file");
        stop(&serving, &stopped);
        let home = (serving.stop(), home).1;
        spoil(&home.path().join("daytona.db"), from);

        let serving = Serving::launch(home.path());
        let told = said(home.path());
        assert!(told.contains("was damaged") && told.contains("daytona.db.damaged-1"), "{told}");
        assert!(home.path().join("daytona.db.damaged-1").exists());
        let items = at_rest(&serving);
        agree(home.path(), &items);
        assert_eq!(items.len(), 2, "{items:?}");
        assert!(serving.execute(&runs, "cat /tmp/file; ps").contains("sleep 1000"));
        start(&serving, &stopped);
        assert_eq!(serving.execute(&stopped, "cat /home/daytona/file"), "kept");
        for id in [&runs, &stopped] {
            delete(&serving, id);
        }
        serving.execute(&serving.create(), "echo new");
        serving.delete_all();
        serving.stop();
    }
}

#[test]
fn a_database_that_is_gone_loses_no_sandbox() {
    let home = tempfile::tempdir().unwrap();
    let serving = Serving::start(home.path());
    let id = serving.create();
    serving.stop();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(home.path().join(format!("daytona.db{suffix}")));
    }
    let serving = Serving::launch(home.path());
    at_rest(&serving);
    assert_eq!(serving.execute(&id, "echo here"), "here");
    delete(&serving, &id);
    serving.stop();
}

fn record(home: &Path, id: &str) -> PathBuf {
    home.join("sandboxes").join(id).join("sandbox.json")
}

#[test]
fn a_damaged_or_missing_record_costs_no_disk() {
    let home = tempfile::tempdir().unwrap();
    let serving = Serving::start(home.path());
    let (damaged, missing, fine) = (serving.create(), serving.create(), serving.create());
    for id in [&damaged, &missing] {
        serving.execute(id, "echo precious > /home/daytona/file; sync");
        stop(&serving, id);
    }
    serving.stop();
    std::fs::write(record(home.path(), &damaged), "{\"spec\":").unwrap();
    let text = std::fs::read(record(home.path(), &missing)).unwrap();
    std::fs::remove_file(record(home.path(), &missing)).unwrap();

    let serving = Serving::launch(home.path());
    assert_eq!(serving.execute(&fine, "echo fine"), "fine");
    let aside = |id: &str| home.path().join("broken").join(id).join("disk.ext4");
    for id in [&damaged, &missing] {
        assert!(aside(id).exists(), "the disk of {id} is gone");
        // A request finds out, or the next look.
        let _ = serving.ask("POST", &format!("/api/sandbox/{id}/start"), &json!({})).unwrap();
        let reason = wait_for(&serving, id, "error");
        assert!(reason.contains("record"), "{reason}");
    }
    delete(&serving, &damaged);
    assert!(!aside(&damaged).exists(), "deleted, and its files are still there");
    serving.stop();

    // The operator brings the record back.
    std::fs::write(home.path().join("broken").join(&missing).join("sandbox.json"), text).unwrap();
    std::fs::rename(home.path().join("broken").join(&missing), home.path().join("sandboxes").join(&missing))
        .unwrap();
    let serving = Serving::launch(home.path());
    start(&serving, &missing);
    assert_eq!(serving.execute(&missing, "cat /home/daytona/file"), "precious");
    serving.delete_all();
    agree(home.path(), &[]);
    serving.stop();
}

#[test]
fn a_missing_layer_is_named_and_can_be_imported_again() {
    let home = tempfile::tempdir().unwrap();
    let serving = Serving::start(home.path());
    let (stopped, doomed) = (serving.create(), serving.create());
    stop(&serving, &stopped);
    stop(&serving, &doomed);
    let layers = home.path().join("images/layers");
    for layer in std::fs::read_dir(&layers).unwrap() {
        std::fs::remove_dir_all(layer.unwrap().path()).unwrap();
    }
    let message = create_refused(&serving);
    assert!(message.contains("layer") && message.contains("import"), "{message}");
    let _ = serving.ask("POST", &format!("/api/sandbox/{stopped}/start"), &json!({})).unwrap();
    let reason = wait_for(&serving, &stopped, "error");
    assert!(reason.contains("layer") && reason.contains("import"), "{reason}");
    delete(&serving, &doomed);
    import(home.path(), "daytona-default");
    start(&serving, &stopped);
    serving.create();
    serving.delete_all();
    serving.stop();
}

#[test]
fn a_missing_or_damaged_disk_is_told_and_its_sandbox_deleted() {
    let home = tempfile::tempdir().unwrap();
    let serving = Serving::start(home.path());
    let (missing, damaged) = (serving.create(), serving.create());
    let disk = |id: &str| home.path().join("sandboxes").join(id).join("disk.ext4");
    for id in [&missing, &damaged] {
        stop(&serving, id);
    }
    std::fs::remove_file(disk(&missing)).unwrap();
    let length = std::fs::metadata(disk(&damaged)).unwrap().len();
    let garbage = std::fs::File::options().write(true).open(disk(&damaged)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&garbage, &vec![0xA5; 65_536], 0).unwrap();
    garbage.set_len(length).unwrap();
    for id in [&missing, &damaged] {
        let _ = serving.ask("POST", &format!("/api/sandbox/{id}/start"), &json!({})).unwrap();
        let reason = wait_for(&serving, id, "error");
        assert!(reason.contains("disk"), "{reason}");
        assert!(!reason.contains(home.path().to_str().unwrap()), "a path of the host is told: {reason}");
        delete(&serving, id);
    }
    agree(home.path(), &at_rest(&serving));
    serving.execute(&serving.create(), "echo new");
    serving.delete_all();
    serving.stop();
}

#[test]
fn a_missing_key_file_is_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let serving = Serving::start(home.path());
    let id = serving.create();
    let (_, old) = serving.address();
    serving.stop();
    std::fs::remove_file(home.path().join("admin-api-key")).unwrap();
    let serving = Serving::launch(home.path());
    let (host, new) = serving.address();
    assert_ne!(old, new);
    let path = format!("/api/sandbox/{id}");
    for key in [&old, &new] {
        let (status, answer) = crate::serving::ask(&host, key, "GET", &path, &json!({})).unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    serving.delete_all();
    serving.stop();
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    let serving = Serving::start(home.path());
    let id = serving.create();
    serving.stop();
    // In a mount namespace of its own: the directory is read-only for this server alone.
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && exec \"$0\" server --port 0 --data-dir \"$1\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_daytona")])
        .arg(home.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{told}");
    assert!(told.contains("Read-only file system") && told.contains(home.path().to_str().unwrap()), "{told}");
    let serving = Serving::launch(home.path());
    assert_eq!(serving.execute(&id, "echo here"), "here");
    serving.delete_all();
    serving.stop();
}

#[test]
fn a_key_that_the_settings_name_works_after_the_database_was_lost() {
    let home = tempfile::tempdir().unwrap();
    import(home.path(), "daytona-default");
    let mut child = process(home.path(), &["--admin-api-key", "said"]);
    for _ in 0..500 {
        if home.path().join("server.json").exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(std::fs::read_to_string(home.path().join("admin-api-key")).unwrap().trim(), "said");
    std::fs::write(home.path().join("daytona.db"), "garbage".repeat(1000)).unwrap();
    let serving = Serving::launch(home.path());
    assert_eq!(serving.address().1, "said");
    assert!(list(&serving).is_empty());
    let id = serving.create();
    assert_eq!(serving.ask("GET", &format!("/api/sandbox/{id}"), &Value::Null).unwrap().0, 200);
    serving.delete_all();
    serving.stop();
}
