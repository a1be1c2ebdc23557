//! The host's disk is full: whoever needs space is told so; all others go on, and what is deleted goes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{delete, start, stop, wait_for};
use crate::serving::Serving;

/// Big enough for the image and some sandboxes.
const BYTES: u64 = 192 << 20;

/// A data directory on a file system of its own, which only the server sees.
struct Small {
    home: tempfile::TempDir,
}

impl Small {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = std::fs::File::create_new(home.path().join("small.ext4")).unwrap();
        linux::ext4::format(&file, BYTES, [7; 16], 1_700_000_000).unwrap();
        std::fs::create_dir(home.path().join("data")).unwrap();
        Self { home }
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Runs a command of ours with the file system in place; it goes with the last process that sees it.
    fn run(&self, arguments: &[&str]) -> Child {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.path().join("said.log"))
            .unwrap();
        let script = "mount -o loop \"$0/small.ext4\" \"$0/data\" && exec \"$@\"";
        Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .arg(self.home.path())
            .arg(env!("CARGO_BIN_EXE_daytona"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }
}

/// Fills the file system to its last block, through the eyes of the server.
fn fill(seen: &Path) {
    let mut file = std::fs::File::create(seen.join("filler")).unwrap();
    let mut piece = vec![0xA5; 1 << 20];
    while !piece.is_empty() {
        if file.write_all(&piece).is_err() {
            piece.truncate(piece.len() / 4);
        }
    }
    let _ = file.sync_all();
}

#[test]
fn a_full_disk_stops_nobody_who_needs_no_space() {
    let small = Small::new();
    let data = small.data();
    let archive = testkit::rootfs::tiny(small.home.path()).unwrap();
    let import = |name: &str| {
        let mut importing = vec!["image", "import", "--name", name, "--user", "daytona", "--data-dir"];
        importing.extend([data.to_str().unwrap(), archive.to_str().unwrap()]);
        small.run(&importing).wait().unwrap()
    };
    assert!(import("daytona-default").success());
    let child =
        small.run(&["server", "--port", "0", "--log-level", "warn", "--data-dir", data.to_str().unwrap()]);
    let seen = PathBuf::from(format!("/proc/{}/root", child.id())).join(data.strip_prefix("/").unwrap());
    let serving = Serving::adopt(child, &seen);
    let (one, two, idle) = (serving.create(), serving.create(), serving.create());
    serving.execute(&one, "echo kept > /home/daytona/file; sync");
    stop(&serving, &idle);
    fill(&seen);

    // What was prepared ahead is used up, then who needs space is told that there is none.
    let mut prepared = Vec::new();
    let message = loop {
        assert!(prepared.len() < 30, "a full disk still takes sandboxes");
        let (status, answer) = serving.ask("POST", "/api/sandbox", &json!({})).unwrap();
        if status != 200 {
            break answer.get("message").and_then(Value::as_str).unwrap().to_owned();
        }
        prepared.push(answer.get("id").and_then(Value::as_str).unwrap().to_owned());
    };
    println!("{} sandboxes were still made on a full disk; then: {message}", prepared.len());
    assert!(message.contains("No space left") || message.contains("full"), "{message}");
    assert!(!message.contains("/tmp/") && !message.contains("unexpected"), "{message}");
    let told =
        execute(&serving, &one, "dd if=/dev/zero of=/home/daytona/big bs=1M count=80 2>&1; sync; echo $?");
    println!("a sandbox that writes: {told}");
    // The others do not notice.
    assert_eq!(serving.execute(&two, "echo on"), "on");
    assert_eq!(serving.ask("GET", "/api/health", &Value::Null).unwrap().0, 200);
    // Deletion gives space back, and needs none.
    fill(&seen);
    delete(&serving, &two);
    for id in &prepared {
        delete(&serving, id);
    }
    std::fs::remove_file(seen.join("filler")).unwrap();

    // The fault is lifted: all goes on.
    serving.execute(&serving.create(), "echo new");
    start(&serving, &idle);
    assert_eq!(serving.execute(&idle, "echo back"), "back");
    let _ = serving.ask("POST", &format!("/api/sandbox/{one}/stop?force=true"), &json!({})).unwrap();
    wait_for(&serving, &one, "stopped");
    start(&serving, &one);
    assert_eq!(serving.execute(&one, "cat /home/daytona/file"), "kept");
    serving.delete_all();
    serving.stop();
}

#[test]
fn an_import_that_finds_the_disk_full_says_so_and_leaves_nothing() {
    let small = Small::new();
    let archive = testkit::rootfs::tiny(small.home.path()).unwrap();
    let script = "mount -o loop \"$0/small.ext4\" \"$0/data\" && mkdir -p \"$0/data/images/layers\"; \
        dd if=/dev/zero of=\"$0/data/filler\" bs=64k 2>/dev/null; \
        \"$1\" image import --name x --data-dir \"$0/data\" \"$2\"; echo status $?; find \"$0/data/images\" -name 'incoming*'; \
        rm \"$0/data/filler\"; \"$1\" image import --name x --data-dir \"$0/data\" \"$2\"; echo status $?";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(small.home.path())
        .args([Path::new(env!("CARGO_BIN_EXE_daytona")), &archive])
        .output()
        .unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(errors.contains("No space left on device"), "{errors}");
    assert!(told.starts_with("status 1\n"), "{told}");
    assert!(!told.contains("incoming"), "{told}");
    assert!(told.trim_end().ends_with("status 0"), "{told}{errors}");
}

fn execute(serving: &Serving, id: &str, command: &str) -> String {
    let path = format!("/toolbox/{id}/process/execute");
    let (_, answer) = serving.ask("POST", &path, &json!({ "command": command, "timeout": 30 })).unwrap();
    answer.to_string()
}
