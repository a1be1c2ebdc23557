//! The order of modules: lists go bottom-up, and a module uses only modules that are listed above it.

use std::collections::BTreeMap;

use super::Finding;
use super::source::Source;

/// The list of modules in one file, with what the file passes on of them under its own name.
#[derive(Debug, Default)]
struct List {
    /// Where the list is.
    path: String,
    modules: Vec<String>,
    /// Names that `use` lines of the list's file bring in, each with its module.
    passed_on: BTreeMap<String, String>,
}

impl List {
    fn read(source: &Source) -> Self {
        let mut list = Self { path: source.path.clone(), ..Self::default() };
        for line in source.code.lines() {
            if let Some(name) = module_name(line) {
                list.modules.push(name.to_owned());
            }
        }
        for (at, _) in source.code.match_indices("use ") {
            let uses = source.code.get(at + 4..).and_then(|rest| rest.split(';').next()).unwrap_or_default();
            let uses = uses.trim().trim_start_matches("self::").trim_start_matches("crate::");
            let Some((module, names)) = uses.split_once("::") else { continue };
            if list.modules.iter().any(|name| name == module) {
                for name in last_words(names) {
                    list.passed_on.insert(name, module.to_owned());
                }
            }
        }
        list
    }

    /// The place of the module that `word` names or comes from.
    fn place(&self, word: &str) -> Option<usize> {
        let module = self.passed_on.get(word).map_or(word, String::as_str);
        self.modules.iter().position(|name| name == module)
    }
}

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    // Keyed by the folder in which the modules of a list lie: `crates/x/src`, `crates/x/src/sandbox`.
    let lists: BTreeMap<String, List> = sources
        .iter()
        .filter(|source| source.in_src().is_some())
        .map(|source| (folder_of_modules(&source.path), List::read(source)))
        .filter(|(_, list)| !list.modules.is_empty())
        .collect();
    let mut findings = Vec::new();
    for source in sources {
        for (at, _) in source.code.match_indices("super::super") {
            let what = "`super::super` hides where a name comes from; write `crate::…`".to_owned();
            findings.push(Finding::error(&source.path, line(source, at), "no super::super", what));
        }
        if source.in_src().is_some() && !source.is_test() {
            findings.extend(check_one(source, &lists));
        }
    }
    findings
}

fn check_one(source: &Source, lists: &BTreeMap<String, List>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(inside) = source.in_src() else { return findings };
    let root = format!("{}/src", source.package());
    // Walk down from the root: at each list on the way, this file lies in one module of it.
    let mut folder = root.clone();
    let segments: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
    for (depth, segment) in segments.iter().enumerate() {
        if let Some(list) = lists.get(&folder)
            && let Some(own) = list.modules.iter().position(|name| name == segment)
        {
            let prefix = segments.iter().take(depth).fold(String::new(), |path, word| path + word + "::");
            let mut paths = vec![format!("crate::{prefix}")];
            if depth + 1 == segments.len() {
                paths.push("super::".to_owned());
            }
            for (at, word) in paths.iter().flat_map(|path| uses(&source.code, path)) {
                if list.place(&word).is_some_and(|place| place > own) {
                    let what = format!(
                        "`{segment}` uses `{word}`, which {} lists below it; list it above, or move what both need",
                        list.path
                    );
                    findings.push(Finding::error(&source.path, line(source, at), "order of modules", what));
                }
            }
        }
        folder = format!("{folder}/{segment}");
    }
    findings
}

/// The folder in which the modules that a file lists have their files.
fn folder_of_modules(path: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    match stem.rsplit_once('/') {
        Some((folder, "lib" | "main")) => folder.to_owned(),
        _ => stem.to_owned(),
    }
}

/// `mod name;`, whoever may see it.
fn module_name(line: &str) -> Option<&str> {
    let mut words = line.trim().strip_suffix(';')?.split_whitespace();
    let mut word = words.next()?;
    if word.starts_with("pub") {
        word = words.next()?;
    }
    // `pub(in some::path) mod` has one word more.
    if word != "mod" {
        return None;
    }
    words.next()
}

/// The first word after each `path` in `code`, with its place: of `crate::{a::X, b}` the words `a` and `b`.
fn uses(code: &str, path: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(path) {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue;
        }
        let rest = code.get(at + path.len()..).unwrap_or_default();
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(first_words(group).into_iter().map(|word| (at, word)));
        } else {
            found.push((at, word_at(rest)));
        }
    }
    found
}

/// The first word of each item of a group, up to its closing brace.
fn first_words(group: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut depth, mut item) = (0_usize, String::new());
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                words.push(word_at(item.trim()));
                item.clear();
                continue;
            }
            _ => {}
        }
        item.push(character);
    }
    words.push(word_at(item.trim()));
    words
}

/// The names that a list of uses brings in: of `{A, b::C, D as E}` the names `A`, `C` and `E`.
fn last_words(names: &str) -> Vec<String> {
    names
        .split(['{', '}', ','])
        .filter_map(|item| item.rsplit([':', ' ']).find(|word| !word.is_empty()))
        .map(str::to_owned)
        .collect()
}

fn word_at(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn line(source: &Source, at: usize) -> usize {
    source.code.get(..at).unwrap_or_default().matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(&format!("crates/x/src/{path}"), text)).collect();
        check(&sources)
            .into_iter()
            .map(|f| format!("{}:{}", f.path.trim_start_matches("crates/x/src/"), f.line))
            .collect()
    }

    const ROOT: (&str, &str) =
        ("lib.rs", "//! X.\nmod a;\npub mod b;\npub(crate) mod c;\npub use b::{One, deep::Two};\n");

    #[test]
    fn upward_is_fine() {
        let c = ("c.rs", "use crate::{a::X, b::Y};\nuse crate::One;\n// crate::d\n");
        let a = (
            "a.rs",
            "//! `crate::b` in a doc.\nfn f() { \"crate::b\"; }\n#[cfg(test)]\nmod tests { use crate::b::X; }\n",
        );
        assert!(findings(&[ROOT, c, a]).is_empty());
    }

    #[test]
    fn downward_is_found_in_every_form() {
        for text in [
            "use crate::b::X;",
            "use crate::{a::Z, c::{X, Y}};",
            "fn f() { crate::c::g() }",
            "use super::b;",
            "use crate::One;",
            "use crate::Two;",
        ] {
            assert_eq!(findings(&[ROOT, ("a.rs", &format!("//! A.\n{text}\n"))]), ["a.rs:2"], "{text}");
        }
    }

    #[test]
    fn files_of_a_folder_belong_to_its_module() {
        let b = ("b.rs", "//! B.\nmod first;\nmod second;\n");
        assert_eq!(findings(&[ROOT, b, ("b/first.rs", "use crate::c::X;\n")]), ["b/first.rs:1"]);
        assert_eq!(findings(&[ROOT, b, ("b/first.rs", "\nuse super::second::X;\n")]), ["b/first.rs:2"]);
        assert_eq!(findings(&[ROOT, b, ("b/first.rs", "use crate::b::second::X;\n")]), ["b/first.rs:1"]);
        assert!(findings(&[ROOT, b, ("b/second.rs", "use super::first::X;\nuse crate::a::Y;\n")]).is_empty());
    }

    #[test]
    fn two_steps_up_are_found() {
        let text = "//! A.\n#[cfg(not(test))]\nuse super::super::b;\n";
        assert!(findings(&[ROOT, ("b/deep.rs", text)]).contains(&"b/deep.rs:3".to_owned()));
    }
}
