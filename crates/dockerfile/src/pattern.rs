//! Names with wildcards: those of `COPY`, and those of `.dockerignore`, which may leave out directories in between.

/// A pattern of path segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `**`: any number of segments, none included.
    Any,
    /// One segment.
    Glob(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `[a-z]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// The most segments of a pattern.
const MOST_SEGMENTS: usize = 256;

impl Pattern {
    /// Reads a pattern; slashes at its ends do not count. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split('/').filter(|part| !matches!(*part, "" | "."));
        let segments = parts.map(segment).collect::<Result<Vec<_>, _>>()?;
        if segments.len() > MOST_SEGMENTS {
            return Err(format!("`{text}` has more than {MOST_SEGMENTS} parts"));
        }
        Ok(Self { segments })
    }

    /// Tells whether the whole path, written without a slash at its beginning, fits.
    pub fn matches(&self, path: &str) -> bool {
        let path: Vec<Vec<char>> =
            path.split('/').filter(|part| !part.is_empty()).map(|part| part.chars().collect()).collect();
        fits(&self.segments, &path)
    }

    /// Tells whether the path or a directory that it is in fits.
    pub fn matches_or_holds(&self, path: &str) -> bool {
        let path: Vec<Vec<char>> =
            path.split('/').filter(|part| !part.is_empty()).map(|part| part.chars().collect()).collect();
        (1..=path.len()).any(|length| fits(&self.segments, path.get(..length).unwrap_or_default()))
    }
}

/// Tells whether a name has a wildcard in it.
pub fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn segment(text: &str) -> Result<Segment, String> {
    if text == "**" {
        return Ok(Segment::Any);
    }
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            '?' => Token::One,
            '*' => {
                while characters.next_if_eq(&'*').is_some() {}
                Token::Many
            }
            '\\' => Token::Text(characters.next().unwrap_or('\\')),
            '[' => {
                class(&mut characters).ok_or_else(|| format!("`{text}`: `[` is not closed; write `\\[`"))?
            }
            other => Token::Text(other),
        });
    }
    Ok(Segment::Glob(tokens))
}

fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = characters.next_if(|next| matches!(next, '^' | '!')).is_some();
    let mut ranges = Vec::new();
    loop {
        let first = match characters.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class { negated, ranges }),
            '\\' => characters.next()?,
            other => other,
        };
        let last = if characters.next_if_eq(&'-').is_some() {
            match characters.next()? {
                '\\' => characters.next()?,
                other => other,
            }
        } else {
            first
        };
        ranges.push((first, last));
    }
}

/// Walks once over the pattern for each row of a table, so that no pattern takes longer than its length times the path's.
fn fits(pattern: &[Segment], path: &[Vec<char>]) -> bool {
    let mut row: Vec<bool> = vec![false; path.len() + 1];
    if let Some(first) = row.first_mut() {
        *first = true;
    }
    for segment in pattern {
        let mut next = vec![false; path.len() + 1];
        for index in 0..=path.len() {
            let here = row.get(index).copied().unwrap_or_default();
            let before = index.checked_sub(1);
            let fit = match segment {
                Segment::Any => here || before.and_then(|it| next.get(it).copied()).unwrap_or_default(),
                Segment::Glob(tokens) => before.is_some_and(|before| {
                    row.get(before).copied().unwrap_or_default()
                        && path.get(before).is_some_and(|name| fits_name(tokens, name))
                }),
            };
            if let Some(slot) = next.get_mut(index) {
                *slot = fit;
            }
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

fn fits_name(tokens: &[Token], name: &[char]) -> bool {
    let (mut token, mut at) = (0, 0);
    // Where to go on when what follows the last `*` does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while at < name.len() || token < tokens.len() {
        let character = name.get(at).copied();
        let fit = match tokens.get(token) {
            Some(Token::Many) => {
                retry = Some((token, at));
                token += 1;
                continue;
            }
            Some(Token::One) => character.is_some(),
            Some(Token::Text(text)) => character == Some(*text),
            Some(Token::Class { negated, ranges }) => character.is_some_and(|character| {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&character)) != *negated
            }),
            None => false,
        };
        if fit {
            (token, at) = (token + 1, at + 1);
            continue;
        }
        match retry {
            Some((many, from)) if from < name.len() => {
                retry = Some((many, from + 1));
                (token, at) = (many + 1, from + 1);
            }
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_fit_their_patterns() {
        for (pattern, path, expected) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "d/a.txt", false),
            ("/d/*", "d/a", true),
            ("d", "d/a", false),
            ("**/a", "a", true),
            ("**/a", "x/y/a", true),
            ("x/**", "x/y/z", true),
            ("x/**/z", "x/z", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(path), expected, "{pattern} {path}");
        }
        assert!(Pattern::parse("d").unwrap().matches_or_holds("d/a/b"));
        assert!(Pattern::parse("[a").is_err());
    }

    #[test]
    fn many_wildcards_do_not_take_long() {
        let pattern = Pattern::parse(&"*a".repeat(200)).unwrap();
        assert!(!pattern.matches(&"a".repeat(199)));
        let deep = Pattern::parse(&"**/a/".repeat(100)).unwrap();
        assert!(!deep.matches(&"a/".repeat(99)));
    }

    proptest! {
        #[test]
        fn any_pattern_is_read_or_refused(pattern in "[a*?\\[\\]\\\\^/-]{0,40}", path in "[ab/]{0,40}") {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let _ = (pattern.matches(&path), pattern.matches_or_holds(&path));
            }
        }
    }
}
