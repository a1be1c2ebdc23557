//! What each instruction of a stage does, with its variables expanded: variables come from the image, so they are known
//! only while the stage is built.

mod run;

use std::collections::BTreeMap;

use crate::config::{Config, set};
use crate::error::Error;
use crate::instruction::{CopyText, Form, Instruction, Kind, Source};
use crate::mount::Mount;
use crate::path::{absolute, relative};
use crate::plan::{Origin, Plan};
use crate::word;

/// What all variables may have together: the kernel passes no more to a program (execve(2)).
const MOST_ENVIRONMENT_BYTES: usize = 1 << 20;
/// The most variables, labels or sources.
const MOST_NAMES: usize = 4_096;
/// Texts of one instruction may be this much larger than variables.
const TEXT_SHARE: usize = 4;
/// `ARG`s that need not be declared, and that say nothing of what comes out.
pub const UNDECLARED: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What an instruction does to files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it only says something of the image.
    Settled,
    /// A program runs.
    Run(Run),
    /// Files are copied.
    Copy(Copy),
    /// A directory is there, or is made.
    Directory(String),
}

/// A program that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// It and its arguments.
    pub arguments: Vec<String>,
    /// Its variables, `ARG`s included.
    pub environment: Vec<(String, String)>,
    /// Who it runs as; empty means root.
    pub user: String,
    /// Where it starts.
    pub working_directory: String,
    /// What it finds besides the image; origins in the order of mounts.
    pub mounts: Vec<(Mount, Option<Origin>)>,
    /// Whether it has no network.
    pub is_offline: bool,
}

/// Files that are copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Where they come from; the context when there is none.
    pub origin: Option<Origin>,
    /// What is copied.
    pub sources: Vec<CopySource>,
    /// Where to: an absolute path.
    pub destination: String,
    /// Whether it is a directory by the way it was written.
    pub is_into_directory: bool,
    /// Who owns it there, written as `user:group`.
    pub owner: Option<String>,
    /// Its mode there.
    pub mode: Option<u32>,
    /// Patterns of what stays behind.
    pub excluded: Vec<String>,
    /// Whether archives are unpacked.
    pub unpacks: bool,
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// Files by a path from the root of their origin, without a slash at its beginning, perhaps with wildcards.
    Path(String),
    /// A text, and the name of its file.
    Text {
        /// Its name.
        name: String,
        /// What it holds.
        content: String,
    },
}

/// The state of a stage while it is built.
#[derive(Debug)]
pub struct Evaluation<'a> {
    plan: &'a Plan,
    stage: usize,
    escape: char,
    config: Config,
    arguments: BTreeMap<String, String>,
}

impl<'a> Evaluation<'a> {
    /// Begins stage number `stage`, from an image that says `config`.
    pub fn new(plan: &'a Plan, stage: usize, escape: char, config: Config) -> Self {
        let supplied = |name: &&str| plan.supplied.get_key_value(*name);
        let arguments = UNDECLARED.iter().filter_map(supplied);
        let arguments = arguments.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { plan, stage, escape, config: config.with_path(), arguments }
    }

    /// Returns what the image says so far.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes the next instruction.
    pub fn step(&mut self, instruction: &Instruction) -> Result<Step, Error> {
        self.take(&instruction.kind).map_err(|reason| Error::at(instruction.line, reason))
    }

    fn take(&mut self, kind: &Kind) -> Result<Step, String> {
        match kind {
            Kind::Run(text) => return self.run(text).map(Step::Run),
            Kind::Copy(text) => return self.copy(text).map(Step::Copy),
            Kind::WorkingDirectory(text) => {
                let path = absolute(&self.config.working_directory, &self.expand(text)?);
                self.config.working_directory.clone_from(&path);
                return Ok(Step::Directory(path));
            }
            Kind::Env(pairs) => {
                for (name, value) in self.expanded(pairs)? {
                    if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                        return Err(format!("`{name}` cannot be the name of a variable"));
                    }
                    set(&mut self.config.environment, &name, value);
                }
                self.check_size()?;
            }
            Kind::Label(pairs) => {
                for (name, value) in self.expanded(pairs)? {
                    set(&mut self.config.labels, &name, value);
                }
                self.check_size()?;
            }
            Kind::Arg(arguments) => {
                for (name, default) in arguments {
                    self.declare(name, default.as_deref())?;
                }
                self.check_size()?;
            }
            Kind::User(text) => self.config.user = self.expand(text)?,
            Kind::Expose(ports) => {
                for port in ports {
                    self.expose(&self.expand(port)?)?;
                }
            }
            Kind::Shell(words) => self.config.shell.clone_from(words),
            Kind::Entrypoint(form) => {
                self.config.entrypoint = self.program(form);
                // What the image below had as arguments was meant for its own program.
                self.config.command.clear();
            }
            Kind::Command(form) => self.config.command = self.program(form),
            Kind::Noted => {}
        }
        Ok(Step::Settled)
    }

    fn declare(&mut self, name: &str, default: Option<&str>) -> Result<(), String> {
        let value = match (self.plan.supplied.get(name), default) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(default)) => Some(self.expand(default)?),
            (None, None) => self.plan.globals.get(name).cloned(),
        };
        if let Some(value) = value {
            self.arguments.insert(name.to_owned(), value);
        }
        Ok(())
    }

    fn expose(&mut self, port: &str) -> Result<(), String> {
        let (numbers, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let is_number = |text: &str| text.parse::<u16>().is_ok();
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        if !is_number(first) || !is_number(last) || !matches!(protocol, "tcp" | "udp" | "sctp") {
            return Err(format!("`{port}` is no port; write a number, as in `8080` or `53/udp`"));
        }
        let port = format!("{numbers}/{protocol}");
        if !self.config.exposed.contains(&port) {
            self.config.exposed.push(port);
        }
        Ok(())
    }

    fn program(&self, form: &Form) -> Vec<String> {
        match form {
            Form::Exec(words) => words.clone(),
            Form::Shell(text) => {
                let mut words = self.config.shell();
                words.push(text.clone());
                words
            }
        }
    }

    fn lookup(&self, name: &str) -> Option<String> {
        let variable = self.config.variable(name).map(str::to_owned);
        variable.or_else(|| self.arguments.get(name).cloned())
    }

    fn expand(&self, text: &str) -> Result<String, String> {
        word::expand(text, self.escape, &|name| self.lookup(name))
    }

    /// Expands names and values, all with the variables from before.
    fn expanded(&self, pairs: &[(String, String)]) -> Result<Vec<(String, String)>, String> {
        let mut expanded = Vec::new();
        let mut bytes = 0;
        for (name, value) in pairs {
            let pair = (self.expand(name)?, self.expand(value)?);
            bytes += pair.0.len() + pair.1.len();
            check(bytes, expanded.len())?;
            expanded.push(pair);
        }
        Ok(expanded)
    }

    fn check_size(&self) -> Result<(), String> {
        let Config { environment, labels, .. } = &self.config;
        let pairs = environment.iter().chain(labels).map(|(name, value)| name.len() + value.len());
        let arguments = self.arguments.iter().map(|(name, value)| name.len() + value.len());
        check(pairs.chain(arguments).sum(), environment.len().max(labels.len()).max(self.arguments.len()))
    }

    fn copy(&self, text: &CopyText) -> Result<Copy, String> {
        let destination = self.expand(&text.destination)?;
        let mut sources = Vec::with_capacity(text.sources.len());
        let mut bytes = 0;
        for source in &text.sources {
            let source = match source {
                Source::Path(path) => CopySource::Path(relative(&self.expand(path)?)),
                Source::Text(heredoc) => {
                    let lookup = |name: &str| self.lookup(name);
                    let content = if heredoc.expands {
                        word::expand_text(&heredoc.body, self.escape, &lookup)?
                    } else {
                        heredoc.body.clone()
                    };
                    CopySource::Text { name: heredoc.name.clone(), content }
                }
            };
            bytes += match &source {
                CopySource::Path(path) => path.len(),
                CopySource::Text { content, .. } => content.len(),
            };
            check(bytes / TEXT_SHARE, sources.len())?;
            sources.push(source);
        }
        let mode = text.mode.as_ref().map(|mode| self.mode(mode)).transpose()?;
        let is_written = destination.ends_with('/') || destination == "." || destination.ends_with("/.");
        let is_into_directory = is_written || destination.is_empty() || sources.len() > 1;
        if sources.len() > 1 && !is_written && !destination.is_empty() {
            return Err(format!("`{destination}` gets more than one file; end it with `/`"));
        }
        Ok(Copy {
            origin: text.from.as_ref().map(|from| self.plan.origin(from, self.stage)),
            sources,
            destination: absolute(&self.config.working_directory, &destination),
            is_into_directory,
            owner: text.owner.as_ref().map(|owner| self.expand(owner)).transpose()?,
            mode,
            excluded: text.excluded.clone(),
            unpacks: text.unpacks,
        })
    }

    fn mode(&self, text: &str) -> Result<u32, String> {
        let text = self.expand(text)?;
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o7777);
        mode.ok_or_else(|| format!("`--chmod={text}` is no mode; write it as digits, as in `--chmod=755`"))
    }
}

fn check(bytes: usize, names: usize) -> Result<(), String> {
    if bytes > MOST_ENVIRONMENT_BYTES || names >= MOST_NAMES {
        return Err(format!(
            "more than {MOST_NAMES} values, or more than {MOST_ENVIRONMENT_BYTES} bytes together; use fewer"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
