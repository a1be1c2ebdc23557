//! Files, with `sftp` and `scp`.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::harness::TestDaemon;

use super::client::{Client, errors, output};

const BIG_BYTES: u64 = 200 * 1024 * 1024;

/// Runs a batch of `sftp`, which stops at the first failure; returns what was printed.
fn batch(client: &Client, lines: &str) -> Result<String, String> {
    let path = client.path("batch");
    fs::write(&path, lines).expect("batch");
    let run =
        output(client.program_for_files("sftp", &["-b", path.to_str().expect("UTF-8")]).arg("a@127.0.0.1"));
    if run.status.success() {
        Ok(String::from_utf8_lossy(&run.stdout).into_owned())
    } else {
        Err(errors(&run))
    }
}

/// Makes a file of which no two pieces are alike.
fn big(path: &Path) {
    let mut file = fs::File::create(path).expect("create");
    let (mut state, mut piece) = (42, vec![0; 1 << 20]);
    for _ in 0..BIG_BYTES >> 20 {
        super::pattern(&mut state, &mut piece);
        file.write_all(&piece).expect("write");
    }
}

/// Returns whether two files are alike, without holding them in memory.
fn alike(one: &Path, other: &Path) -> bool {
    std::process::Command::new("cmp").arg(one).arg(other).status().expect("cmp").success()
}

#[test]
fn a_big_file_comes_back_as_it_went() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let (source, back, there) = (client.path("source"), client.path("back"), daemon.work().join("there"));
    big(&source);
    batch(&client, &format!("put {} there\n", source.display())).expect("put");
    assert!(alike(&source, &there), "what arrived is what was sent");
    fs::remove_file(&source).expect("make room");
    batch(&client, &format!("get there {}\n", back.display())).expect("get");
    assert!(alike(&there, &back), "what came back is what is there");
    assert_eq!(fs::metadata(&back).expect("there").len(), BIG_BYTES);
}

#[test]
fn names_and_attributes_are_shown_and_changed() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let work = daemon.work();
    fs::write(work.join("a"), "hello").expect("write");
    let shown = batch(
        &client,
        "pwd\nmkdir d\nrename a d/b\nchmod 600 d/b\nsymlink b d/link\nln d/b d/hard\nls -la d\ncd d\npwd\nls -1\n",
    )
    .expect("all of it");
    assert!(shown.contains(&format!("Remote working directory: {}\n", work.display())), "{shown}");
    assert!(shown.contains(&format!("Remote working directory: {}/d\n", work.display())), "{shown}");
    // Newer clients show the directory in front.
    let is_it = |line: &&str| line.starts_with('-') && (line.ends_with(" b") || line.ends_with("/b"));
    let line = shown.lines().find(is_it).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.starts_with("-rw-------    2 ") && line.contains(" 5 "), "{line}");
    assert!(shown.contains("\nb\nhard\nlink\n"), "{shown}");
    assert_eq!(fs::read_link(work.join("d/link")).expect("a link"), Path::new("b"));
    batch(&client, "rm d/link\nrm d/hard\nrm d/b\nrmdir d\n").expect("removed");
    assert!(!work.join("d").exists());
    for (line, words) in [
        ("get missing\n", "not found"),
        ("rmdir missing\n", "No such file or directory"),
        ("mkdir /proc/x\n", "remote mkdir"),
        ("ls missing\n", "not found"),
    ] {
        let error = batch(&client, line).expect_err(line);
        assert!(error.contains(words), "{line}: {error}");
    }
    assert!(batch(&client, "df\n").expect("the file system").contains("%Capacity"));
}

#[test]
fn a_tree_is_copied_there_and_back() {
    let daemon = TestDaemon::start();
    let client = Client::new(&daemon);
    let tree = client.path("tree");
    for number in 0..40 {
        let directory = tree.join(format!("d{}/e", number % 4));
        fs::create_dir_all(&directory).expect("directory");
        fs::write(directory.join(format!("file {number}")), format!("{number}\n").repeat(number * 50))
            .expect("write");
    }
    let copy = |more: &[&str], from: &str, to: &str| {
        let run = output(client.program_for_files("scp", more).args([from, to]));
        assert!(run.status.success(), "{more:?}: {}", errors(&run));
    };
    copy(&["-rpq"], tree.to_str().expect("UTF-8"), "a@127.0.0.1:there");
    let back = client.path("back");
    copy(&["-rpq"], "a@127.0.0.1:there", back.to_str().expect("UTF-8"));
    for copied in [daemon.work().join("there"), back] {
        let compared = output(std::process::Command::new("diff").arg("-r").arg(&tree).arg(&copied));
        assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
    }
}
