//! From bytes to logical lines: directives, comments, continuations and here-documents.

use crate::error::Error;
use crate::word::MOST_TEXT_BYTES as MOST_BYTES;

/// The most instructions in it.
const MOST_INSTRUCTIONS: usize = 2_000;
/// Instructions that may be followed by here-documents.
const WITH_HEREDOCS: [&str; 3] = ["RUN", "COPY", "ADD"];

/// One instruction as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it begins, counted from 1.
    pub(crate) number: u32,
    /// Its first word, in capitals.
    pub(crate) keyword: String,
    /// What follows, with continuations joined.
    pub(crate) rest: String,
    /// What follows on the lines after it.
    pub(crate) heredocs: Vec<Heredoc>,
}

/// Text that stands in the Dockerfile itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it.
    pub name: String,
    /// Its lines.
    pub body: String,
    /// Whether variables in it are expanded: its word was not quoted.
    pub expands: bool,
    /// Whether leading tabs are taken away.
    pub strips_tabs: bool,
}

/// A whole Dockerfile as lines.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) escape: char,
    pub(crate) lines: Vec<Line>,
}

/// Splits a Dockerfile into its instructions.
pub(crate) fn split(text: &str) -> Result<Text, Error> {
    if text.len() > MOST_BYTES {
        return Err(Error::TooLarge { bytes: text.len(), limit: MOST_BYTES });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let escape = directives(text)?;
    let mut source = Source { lines: text.lines(), number: 0 };
    let mut lines = Vec::new();
    while let Some((number, first)) = source.next() {
        let first = first.trim_start();
        if first.is_empty() || first.starts_with('#') {
            continue;
        }
        if lines.len() == MOST_INSTRUCTIONS {
            return Err(Error::at(number, format!("more than {MOST_INSTRUCTIONS} instructions; join some")));
        }
        let logical = joined(first, escape, &mut source);
        let (keyword, rest) = logical.split_once(char::is_whitespace).unwrap_or((&logical, ""));
        let keyword = keyword.to_ascii_uppercase();
        let rest = rest.trim().to_owned();
        // What ONBUILD holds is refused anyway.
        let heredocs = if WITH_HEREDOCS.contains(&keyword.as_str()) {
            let marks = marks(&rest, escape);
            marks.into_iter().map(|mark| body(mark, number, &mut source)).collect::<Result<_, _>>()?
        } else {
            Vec::new()
        };
        lines.push(Line { number, keyword, rest, heredocs });
    }
    Ok(Text { escape, lines })
}

struct Source<'a> {
    lines: std::str::Lines<'a>,
    number: u32,
}

impl<'a> Source<'a> {
    fn next(&mut self) -> Option<(u32, &'a str)> {
        self.number = self.number.saturating_add(1);
        self.lines.next().map(|line| (self.number, line))
    }
}

/// Reads the comments before everything else that change how the rest is read; returns the escape character.
fn directives(text: &str) -> Result<char, Error> {
    let mut escape = '\\';
    for (number, line) in (1..).zip(text.lines()) {
        let Some(comment) = line.trim_start().strip_prefix('#') else { break };
        let Some((name, value)) = comment.split_once('=') else { break };
        match name.trim().to_ascii_lowercase().as_str() {
            "escape" => {
                escape = match value.trim() {
                    "\\" => '\\',
                    "`" => '`',
                    other => {
                        let reason = format!("escape `{other}` is not known; use `\\` or `` ` ``");
                        return Err(Error::at(number, reason));
                    }
                };
            }
            // Which dialect it is, and what to warn about: there is one builder here.
            "syntax" | "check" => {}
            _ => break,
        }
    }
    Ok(escape)
}

/// Joins a line with those that continue it. Comments and empty lines between them do not count.
fn joined(first: &str, escape: char, source: &mut Source<'_>) -> String {
    let mut whole = String::new();
    let mut part = first;
    loop {
        let Some(kept) = part.trim_end().strip_suffix(escape) else {
            whole.push_str(part);
            return whole;
        };
        whole.push_str(kept);
        part = loop {
            match source.next() {
                Some((_, line)) if line.trim().is_empty() || line.trim_start().starts_with('#') => {}
                Some((_, line)) => break line,
                None => return whole,
            }
        };
    }
}

/// A word `<<NAME` outside of quotes.
struct Mark {
    name: String,
    expands: bool,
    strips_tabs: bool,
}

fn marks(rest: &str, escape: char) -> Vec<Mark> {
    let words = crate::word::split(rest, escape);
    words.iter().filter_map(|word| mark(word)).collect()
}

fn mark(word: &str) -> Option<Mark> {
    let word = word.trim_start_matches(|character: char| character.is_ascii_digit()).strip_prefix("<<")?;
    let (strips_tabs, word) = word.strip_prefix('-').map_or((false, word), |word| (true, word));
    let quote = word.chars().next().filter(|first| matches!(first, '"' | '\''));
    let (name, expands) = match quote {
        Some(quote) => (word.get(1..)?.split(quote).next()?, false),
        None => (word.split(['>', '<', ';', '|', '&', ')']).next()?, true),
    };
    let is_name = !name.is_empty()
        && name.chars().all(|character| character.is_alphanumeric() || "_-.".contains(character));
    is_name.then(|| Mark { name: name.to_owned(), expands, strips_tabs })
}

fn body(mark: Mark, number: u32, source: &mut Source<'_>) -> Result<Heredoc, Error> {
    let Mark { name, expands, strips_tabs } = mark;
    let mut body = String::new();
    while let Some((_, line)) = source.next() {
        let line = if strips_tabs { line.trim_start_matches('\t') } else { line };
        if line == name {
            return Ok(Heredoc { name, body, expands, strips_tabs });
        }
        body.push_str(line);
        body.push('\n');
    }
    Err(Error::at(number, format!("the here-document `{name}` does not end; add a line with `{name}` alone")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(u32, String, String)> {
        let lines = split(text).unwrap().lines;
        lines.into_iter().map(|line| (line.number, line.keyword, line.rest)).collect()
    }

    #[test]
    fn continuations_skip_comments_and_empty_lines() {
        let text =
            "# syntax=docker/dockerfile:1\n\nfrom a\nRUN one \\\n  # why\n\n  two \\ \n three\n  user x";
        let expected = [(3, "FROM", "a"), (4, "RUN", "one   two  three"), (9, "USER", "x")];
        let expected = expected.map(|(number, keyword, rest)| (number, keyword.to_owned(), rest.to_owned()));
        assert_eq!(lines(text), expected);
    }

    #[test]
    fn another_escape_is_chosen_by_a_directive() {
        let text = "# escape=`\nFROM a\nRUN one `\n two \\\nUSER x";
        assert_eq!(lines(text)[1].2, "one  two \\");
        assert!(split("# escape=x\nFROM a").is_err());
        // Not a directive any more.
        assert_eq!(split("FROM a\n# escape=`").unwrap().escape, '\\');
    }

    #[test]
    fn here_documents_are_found_outside_of_quotes() {
        let text = "RUN cat <<A >x <<-'B'\na $x\nA\n\tb\n\tB\nRUN echo \"<<C\" $((1<<2)) <<<d\nUSER x";
        let split = split(text).unwrap();
        let heredocs: Vec<_> =
            split.lines[0].heredocs.iter().map(|it| (it.body.as_str(), it.expands)).collect();
        assert_eq!(heredocs, [("a $x\n", true), ("b\n", false)]);
        assert_eq!(split.lines.len(), 3);
        assert!(split.lines[1].heredocs.is_empty());
        let error = super::split("RUN <<EOF\nnever").unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("EOF"), "{error}");
    }
}
