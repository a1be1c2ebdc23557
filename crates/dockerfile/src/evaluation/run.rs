//! `RUN`: which program, with which variables.

use crate::config::set;
use crate::evaluation::{Evaluation, Run};
use crate::instruction::{Form, Heredoc, RunText};
use crate::mount::{Mount, MountKind};
use crate::path::absolute;
use crate::plan::Origin;
use crate::word::MOST_VALUE_BYTES;

impl Evaluation<'_> {
    pub(super) fn run(&self, text: &RunText) -> Result<Run, String> {
        let mut environment = self.config.environment.clone();
        for (name, value) in &self.arguments {
            if self.config.variable(name).is_none() {
                set(&mut environment, name, value.clone());
            }
        }
        let arguments = match &text.form {
            Form::Exec(words) => words.clone(),
            Form::Shell(command) => {
                let mut words = self.config.shell();
                words.push(script(command, &text.heredocs));
                words
            }
        };
        if arguments.iter().any(|argument| argument.len() >= MOST_VALUE_BYTES) {
            return Err(format!(
                "a command of more than {MOST_VALUE_BYTES} bytes, which no kernel passes; COPY a script and run it"
            ));
        }
        let mounts = text.mounts.iter().map(|mount| self.mount(mount)).collect::<Result<_, _>>()?;
        let working_directory = absolute("/", &self.config.working_directory);
        let user = self.config.user.clone();
        Ok(Run { arguments, environment, user, working_directory, mounts, is_offline: text.is_offline })
    }

    fn mount(&self, mount: &Mount) -> Result<(Mount, Option<Origin>), String> {
        let target = absolute(&self.config.working_directory, &self.expand(&mount.target)?);
        if target == "/" {
            return Err("a mount cannot be put over the whole file system; give it a directory".to_owned());
        }
        let mut origin = None;
        let kind = match &mount.kind {
            MountKind::Cache { id, mode, user_id, group_id } => {
                let id = id.as_ref().map(|id| self.expand(id)).transpose()?;
                MountKind::Cache { id, mode: *mode, user_id: *user_id, group_id: *group_id }
            }
            MountKind::Bind { from, source } => {
                origin = from.as_ref().map(|from| self.plan.origin(from, self.stage));
                MountKind::Bind { from: from.clone(), source: self.expand(source)? }
            }
            memory @ MountKind::Memory { .. } => memory.clone(),
        };
        Ok((Mount { kind, target }, origin))
    }
}

/// Writes a command with its here-documents as a shell reads it.
fn script(command: &str, heredocs: &[Heredoc]) -> String {
    let ended = |heredoc: &Heredoc| format!("{}{}\n", heredoc.body, heredoc.name);
    match heredocs {
        [] => command.to_owned(),
        [heredoc] if is_alone(command) => match heredoc.body.strip_prefix("#!") {
            // A script names its own interpreter, which reads it like a file.
            Some(body) => {
                let interpreter = body.lines().next().unwrap_or_default().trim();
                format!("exec {interpreter} /dev/fd/3 3<<'{}'\n{}", heredoc.name, ended(heredoc))
            }
            None => heredoc.body.clone(),
        },
        heredocs => format!("{command}\n{}", heredocs.iter().map(ended).collect::<String>()),
    }
}

/// Tells whether a command is a here-document and nothing else.
fn is_alone(command: &str) -> bool {
    command.starts_with("<<") && !command.contains(char::is_whitespace)
}
