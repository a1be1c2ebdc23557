//! One Rust file as the rules see it: its code without comments, texts and tests, line for line.

/// A file with its path from the root of the tree.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: String,
    /// As it is written.
    pub(super) text: String,
    /// The same lines, with comments, string contents and test modules blanked.
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let code = without_tests(&without_comments(text));
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// The folder of the package: `crates/store` of `crates/store/src/db.rs`.
    pub(super) fn package(&self) -> &str {
        ["/src/", "/tests/", "/benches/"]
            .iter()
            .filter_map(|part| self.path.find(part))
            .min()
            .and_then(|at| self.path.get(..at))
            .unwrap_or_else(|| self.path.rsplit_once('/').map_or("", |(folder, _)| folder))
    }

    /// The path inside `src/`, or nothing for a file outside of it.
    pub(super) fn in_src(&self) -> Option<&str> {
        self.path.get(self.package().len()..)?.strip_prefix("/src/")
    }

    /// Tests are long lists of cases, and see more of the crate than its modules do of each other.
    pub(super) fn is_test(&self) -> bool {
        let in_package = self.path.get(self.package().len()..).unwrap_or_default();
        in_package.starts_with("/tests/")
            || in_package.starts_with("/benches/")
            || in_package.ends_with("/tests.rs")
            || in_package.contains("/tests/")
    }
}

/// Replaces comments and the contents of texts by blanks, so that lines and columns stay.
fn without_comments(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        let rest = characters.get(at..).unwrap_or_default();
        let length = match character {
            '/' if rest.starts_with(&['/', '/']) => rest.iter().take_while(|c| **c != '\n').count(),
            '/' if rest.starts_with(&['/', '*']) => block_comment(rest),
            '"' => text_literal(rest),
            'r' | 'b' | 'c' if !follows_word(&characters, at) => prefixed_literal(rest),
            '\'' => character_literal(rest),
            _ => 0,
        };
        if length == 0 {
            code.push(character);
            at += 1;
        } else {
            code.extend(rest.iter().take(length).map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at += length;
        }
    }
    code
}

fn follows_word(characters: &[char], at: usize) -> bool {
    at.checked_sub(1)
        .and_then(|before| characters.get(before))
        .is_some_and(|c| c.is_alphanumeric() || *c == '_')
}

/// Comments nest.
fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = rest.get(at..).unwrap_or_default();
        if here.starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if here.starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn text_literal(rest: &[char]) -> usize {
    let mut at = 1;
    while let Some(character) = rest.get(at) {
        match character {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `b"…"`, `c"…"`, `r"…"`, `r#"…"#`, `br#"…"#`; 0 when it is only a word that begins with these letters.
fn prefixed_literal(rest: &[char]) -> usize {
    let letters = rest.iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let is_raw = rest.iter().take(letters).any(|c| *c == 'r');
    let after = rest.get(letters..).unwrap_or_default();
    let hashes = if is_raw { after.iter().take_while(|c| **c == '#').count() } else { 0 };
    let body = after.get(hashes..).unwrap_or_default();
    if letters > 2 || body.first() != Some(&'"') {
        return 0;
    }
    if !is_raw {
        return letters + text_literal(body);
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let inner = body.get(1..).unwrap_or_default();
    let length = inner.windows(end.len()).position(|window| window == end).unwrap_or(inner.len());
    letters + hashes + 1 + length + end.len()
}

/// A character, or 0 when the quote begins a lifetime.
fn character_literal(rest: &[char]) -> usize {
    match (rest.get(1), rest.get(2)) {
        (Some('\\'), _) => {
            let after = rest.iter().skip(3).position(|c| *c == '\'');
            after.map_or(0, |length| length + 4)
        }
        (Some(_), Some('\'')) => 3,
        _ => 0,
    }
}

/// Blanks every item under `#[cfg(test)]`: up to its `;`, or its block to the closing brace.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let (before, item) = rest.split_at(at);
        kept.push_str(before);
        let (test, after) = item.split_at(item_length(item, MARK.len()));
        kept.extend(test.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    kept + rest
}

fn item_length(item: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, character) in item.char_indices().filter(|(at, _)| *at >= from) {
        match character {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new("crates/x/src/lib.rs", text).code
    }

    #[test]
    fn comments_and_texts_are_blanked() {
        for text in [
            "// crate::x",
            "/* crate::x /* nested */ crate::x */",
            "\"crate::x \\\" crate::x\"",
            "r#\"crate::x \" crate::x\"#",
            "b\"crate::x\"",
            "br\"crate::x\"",
        ] {
            let code = code(text);
            assert!(!code.contains("crate"), "{text} became {code}");
            assert_eq!(code.len(), text.len());
        }
    }

    #[test]
    fn code_after_a_literal_stays() {
        for text in
            ["'\"'; crate::x", "'\\''; crate::x", "fn f<'a>(a: &'a str) { crate::x }", "b'x'; crate::x"]
        {
            assert!(code(text).contains("crate::x"), "{text}");
        }
    }

    #[test]
    fn tests_are_blanked_and_lines_kept() {
        let text =
            "use a;\n#[cfg(test)]\nmod tests {\n  use crate::x;\n}\nuse crate::y;\n#[cfg(test)]\nmod t;\nz\n";
        let code = code(text);
        assert!(!code.contains("crate::x") && code.contains("crate::y") && code.contains('z'));
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn a_path_tells_what_it_is() {
        let place = |path| Source::new(path, "");
        assert_eq!(place("crates/store/src/a/b.rs").package(), "crates/store");
        assert_eq!(place("crates/store/src/a/b.rs").in_src(), Some("a/b.rs"));
        assert_eq!(place("tests/perf/src/main.rs").package(), "tests/perf");
        assert!(!place("tests/perf/src/main.rs").is_test());
        assert!(place("crates/store/tests/it/main.rs").is_test());
        assert!(place("crates/store/src/a/tests.rs").is_test());
    }
}
