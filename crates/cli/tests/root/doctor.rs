//! `daytona doctor` on this machine: it tries, tells, and leaves nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Returns what a doctor said, and its process id.
fn doctor(data: &Path, arguments: &[&str]) -> (Output, u32) {
    let process = Command::new(env!("CARGO_BIN_EXE_daytona"))
        .arg("doctor")
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = process.id();
    (process.wait_with_output().unwrap(), id)
}

/// Returns what the doctor with this process id left; others may be at work beside it.
fn leftovers(id: u32) -> Vec<String> {
    let mark = format!("daytona-doctor-{id}");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut found: Vec<String> = mounts
        .lines()
        .filter(|line| line.split(['/', ' ']).any(|name| name.trim_start_matches('.') == mark))
        .map(str::to_owned)
        .collect();
    for group in ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified"]
    {
        let Ok(entries) = std::fs::read_dir(group) else { continue };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        found.extend(names.filter(|name| *name == mark));
    }
    found
}

#[test]
fn this_machine_is_examined_and_nothing_stays() {
    let home = tempfile::tempdir().unwrap();
    let (output, id) = doctor(&home.path().join("not/made/yet"), &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let marks: BTreeMap<&str, &str> = findings
        .iter()
        .map(|finding| (finding["name"].as_str().unwrap(), finding["mark"].as_str().unwrap()))
        .collect();
    // The other tests of this crate run sandboxes on this machine, so what they need is here.
    for name in
        ["root", "namespaces", "inside", "id maps", "disks", "overlay", "limits", "packet filter", "space"]
    {
        assert!(matches!(marks[name], "good" | "weak"), "{name}: {report:#}");
    }
    assert_eq!(output.status.success(), report["fit"].as_bool().unwrap(), "{report:#}");
    assert_eq!(marks.values().any(|mark| *mark == "missing"), !output.status.success(), "{report:#}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    assert_eq!(leftovers(id), Vec::<String>::new());
}

#[test]
fn people_get_a_line_for_each_finding_and_the_remedy_below() {
    let home = tempfile::tempdir().unwrap();
    let (output, _) = doctor(home.path(), &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.lines().any(|line| line.starts_with("✓ namespaces ")), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with(['!', '✗'])) {
        assert!(lines[at + 1].trim_start().starts_with("→ "), "no remedy for: {line}");
    }
}

#[test]
fn what_is_missing_is_an_error_with_a_hint() {
    // Nothing can be written below a file of the kernel, so there is no place for data.
    let (output, _) = doctor(Path::new("/proc/sys/daytona"), &[]);
    assert!(!output.status.success());
    let (said, error) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(said.contains("✗ data directory"), "{said}");
    assert!(error.contains("hint:"), "{error}");
}

#[test]
fn without_root_it_says_so_and_does_not_fall_over() {
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(home.path(), Some(65_534), Some(65_534)).unwrap();
    let program = home.path().join("daytona");
    std::fs::copy(env!("CARGO_BIN_EXE_daytona"), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["doctor", "--json", "--data-dir"]).arg(home.path());
    std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    std::os::unix::process::CommandExt::gid(&mut command, 65_534);
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["fit"], false);
    let root =
        report["findings"].as_array().unwrap().iter().find(|finding| finding["name"] == "root").unwrap();
    assert_eq!(root["mark"], "missing", "{report:#}");
}
