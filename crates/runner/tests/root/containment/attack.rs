//! The attacking program, an image that has it, and how to let it loose.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use runner::sandbox::spec::Spec;
use tar::EntryType;
use testkit::rootfs;

use crate::ground::{Ground, explain, import, order};

/// Builds `crates/linux/tests/program/attempt.rs`, once for all tests of this process.
pub(super) fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../linux/tests/program/attempt.rs");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (built, kept) = (target.join(format!("attempt-{}", std::process::id())), target.join("attempt"));
        let status = Command::new("rustc")
            .args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "panic=abort"])
            .args(["--target", "x86_64-unknown-linux-gnu", "-C", "strip=symbols", "-o"])
            .args([built.as_path(), Path::new(source)])
            .status()
            .unwrap();
        assert!(status.success(), "rustc cannot build {source}");
        // Other processes may be using the last one.
        std::fs::rename(built, &kept).unwrap();
        kept
    })
}

/// A sandbox with the attacking program as `/bin/attempt`.
pub(super) struct Arena {
    pub(super) ground: Ground,
    pub(super) id: String,
}

impl Arena {
    pub(super) fn new() -> Self {
        let ground = Ground::new();
        let attempt = std::fs::read(program()).unwrap();
        let archive = rootfs::tiny_with(ground.home.path(), "armed", |archive| {
            rootfs::entry(archive, "bin/attempt", EntryType::Regular, 0o755, 0, &attempt)
        });
        import(ground.host(), &archive.unwrap(), "armed");
        let arena = Self { ground, id: String::new() };
        let id = arena.another();
        Self { id, ..arena }
    }

    /// Makes one more sandbox of the same image.
    pub(super) fn another(&self) -> String {
        let spec = Spec { image: "armed".to_owned(), ..order() };
        self.ground.host().create(&spec).map_err(explain).unwrap();
        spec.id
    }

    /// Runs a command and returns its exit code and output.
    pub(super) fn execute(&self, command: &str) -> (i64, String) {
        self.ground.execute(&self.id, command)
    }

    /// Makes the calls of `lines`, which are written as the program wants them, and returns the answer to each name.
    pub(super) fn attempt(&self, lines: &[String]) -> BTreeMap<String, String> {
        let mut answers = BTreeMap::new();
        // An argument of a program has at most 128 KiB.
        for part in lines.chunks(400) {
            let command = format!("attempt <<'END'\n{}\nEND", part.join("\n"));
            let (code, said) = self.execute(&command);
            assert_eq!(code, 0, "{said}");
            answers.extend(read(&said));
        }
        assert_eq!(answers.len(), lines.len(), "some attempts have the same name, or no answer");
        answers
    }
}

/// Makes the same calls on the host, in new namespaces with every capability in them and no filter: what differs from
/// the answers inside is the filter's work.
pub(super) fn attempt_without_filter(lines: &[String]) -> BTreeMap<String, String> {
    let mut child = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--fork",
            "--net",
            "--ipc",
            "--uts",
            "--cgroup",
        ])
        .arg(program())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "unshare ended with {}", output.status);
    read(&String::from_utf8(output.stdout).unwrap())
}

fn read(said: &str) -> BTreeMap<String, String> {
    let answers = said.lines().filter_map(|line| line.split_once(' '));
    answers.map(|(name, answer)| (name.to_owned(), answer.to_owned())).collect()
}
