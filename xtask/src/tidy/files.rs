//! The rules that look at one file at a time: its first line, its name, its size, and where `unsafe` may be.

use super::Finding;
use super::source::Source;

const FORBIDDEN: &[&str] =
    &["utils", "util", "common", "helpers", "helper", "misc", "shared", "manager", "base"];

/// The one package that talks to the kernel.
const UNSAFE_PACKAGE: &str = "crates/linux";

const QUESTION_LINES: usize = 400;
const ERROR_LINES: usize = 800;

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(check_one).collect()
}

fn check_one(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(first_line(source));
    findings.extend(name(source));
    findings.extend(size(source));
    findings.extend(unsafe_code(source));
    findings
}

fn first_line(source: &Source) -> Option<Finding> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//!").is_some_and(|text| !text.trim().is_empty());
    (!says).then(|| {
        let what = "does not open with a `//!` line; say in one sentence what the file is for";
        Finding::error(&source.path, 1, "first line", what.to_owned())
    })
}

fn name(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.path.ends_with("/mod.rs") {
        let what = "is a mod.rs; put it beside its folder, as `name.rs`".to_owned();
        findings.push(Finding::error(&source.path, 1, "no mod.rs", what));
    }
    for segment in source.path.trim_end_matches(".rs").split('/') {
        let words = || segment.split(['_', '-']);
        if let Some(word) = words().find(|word| FORBIDDEN.contains(word)) {
            let what = format!("the name `{segment}` says nothing (`{word}`); name it for what is in it");
            findings.push(Finding::error(&source.path, 1, "forbidden name", what));
        }
    }
    findings
}

fn size(source: &Source) -> Option<Finding> {
    if source.is_test() {
        return None;
    }
    // Tests at the end of a file are blanked, and so are not counted.
    let lines = source.text.lines().count() - blanked_lines(source);
    if lines > ERROR_LINES {
        let what = format!("has {lines} lines, {ERROR_LINES} is the end; split it by subject");
        return Some(Finding::error(&source.path, 1, "size", what));
    }
    (lines > QUESTION_LINES).then(|| {
        let what = format!("has {lines} lines; is it one subject?");
        Finding { is_question: true, ..Finding::error(&source.path, 1, "size", what) }
    })
}

/// Lines of a trailing test module: those after the last line that still has code.
fn blanked_lines(source: &Source) -> usize {
    source.code.lines().count() - source.code.trim_end().lines().count()
}

fn unsafe_code(source: &Source) -> Vec<Finding> {
    if source.package() == UNSAFE_PACKAGE {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in source.code.lines().enumerate() {
        if line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe") {
            let what = format!("`unsafe` lives in {UNSAFE_PACKAGE} alone; give it a safe function there");
            findings.push(Finding::error(&source.path, number + 1, "unsafe", what));
        }
    }
    let is_root = matches!(source.in_src(), Some("lib.rs" | "main.rs"))
        || source.in_src().is_some_and(|path| path.starts_with("bin/") && path.matches('/').count() == 1);
    if is_root && !source.code.contains("#![forbid(unsafe_code)]") {
        let what = "lacks `#![forbid(unsafe_code)]`; write it below the file's doc".to_owned();
        findings.push(Finding::error(&source.path, 1, "unsafe", what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        check(&[Source::new(path, text)]).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_good_file_passes() {
        assert!(rules("crates/x/src/lib.rs", "//! Good.\n#![forbid(unsafe_code)]\n").is_empty());
        assert!(rules("crates/x/src/base64.rs", "//! Says `unsafe` in its doc.\n// unsafe\n").is_empty());
        assert!(rules("crates/linux/src/a.rs", "//! System calls.\nunsafe {}\n").is_empty());
    }

    #[test]
    fn a_bad_file_is_found() {
        assert_eq!(rules("crates/x/src/a.rs", "use b;\n"), ["first line"]);
        assert_eq!(rules("crates/x/src/a.rs", "//!\nuse b;\n"), ["first line"]);
        assert_eq!(rules("crates/x/src/a/mod.rs", "//! A.\n"), ["no mod.rs"]);
        assert_eq!(rules("crates/x/src/sandbox_utils.rs", "//! A.\n"), ["forbidden name"]);
        assert_eq!(rules("crates/shared/src/a.rs", "//! A.\n"), ["forbidden name"]);
        assert_eq!(rules("crates/x/src/a.rs", "//! A.\nfn f() { unsafe { g() } }\n"), ["unsafe"]);
        assert_eq!(rules("crates/x/src/main.rs", "//! A.\n"), ["unsafe"]);
        assert_eq!(rules("crates/x/src/bin/y.rs", "//! A.\n"), ["unsafe"]);
    }

    #[test]
    fn size_is_a_question_and_then_an_error() {
        let text = |lines: usize| "//! A.\n".to_owned() + &"use b;\n".repeat(lines - 1);
        assert!(rules("crates/x/src/a.rs", &text(400)).is_empty());
        let questions = check(&[Source::new("crates/x/src/a.rs", &text(401))]);
        assert!(questions.iter().all(|finding| finding.is_question) && questions.len() == 1);
        let errors = check(&[Source::new("crates/x/src/a.rs", &text(801))]);
        assert!(errors.iter().all(|finding| !finding.is_question) && errors.len() == 1);
        assert!(rules("crates/x/tests/it/a.rs", &text(900)).is_empty());
        let tests = text(300) + "#[cfg(test)]\nmod tests {\n" + &"use b;\n".repeat(600) + "}\n";
        assert!(rules("crates/x/src/a.rs", &tests).is_empty());
    }
}
