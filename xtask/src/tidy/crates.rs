//! The order of crates: a member may depend only on members above it.

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use super::Finding;

/// The members of the root manifest, in the order in which they are written.
pub(super) fn members(root: &str) -> Result<Vec<String>> {
    let table: Table = root.parse().context("reading Cargo.toml")?;
    let members =
        table.get("workspace").and_then(|workspace| workspace.get("members")).and_then(Value::as_array);
    let members = members.context("Cargo.toml has no workspace.members")?;
    Ok(members.iter().filter_map(|member| member.as_str().map(str::to_owned)).collect())
}

/// Checks every member's manifest; `manifests` begins with the root's.
pub(super) fn check(manifests: &[(String, String)]) -> Result<Vec<Finding>> {
    let Some(((_, root), manifests)) = manifests.split_first() else { return Ok(Vec::new()) };
    let order = members(root)?;
    let place = |folder: &str| order.iter().position(|member| member == folder);
    let shared: Table = root.parse()?;
    let mut findings = Vec::new();
    for (member, text) in manifests {
        let table: Table = text.parse().with_context(|| format!("reading {member}/Cargo.toml"))?;
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (name, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                let Some(folder) = folder(&shared, member, name, value) else { continue };
                // Tests of any crate may stand on the test kit, which stands on everything.
                if section == "dev-dependencies" && folder == "crates/testkit" {
                    continue;
                }
                if place(&folder) >= place(member) {
                    findings.push(Finding::error(
                        &format!("{member}/Cargo.toml"),
                        line_of(text, section, name),
                        "order of crates",
                        format!(
                            "depends on `{name}` ({folder}), which is not above {member} in the root's members; \
                             move what both need into a crate above, or turn the dependency round"
                        ),
                    ));
                }
            }
        }
    }
    Ok(findings)
}

/// The member's folder that a dependency names, or nothing for a crate from outside.
fn folder(root: &Table, member: &str, name: &str, value: &Value) -> Option<String> {
    if let Some(path) = value.get("path").and_then(Value::as_str) {
        return Some(joined(member, path));
    }
    value.get("workspace").and_then(Value::as_bool).filter(|shared| *shared)?;
    let path = root.get("workspace")?.get("dependencies")?.get(name)?.get("path")?.as_str()?;
    Some(path.to_owned())
}

/// Resolves `..` without asking the file system.
fn joined(folder: &str, path: &str) -> String {
    let mut segments: Vec<&str> = folder.split('/').collect();
    for segment in path.split('/') {
        match segment {
            ".." => drop(segments.pop()),
            "." => {}
            _ => segments.push(segment),
        }
    }
    segments.join("/")
}

fn line_of(text: &str, section: &str, name: &str) -> usize {
    let mut in_section = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            in_section = line.trim() == format!("[{section}]");
        } else if in_section && line.split(['.', '=', ' ']).next() == Some(name) {
            return number + 1;
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace]\nmembers = [\"crates/types\", \"crates/store\", \"crates/testkit\"]\n\
                        [workspace.dependencies]\nserde = \"1\"\ntypes = { path = \"crates/types\" }\n\
                        store = { path = \"crates/store\" }\ntestkit = { path = \"crates/testkit\" }\n";

    fn findings(types: &str, store: &str) -> Vec<Finding> {
        let pair = |folder: &str, text: &str| (folder.to_owned(), text.to_owned());
        check(&[pair("", ROOT), pair("crates/types", types), pair("crates/store", store)]).unwrap()
    }

    #[test]
    fn downward_is_fine() {
        let store = "[dependencies]\nserde.workspace = true\ntypes.workspace = true\n\
                     [dev-dependencies]\ntestkit.workspace = true\n";
        assert_eq!(findings("[dependencies]\nserde.workspace = true\n", store), []);
    }

    #[test]
    fn upward_is_found_with_its_line() {
        for types in [
            "[package]\nname = \"types\"\n[dependencies]\nstore.workspace = true\n",
            "[package]\nname = \"types\"\n[dev-dependencies]\nstore = { path = \"../store\" }\n",
        ] {
            let found = findings(types, "");
            assert_eq!(found.len(), 1, "{types}");
            assert_eq!((found[0].path.as_str(), found[0].line), ("crates/types/Cargo.toml", 4));
        }
    }

    #[test]
    fn the_test_kit_is_for_tests_alone() {
        assert_eq!(findings("", "[dependencies]\ntestkit.workspace = true\n").len(), 1);
    }
}
