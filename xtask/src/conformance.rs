//! `cargo x conformance`: which operations of the published contract are built, counted from our own documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use crate::process;
use crate::report;

const PAGE: &str = "docs/reference/conformance.md";

/// The two interfaces: a name, the list of what the contract has, and the document of what we have.
const INTERFACES: &[(&str, &str, &str)] = &[
    ("api", "crates/wire/contract/api.tsv", "openapi/api.json"),
    ("toolbox", "crates/wire/contract/toolbox.tsv", "openapi/toolbox.json"),
];

/// One operation of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Operation {
    interface: &'static str,
    method: String,
    path: String,
    versions: Vec<String>,
    built: bool,
}

impl Operation {
    /// The first word of the path: what the operation is about. The old second address of the toolbox is its own.
    fn area(&self) -> &str {
        let mut words = self.path.split('/').filter(|word| !word.is_empty());
        words.next().unwrap_or("/")
    }
}

/// Built and total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    built: usize,
    total: usize,
}

impl Count {
    fn add(&mut self, operation: &Operation) {
        self.total += 1;
        self.built += usize::from(operation.built);
    }

    fn json(self) -> Value {
        json!({ "built": self.built, "total": self.total })
    }
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut arguments = arguments.to_vec();
    let as_json = process::take_flag(&mut arguments, "--json");
    let check = process::take_flag(&mut arguments, "--check");
    process::refuse_rest("conformance", &arguments)?;
    let operations = operations()?;
    let page = page(&operations);
    let path = process::root().join(PAGE);
    if check {
        if fs::read_to_string(&path).unwrap_or_default() != page {
            bail!("{PAGE} is not what the documents say; run `cargo x conformance` and commit it");
        }
    } else {
        fs::create_dir_all(path.parent().context("the page lies in a folder")?)?;
        fs::write(&path, &page).with_context(|| format!("writing {PAGE}"))?;
    }
    if as_json {
        report::print(&serde_json::to_string_pretty(&summary(&operations))?);
    } else {
        let count = count(&operations, |_| true);
        report::say(&format!(
            "{} of {} operations of the contract are built ({PAGE})",
            count.built, count.total
        ));
    }
    Ok(())
}

fn operations() -> Result<Vec<Operation>> {
    let mut all = Vec::new();
    for (interface, list, document) in INTERFACES {
        let list_text =
            fs::read_to_string(process::root().join(list)).with_context(|| format!("reading {list}"))?;
        let text = fs::read_to_string(process::root().join(document))
            .with_context(|| format!("reading {document}; `cargo x fix` writes it"))?;
        let ours = built(&serde_json::from_str(&text).with_context(|| format!("reading {document}"))?);
        all.extend(contract(interface, &list_text, &ours).with_context(|| format!("reading {list}"))?);
    }
    Ok(all)
}

/// Reads a list of the contract: `METHOD<TAB>path<TAB>versions`, comments after `#`.
fn contract(interface: &'static str, text: &str, ours: &BTreeSet<String>) -> Result<Vec<Operation>> {
    let mut operations = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let mut fields = line.split('\t');
        let (Some(method), Some(path), Some(versions)) = (fields.next(), fields.next(), fields.next()) else {
            bail!("line {}: not METHOD, path and versions between tabs: {line:?}", number + 1);
        };
        operations.push(Operation {
            interface,
            method: method.to_owned(),
            path: path.to_owned(),
            versions: versions.split(',').map(|version| version.trim().to_owned()).collect(),
            built: ours.contains(&key(method, path)),
        });
    }
    Ok(operations)
}

/// The operations of an `OpenAPI` document.
fn built(document: &Value) -> BTreeSet<String> {
    let empty = Map::new();
    let paths = document.get("paths").and_then(Value::as_object).unwrap_or(&empty);
    let methods = ["get", "put", "post", "delete", "patch", "head", "options"];
    paths
        .iter()
        .flat_map(|(path, item)| {
            let item = item.as_object().unwrap_or(&empty);
            item.keys().filter(|name| methods.contains(&name.as_str())).map(move |method| key(method, path))
        })
        .collect()
}

/// Parameters are compared by place, not by name, and the folder that a deployment serves under is left out.
fn key(method: &str, path: &str) -> String {
    let path = path.strip_prefix("/api/").map_or_else(|| path.to_owned(), |rest| format!("/{rest}"));
    let segments = path.trim_matches('/').split('/');
    let segments: Vec<&str> = segments.map(|word| if word.starts_with('{') { "{}" } else { word }).collect();
    format!("{} /{}", method.to_ascii_uppercase(), segments.join("/"))
}

fn count(operations: &[Operation], is_counted: impl Fn(&Operation) -> bool) -> Count {
    let mut count = Count::default();
    operations.iter().filter(|operation| is_counted(operation)).for_each(|operation| count.add(operation));
    count
}

fn versions(operations: &[Operation]) -> BTreeSet<&str> {
    operations.iter().flat_map(|operation| operation.versions.iter().map(String::as_str)).collect()
}

fn summary(operations: &[Operation]) -> Value {
    let all = count(operations, |_| true);
    let of = |interface: &str| count(operations, |operation| operation.interface == interface).json();
    let by_version = versions(operations)
        .into_iter()
        .map(|version| {
            let has = |operation: &Operation| operation.versions.iter().any(|word| word == version);
            (version.to_owned(), count(operations, has).json())
        })
        .collect::<Map<_, _>>();
    json!({
        "built": all.built,
        "total": all.total,
        "api": of("api"),
        "toolbox": of("toolbox"),
        "by_version": by_version,
    })
}

fn page(operations: &[Operation]) -> String {
    let all = count(operations, |_| true);
    let mut text = format!(
        "# Conformance\n\nWhich operations of the published contract this server has. Written by `cargo x \
         conformance` out of `crates/wire/contract/` and `openapi/`; do not edit. An operation that is not built \
         answers 501 with the contract's error body.\n\n**{} of {} built.**\n\n| | built | of |\n|---|---|---|\n",
        all.built, all.total
    );
    // Writing to a string cannot fail.
    for (interface, _, _) in INTERFACES {
        let count = count(operations, |operation| operation.interface == *interface);
        let _ = writeln!(text, "| interface `{interface}` | {} | {} |", count.built, count.total);
    }
    for version in versions(operations) {
        let count = count(operations, |operation| operation.versions.iter().any(|word| word == version));
        let _ = writeln!(text, "| version {version} | {} | {} |", count.built, count.total);
    }
    for (interface, _, _) in INTERFACES {
        let mut areas: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        for operation in operations.iter().filter(|operation| operation.interface == *interface) {
            areas.entry(operation.area()).or_default().push(operation);
        }
        let _ = writeln!(text, "\n## {interface}");
        for (area, list) in areas {
            let built = list.iter().filter(|operation| operation.built).count();
            let _ = writeln!(text, "\n### {area} ({built} of {})\n", list.len());
            text.push_str("| | operation | versions |\n|---|---|---|\n");
            for operation in list {
                let mark = if operation.built { "built" } else { "not built" };
                let versions = operation.versions.join(", ");
                let _ = writeln!(text, "| {mark} | `{} {}` | {versions} |", operation.method, operation.path);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str =
        "# comment\nGET\t/sandbox/{idOrName}\t0.190,0.205\nPOST\t/sandbox\t0.190\nGET\t/jobs\t0.205\n";

    #[test]
    fn parameters_are_compared_by_place() {
        let ours = built(&json!({"paths": {"/api/sandbox/{id}": {"get": {}, "parameters": []}}}));
        let operations = contract("api", LIST, &ours).unwrap();
        assert_eq!(operations.iter().map(|o| o.built).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn methods_are_told_apart() {
        let ours = built(&json!({"paths": {"/sandbox": {"get": {}}}}));
        assert!(contract("api", LIST, &ours).unwrap().iter().all(|operation| !operation.built));
    }

    #[test]
    fn the_summary_counts_each_version() {
        let ours = built(&json!({"paths": {"/jobs": {"get": {}}}}));
        let summary = summary(&contract("api", LIST, &ours).unwrap());
        assert_eq!(summary["built"], 1);
        assert_eq!(summary["total"], 3);
        assert_eq!(summary["toolbox"]["total"], 0);
        assert_eq!(
            summary["by_version"],
            json!({
                "0.190": {"built": 0, "total": 2}, "0.205": {"built": 1, "total": 2}
            })
        );
    }

    #[test]
    fn a_broken_list_is_refused() {
        assert!(contract("api", "GET /spaces 0.190\n", &BTreeSet::new()).is_err());
    }
}
