//! Words, quotes and variables, as a shell has them and Dockerfiles use them.

/// The most that one expanded word may have: the kernel passes no longer argument (execve(2)).
pub(crate) const MOST_VALUE_BYTES: usize = 128 << 10;
/// The most that a text may have.
pub(crate) const MOST_TEXT_BYTES: usize = 1 << 20;
/// How deep `${a:-${b:-…}}` may go.
const MOST_DEPTH: usize = 16;

/// Splits at white space outside of quotes; quotes and escapes stay.
pub(crate) fn split(text: &str, escape: char) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match quote {
            None if character.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if open == character => quote = None,
            _ => {}
        }
        word.push(character);
        if character == escape && quote != Some('\'') {
            word.extend(characters.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Reads a list of texts; what is none is a text for the shell.
pub(crate) fn json(rest: &str) -> Option<Vec<String>> {
    rest.starts_with('[').then(|| serde_json::from_str(rest).ok()).flatten()
}

/// What gives variables their values.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Expands the variables of one word and takes its quotes away.
pub(crate) fn expand(text: &str, escape: char, lookup: Lookup<'_>) -> Result<String, String> {
    Expansion::new(text, escape, lookup, true).whole()
}

/// Expands variables in the text of a here-document, in which quotes are text.
pub(crate) fn expand_text(text: &str, escape: char, lookup: Lookup<'_>) -> Result<String, String> {
    Expansion::new(text, escape, lookup, false).whole()
}

struct Expansion<'a> {
    characters: std::iter::Peekable<std::str::Chars<'a>>,
    escape: char,
    lookup: Lookup<'a>,
    has_quotes: bool,
    most_bytes: usize,
    depth: usize,
}

impl<'a> Expansion<'a> {
    fn new(text: &'a str, escape: char, lookup: Lookup<'a>, has_quotes: bool) -> Self {
        let most_bytes = if has_quotes { MOST_VALUE_BYTES } else { MOST_TEXT_BYTES };
        Self { characters: text.chars().peekable(), escape, lookup, has_quotes, most_bytes, depth: 0 }
    }

    fn whole(mut self) -> Result<String, String> {
        self.until(None)
    }

    /// Expands up to `end`, which is consumed.
    fn until(&mut self, end: Option<char>) -> Result<String, String> {
        let mut out = String::new();
        let mut is_quoted = false;
        while let Some(character) = self.characters.next() {
            if Some(character) == end && !is_quoted {
                return Ok(out);
            }
            match character {
                '\'' if self.has_quotes && !is_quoted => self.literal(&mut out)?,
                '"' if self.has_quotes => is_quoted = !is_quoted,
                '$' => {
                    let value = self.variable()?;
                    out.push_str(&value);
                }
                _ if character == self.escape => {
                    let next = self.characters.next();
                    // Inside of double quotes and in texts, others keep their escape.
                    let keeps = (is_quoted || !self.has_quotes)
                        && !next.is_some_and(|next| {
                            next == '$' || next == self.escape || (next == '"' && self.has_quotes)
                        });
                    if keeps || next.is_none() {
                        out.push(character);
                    }
                    out.extend(next);
                }
                _ => out.push(character),
            }
            if out.len() > self.most_bytes {
                return Err(format!("a value of more than {} bytes; make it shorter", self.most_bytes));
            }
        }
        match end {
            Some(end) => Err(format!("`{end}` is missing behind a variable; close what `${{` opens")),
            None if is_quoted => Err("a quote is not closed; add `\"`".to_owned()),
            None => Ok(out),
        }
    }

    fn literal(&mut self, out: &mut String) -> Result<(), String> {
        for character in self.characters.by_ref() {
            if character == '\'' {
                return Ok(());
            }
            out.push(character);
        }
        Err("a quote is not closed; add `'`".to_owned())
    }

    /// Reads what follows a `$`.
    fn variable(&mut self) -> Result<String, String> {
        match self.characters.peek() {
            Some('{') => {
                self.characters.next();
                self.braced()
            }
            Some(first) if first.is_ascii_alphabetic() || *first == '_' => {
                let name = self.name();
                Ok((self.lookup)(&name).unwrap_or_default())
            }
            // `$1`, `$$` and others of a shell have no value here.
            Some(first) if first.is_ascii_digit() || "@*#?-!$".contains(*first) => {
                self.characters.next();
                Ok(String::new())
            }
            _ => Ok("$".to_owned()),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(character) =
            self.characters.next_if(|character| character.is_ascii_alphanumeric() || *character == '_')
        {
            name.push(character);
        }
        name
    }

    fn braced(&mut self) -> Result<String, String> {
        let name = self.name();
        if name.is_empty() {
            return Err("`${` is not followed by a name; write `\\$` for the sign itself".to_owned());
        }
        let value = (self.lookup)(&name);
        let only_set = self.characters.next_if_eq(&':').is_none();
        let has_value = value.as_ref().is_some_and(|value| only_set || !value.is_empty());
        let operator = self.characters.next();
        if operator == Some('}') && only_set {
            return Ok(value.unwrap_or_default());
        }
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(format!("variables more than {MOST_DEPTH} deep in one another"));
        }
        let word = self.until(Some('}'))?;
        self.depth -= 1;
        match operator {
            Some('-') => Ok(if has_value { value.unwrap_or_default() } else { word }),
            Some('+') => Ok(if has_value { word } else { String::new() }),
            Some('?') if has_value => Ok(value.unwrap_or_default()),
            Some('?') if word.is_empty() => Err(format!("`{name}` has no value; give it one")),
            Some('?') => Err(format!("`{name}` has no value: {word}")),
            _ => Err(format!(
                "`${{{name}…}}` is written in a way that is not known here; use `${{{name}:-word}}`, `${{{name}:+word}}` or `${{{name}:?word}}`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "a" => Some("A b".to_owned()),
            "empty" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_expanded_as_a_shell_does() {
        for (text, expected) in [
            ("$a", "A b"),
            ("${a}x$none.", "A bx."),
            ("${none:-d$a}", "dA b"),
            ("${empty:-d}${empty-d}", "d"),
            ("${a:+yes}${empty:+no}${empty+yes}${none+no}", "yesyes"),
            ("${none:-${none:-deep}}", "deep"),
            ("'$a' \"$a\" \\$a", "$a A b $a"),
            ("\"a\\\"b\\c\" a\\ b", "a\"b\\c a b"),
            ("5$ $1$$", "5$ "),
            ("${a:?none}", "A b"),
        ] {
            assert_eq!(expand(text, '\\', &lookup).as_deref(), Ok(expected), "{text}");
        }
        for text in ["${", "${a", "${a:", "'a", "\"a", "${a%%x}", "${none:?say so}"] {
            assert!(expand(text, '\\', &lookup).is_err(), "{text}");
        }
        assert_eq!(expand_text("'$a' \\$a \\n \"", '\\', &lookup).unwrap(), "'A b' $a \\n \"");
    }

    #[test]
    fn words_end_outside_of_quotes() {
        assert_eq!(split("a \"b c\"d  'e f' g\\ h", '\\'), ["a", "\"b c\"d", "'e f'", "g\\ h"]);
    }

    #[test]
    fn nothing_grows_without_bound() {
        let long = "x".repeat(60_000);
        let lookup = |_: &str| Some(long.clone());
        assert!(expand("$a$a$a$a", '\\', &lookup).is_err());
        let deep = "${b:-".repeat(50_000);
        assert!(expand(&deep, '\\', &|_| None).is_err());
    }

    proptest! {
        #[test]
        fn any_text_has_an_end(text in "[$a{}:+?'\"\\\\ -]{0,60}") {
            let _ = expand(&text, '\\', &lookup);
            let _ = expand_text(&text, '`', &lookup);
            let _ = split(&text, '\\');
        }
    }
}
