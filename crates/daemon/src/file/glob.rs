//! Matches names against shell patterns: `*`, `?`, `[a-z]`, `[!a]`, and `\` to take a character literally.

/// A pattern, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(char),
    AnyOne,
    AnyMany,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            let token = match character {
                '*' if tokens.last() == Some(&Token::AnyMany) => continue,
                '*' => Token::AnyMany,
                '?' => Token::AnyOne,
                '[' => parse_class(&mut characters)?,
                '\\' => {
                    Token::Literal(characters.next().ok_or("it ends with a backslash; write `\\\\` for one")?)
                }
                other => Token::Literal(other),
            };
            tokens.push(token);
        }
        Ok(Self(tokens))
    }

    /// Returns whether a whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut token, mut character) = (0, 0);
        // Where to go on if the last `*` takes one character more: so no pattern needs more than tokens × characters.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let matched = match (self.0.get(token), name.get(character)) {
                (None, None) => return true,
                (Some(Token::AnyMany), _) => {
                    retry = Some((token, character));
                    token += 1;
                    continue;
                }
                (Some(expected), Some(actual)) => expected.matches(*actual),
                _ => false,
            };
            if matched {
                (token, character) = (token + 1, character + 1);
                continue;
            }
            let Some((star, from)) = retry.filter(|(_, from)| *from < name.len()) else { return false };
            retry = Some((star, from + 1));
            (token, character) = (star + 1, from + 1);
        }
    }
}

impl Token {
    fn matches(&self, character: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == character,
            Self::AnyOne => true,
            Self::AnyMany => false,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != *negated
            }
        }
    }
}

fn parse_class(characters: &mut std::str::Chars<'_>) -> Result<Token, String> {
    const OPEN: &str = "a `[` is never closed; write `\\[` for the character itself";
    let mut negated = false;
    let mut ranges: Vec<(char, char)> = Vec::new();
    if characters.as_str().starts_with(['!', '^']) {
        characters.next();
        negated = true;
    }
    loop {
        let mut low = characters.next().ok_or(OPEN)?;
        if low == ']' && !ranges.is_empty() {
            return Ok(Token::Class { negated, ranges });
        }
        if low == '\\' {
            low = characters.next().ok_or(OPEN)?;
        }
        let mut ahead = characters.clone();
        let high = if ahead.next() == Some('-') && ahead.clone().next().is_some_and(|next| next != ']') {
            let high = ahead.next().ok_or(OPEN)?;
            *characters = ahead;
            high
        } else {
            low
        };
        if low > high {
            return Err(format!("`[{low}-{high}]` is empty; write the smaller character first"));
        }
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, yes, no) in [
            ("*.txt", vec!["a.txt", ".txt", "é.txt"], vec!["a.txt.gz", "txt", ""]),
            ("a?c", vec!["abc", "aéc"], vec!["ac", "abbc"]),
            ("*", vec!["", "x"], vec![]),
            ("a*b*c", vec!["abc", "axxbyyc", "abcbc"], vec!["ab", "acb"]),
            ("[a-c]x[!0-9]", vec!["bxz"], vec!["dxz", "bx1", "bx"]),
            ("[]x]", vec!["]", "x"], vec!["a"]),
            ("[a-]", vec!["a", "-"], vec!["b"]),
            ("\\*\\[", vec!["*["], vec!["a["]),
            ("", vec![""], vec!["a"]),
        ] {
            let parsed = Pattern::parse(pattern).expect(pattern);
            for name in yes {
                assert!(parsed.matches(name), "{pattern} should match {name:?}");
            }
            for name in no {
                assert!(!parsed.matches(name), "{pattern} should not match {name:?}");
            }
        }
    }

    #[test]
    fn broken_patterns_are_explained() {
        for pattern in ["[", "[a", "[!", "[z-a]", "a\\", "[]", "[\\"] {
            assert!(!Pattern::parse(pattern).expect_err(pattern).is_empty());
        }
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let pattern = Pattern::parse(&"*a".repeat(200)).expect("pattern");
        assert!(!pattern.matches(&"a".repeat(199)));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(2_000))));
    }
}
