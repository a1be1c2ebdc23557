//! `cargo x tidy`: the rules of the house that no compiler knows, each with its remedy.

mod source;
mod crates;
mod modules;
mod files;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::report;
use source::Source;

/// Where a rule is broken, which one, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    what: String,
    /// A question to think about rather than an error.
    is_question: bool,
}

impl Finding {
    fn error(path: &str, line: usize, rule: &'static str, what: String) -> Self {
        Self { path: path.to_owned(), line, rule, what, is_question: false }
    }
}

/// The folders that hold Rust.
const FOLDERS: &[&str] = &["crates", "tests", "xtask"];

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    process::refuse_rest("tidy", arguments)?;
    let root = process::root();
    let mut sources = Vec::new();
    for folder in FOLDERS {
        read(&root, &root.join(folder), &mut sources)?;
    }
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    let manifests = manifests(&root)?;
    let mut findings = crates::check(&manifests)?;
    findings.extend(files::check(&sources));
    findings.extend(modules::check(&sources));
    for finding in &findings {
        let kind = if finding.is_question { "question" } else { "error" };
        report::say(&format!(
            "{}:{}: {kind}: {}: {}",
            finding.path, finding.line, finding.rule, finding.what
        ));
    }
    let errors = findings.iter().filter(|finding| !finding.is_question).count();
    if errors > 0 {
        bail!("{errors} rules of the house are broken");
    }
    report::say(&format!("tidy: {} files in order", sources.len()));
    Ok(())
}

/// The root manifest first, then each member's, as pairs of the member's folder and its text.
fn manifests(root: &Path) -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(root.join("Cargo.toml")).context("reading Cargo.toml")?;
    let members = crates::members(&text)?;
    let mut manifests = vec![(String::new(), text)];
    for member in members {
        let file = root.join(&member).join("Cargo.toml");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        manifests.push((member, text));
    }
    Ok(manifests)
}

fn read(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules") && !name.starts_with('.') {
            read(root, &path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).with_context(|| format!("reading {relative}"))?;
            sources.push(Source::new(&relative, &text));
        }
    }
    Ok(())
}
