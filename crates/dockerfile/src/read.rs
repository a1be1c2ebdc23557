//! From lines to instructions and stages.

use crate::copy;
use crate::error::Error;
use crate::instruction::{Form, Instruction, Kind, RunText};
use crate::mount::Mount;
use crate::text::{self, Line};
use crate::word;

/// How much of an instruction the log shows.
const SHOWN_CHARACTERS: usize = 200;
/// The most mounts of one step.
const MOST_MOUNTS: usize = 12;

/// A Dockerfile that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What escapes the end of a line, and signs in words.
    pub escape: char,
    /// `ARG`s before the first `FROM`: with their lines.
    pub globals: Vec<(u32, String, Option<String>)>,
    /// The stages, in order.
    pub stages: Vec<Stage>,
}

/// One `FROM` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Where it begins.
    pub line: u32,
    /// How its `FROM` was written.
    pub text: String,
    /// What it begins with, variables not expanded.
    pub from: String,
    /// The platform that was asked for.
    pub platform: Option<String>,
    /// Its name, in small letters.
    pub name: Option<String>,
    /// What it does.
    pub instructions: Vec<Instruction>,
}

impl Dockerfile {
    /// Reads a Dockerfile.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text::split(text)?;
        let mut file = Self { escape: text.escape, globals: Vec::new(), stages: Vec::new() };
        for line in &text.lines {
            file.take(line).map_err(|reason| Error::at(line.number, reason))?;
        }
        if file.stages.is_empty() { Err(Error::NoStage) } else { Ok(file) }
    }

    fn take(&mut self, line: &Line) -> Result<(), String> {
        if line.keyword == "FROM" {
            let stage = from(line, self.escape)?;
            if stage.name.is_some() && self.stages.iter().any(|other| other.name == stage.name) {
                return Err("another stage has this name; choose one of its own".to_owned());
            }
            self.stages.push(stage);
            return Ok(());
        }
        let kind = kind(line, self.escape)?;
        match (self.stages.last_mut(), kind) {
            (Some(stage), kind) => {
                stage.instructions.push(Instruction { line: line.number, text: shown(line), kind });
            }
            (None, Kind::Arg(arguments)) => {
                self.globals.extend(arguments.into_iter().map(|(name, value)| (line.number, name, value)));
            }
            (None, _) => return Err(format!("{} comes before FROM; begin with FROM", line.keyword)),
        }
        Ok(())
    }
}

/// Writes an instruction on one line, shortened.
fn shown(line: &Line) -> String {
    let whole: String = line.rest.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text: String = whole.chars().take(SHOWN_CHARACTERS).collect();
    if text.len() < whole.len() {
        text.push('…');
    }
    format!("{} {text}", line.keyword)
}

fn from(line: &Line, escape: char) -> Result<Stage, String> {
    let (flags, rest) = flags(&line.rest, escape);
    let mut platform = None;
    for (name, value) in flags {
        match name.as_str() {
            "platform" => platform = Some(value),
            _ => return Err(format!("`--{name}` of FROM is not known; leave it out")),
        }
    }
    let words = word::split(&rest, escape);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (from, name) = match words.as_slice() {
        [from] => (*from, None),
        [from, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            (*from, Some(name.to_ascii_lowercase()))
        }
        _ => return Err("FROM needs an image and perhaps a name, as in `FROM image AS name`".to_owned()),
    };
    let is_name = |name: &String| {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(|sign| sign.is_ascii_alphanumeric() || "_-.".contains(sign))
    };
    if name.as_ref().is_some_and(|name| !is_name(name)) {
        return Err(
            "a stage's name begins with a letter and has letters, digits, `_`, `-` and `.`".to_owned()
        );
    }
    let (text, from) = (shown(line), from.to_owned());
    Ok(Stage { line: line.number, text, from, platform, name, instructions: Vec::new() })
}

fn kind(line: &Line, escape: char) -> Result<Kind, String> {
    let rest = line.rest.as_str();
    let keyword = line.keyword.as_str();
    if rest.is_empty() {
        return Err(if is_known(keyword) {
            format!("{keyword} says nothing; add what it needs")
        } else {
            unknown(keyword)
        });
    }
    Ok(match keyword {
        "RUN" => Kind::Run(run(line, escape)?),
        "COPY" | "ADD" => {
            let (flags, rest) = flags(rest, escape);
            Kind::Copy(copy::read(line, &flags, &rest, escape)?)
        }
        "ENV" => Kind::Env(pairs(keyword, rest, escape)?),
        "LABEL" => Kind::Label(pairs(keyword, rest, escape)?),
        "ARG" => Kind::Arg(arguments(rest, escape)?),
        "WORKDIR" => Kind::WorkingDirectory(rest.to_owned()),
        "USER" => Kind::User(rest.to_owned()),
        "EXPOSE" => Kind::Expose(word::split(rest, escape)),
        "SHELL" => {
            let words = word::json(rest).filter(|words| !words.is_empty());
            Kind::Shell(
                words
                    .ok_or_else(|| "SHELL needs a list, as in `SHELL [\"/bin/bash\", \"-c\"]`".to_owned())?,
            )
        }
        "ENTRYPOINT" => Kind::Entrypoint(form(rest)),
        "CMD" => Kind::Command(form(rest)),
        "STOPSIGNAL" | "VOLUME" | "HEALTHCHECK" | "MAINTAINER" => Kind::Noted,
        "ONBUILD" => {
            return Err("ONBUILD is not built: nothing here is built from this image later; write its instruction into the Dockerfile that needs it".to_owned());
        }
        _ => return Err(unknown(keyword)),
    })
}

const KNOWN: [&str; 17] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

fn is_known(keyword: &str) -> bool {
    KNOWN.contains(&keyword)
}

fn unknown(keyword: &str) -> String {
    let keyword: String = keyword.chars().take(40).collect();
    format!("`{}` is no instruction; there are FROM, {}", keyword.escape_debug(), KNOWN.join(", "))
}

/// Takes the flags off the beginning: names and values, and what follows.
fn flags(rest: &str, escape: char) -> (Vec<(String, String)>, String) {
    let (mut flags, mut rest) = (Vec::new(), rest);
    while let Some(flag) = rest.strip_prefix("--") {
        // Quotes may hold white space.
        let first = word::split(flag, escape).into_iter().next().unwrap_or_default();
        if first.is_empty() || flag.starts_with(char::is_whitespace) {
            break;
        }
        rest = flag.get(first.len()..).unwrap_or_default().trim_start();
        let (name, value) = first.split_once('=').unwrap_or((&first, ""));
        flags.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    (flags, rest.to_owned())
}

fn run(line: &Line, escape: char) -> Result<RunText, String> {
    let (flags, rest) = flags(&line.rest, escape);
    let (mut mounts, mut is_offline) = (Vec::new(), false);
    for (name, value) in flags {
        match (name.as_str(), value.as_str()) {
            ("mount", value) => mounts.push(Mount::parse(value)?),
            ("network", "none") => is_offline = true,
            ("network", "default") | ("security", "sandbox") => {}
            ("network", _) => {
                return Err(
                    "`--network` of RUN may be `default` or `none`; a build has its own network".to_owned()
                );
            }
            ("security", _) => return Err("a build runs in a sandbox; leave `--security` out".to_owned()),
            _ => return Err(format!("`--{name}` of RUN is not known; leave it out")),
        }
    }
    if mounts.len() > MOST_MOUNTS {
        return Err(format!("more than {MOST_MOUNTS} mounts; use fewer"));
    }
    if rest.is_empty() {
        return Err("RUN says nothing; add what it needs".to_owned());
    }
    let form = match form(&rest) {
        Form::Exec(words) if words.is_empty() => {
            return Err("RUN has an empty list; name a program".to_owned());
        }
        form => form,
    };
    Ok(RunText { form, heredocs: line.heredocs.clone(), mounts, is_offline })
}

fn form(rest: &str) -> Form {
    word::json(rest).map_or_else(|| Form::Shell(rest.to_owned()), Form::Exec)
}

/// Reads `name=value …`, or `name value`, which takes the rest of the line.
fn pairs(keyword: &str, rest: &str, escape: char) -> Result<Vec<(String, String)>, String> {
    let words = word::split(rest, escape);
    if !words.first().is_some_and(|first| first.contains('=')) {
        let (name, value) = rest
            .split_once(char::is_whitespace)
            .ok_or_else(|| format!("{keyword} needs names and values, as in `{keyword} name=value`"))?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{word}` is no `name=value`; put quotes around values with spaces")),
    };
    words.iter().map(pair).collect()
}

fn arguments(rest: &str, escape: char) -> Result<Vec<(String, Option<String>)>, String> {
    let argument = |word: &String| {
        let (name, value) = word
            .split_once('=')
            .map_or((word.as_str(), None), |(name, value)| (name, Some(value.to_owned())));
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_');
        if is_name {
            Ok((name.to_owned(), value))
        } else {
            Err(format!("`{word}` cannot be the name of an ARG"))
        }
    };
    word::split(rest, escape).iter().map(argument).collect()
}

#[cfg(test)]
mod tests;
