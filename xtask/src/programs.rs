//! The test programs of the workspace: all are built by one cargo, and each is run by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::lanes::{Say, Tally};
use crate::process;
use crate::report::Step;

/// The programs that take longest, for they wait for sandboxes: what begins first does not make the others wait at the end.
const LONGEST: &[&str] =
    &["crates/runner/tests/root", "crates/cli/tests", "crates/daemon/tests", "crates/runner/tests/net"];

/// A program that holds tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its main source file, from the root of the tree.
    pub(crate) name: String,
    executable: PathBuf,
    /// Of its package: where cargo, too, would run it.
    directory: PathBuf,
}

/// Builds them all, those that need root included: one invocation, so that one build serves all. The longest come first.
pub(crate) fn build(daemon: &Path) -> Result<Vec<Program>> {
    let step = Step::begin("building the tests");
    let mut command = process::cargo();
    command.args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"]);
    let messages = process::output(command.env("DAYTONA_DAEMON", daemon))?;
    step.done();
    let mut programs: Vec<Program> =
        messages.lines().filter_map(|line| read(&serde_json::from_str(line).ok()?)).collect();
    programs.sort_by_key(|program| {
        LONGEST.iter().position(|name| program.name.starts_with(name)).unwrap_or(LONGEST.len())
    });
    Ok(programs)
}

/// Reads one message of cargo, if it tells of a test program.
fn read(message: &Value) -> Option<Program> {
    message.pointer("/profile/test")?.as_bool().filter(|is_test| *is_test)?;
    let text = |pointer: &str| message.pointer(pointer)?.as_str();
    let source = Path::new(text("/target/src_path")?);
    Some(Program {
        name: source.strip_prefix(process::root()).unwrap_or(source).display().to_string(),
        executable: text("/executable")?.into(),
        directory: Path::new(text("/manifest_path")?).parent()?.to_owned(),
    })
}

impl Program {
    /// Runs its tests, or those that a filter leaves.
    pub(crate) fn run(&self, daemon: &Path, filter: Option<&str>, say: Say<'_>) -> Result<Tally> {
        say(&format!("     Running {} ({})", self.name, self.executable.display()));
        let mut command = Command::new(&self.executable);
        // Who runs us is a package of its own.
        command.current_dir(&self.directory).env("CARGO_MANIFEST_DIR", &self.directory);
        command.env("DAYTONA_DAEMON", daemon).args(filter);
        let mut tally = Tally::default();
        let status = process::each_line(&mut command, |line| {
            say(line);
            read_result(line, &mut tally);
        })
        .with_context(|| format!("running {}", self.name))?;
        if !status.success() && tally.failed == 0 {
            say(&format!("error: {} ended with {status} before it had counted its tests", self.name));
            tally.failed = 1;
        }
        Ok(tally)
    }
}

/// Reads `test result: ok. 12 passed; 0 failed; …`.
fn read_result(line: &str, tally: &mut Tally) {
    let Some(rest) = line.strip_prefix("test result: ") else { return };
    for piece in rest.split([';', '.']) {
        let mut words = piece.split_whitespace();
        let (number, word) = (words.next().and_then(|word| word.parse::<u64>().ok()), words.next());
        match (number, word) {
            (Some(number), Some("passed")) => tally.passed += number,
            (Some(number), Some("failed")) => tally.failed += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_result_lines_of_test_programs_are_summed() {
        let mut tally = Tally::default();
        read_result(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; finished in 0.1s",
            &mut tally,
        );
        read_result("test result: FAILED. 3 passed; 2 failed; 0 ignored", &mut tally);
        read_result("test passed ... ok", &mut tally);
        assert_eq!(tally, Tally { passed: 15, failed: 2 });
    }

    #[test]
    fn test_programs_are_told_from_what_else_was_built() {
        let root = process::root();
        let mut message = json!({
            "manifest_path": root.join("crates/cli/Cargo.toml"),
            "target": { "src_path": root.join("crates/cli/tests/root/main.rs") },
            "profile": { "test": true },
            "executable": "/target/root-1",
        });
        let program = read(&message).unwrap();
        assert_eq!(program.name, "crates/cli/tests/root/main.rs");
        assert_eq!(program.directory, root.join("crates/cli"));
        message["profile"]["test"] = json!(false);
        assert_eq!(read(&message), None);
    }

    /// Examples in documentation would be tests too, and nobody would run them.
    #[test]
    fn no_documentation_holds_a_test() {
        let mut folders: Vec<PathBuf> =
            ["crates", "tests", "xtask"].map(|name| process::root().join(name)).into();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with("node_modules") {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let is_test = |line: &str| {
                        let line = line.trim_start();
                        let fence = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
                        fence.is_some_and(|rest| {
                            matches!(rest.trim(), "```rust" | "```no_run" | "```should_panic")
                        })
                    };
                    assert!(!text.lines().any(is_test), "{}", path.display());
                }
            }
        }
    }
}
