//! `.dockerignore`: which files of a context no instruction sees.

use crate::path::relative;
use crate::pattern::Pattern;

/// The most that the file may have.
pub const MOST_BYTES: usize = 64 << 10;
/// The most patterns in it.
const MOST_PATTERNS: usize = 1_000;

/// The rules of one file; later ones win.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<(bool, Pattern)>,
}

impl Ignore {
    /// Reads the file. The error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        for (number, line) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if rules.len() == MOST_PATTERNS {
                return Err(format!(".dockerignore has more than {MOST_PATTERNS} patterns; join some"));
            }
            let (is_kept, text) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
            let pattern = Pattern::parse(&relative(text))
                .map_err(|error| format!(".dockerignore line {number}: {error}"))?;
            rules.push((is_kept, pattern));
        }
        Ok(Self { rules })
    }

    /// Tells whether a file of the context, by its path without a slash at its beginning, is left out.
    pub fn leaves_out(&self, path: &str) -> bool {
        let last = self.rules.iter().rev().find(|(_, pattern)| pattern.matches_or_holds(path));
        last.is_some_and(|(is_kept, _)| !is_kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_that_fits_decides() {
        let text = "# none\n*.log\n!keep.log\nbuild\n/docs/**\n!docs/read.me\n**/tmp\nx/../y\n";
        let ignore = Ignore::parse(text).unwrap();
        for (path, expected) in [
            ("a.log", true),
            ("keep.log", false),
            ("d/a.log", false),
            ("build", true),
            ("build/deep/file", true),
            ("docs/a", true),
            ("docs/read.me", false),
            ("a/b/tmp/c", true),
            ("y", true),
            ("other", false),
        ] {
            assert_eq!(ignore.leaves_out(path), expected, "{path}");
        }
        assert!(Ignore::parse("[").unwrap_err().contains("line 1"));
    }
}
