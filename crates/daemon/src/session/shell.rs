//! A shell that lives on between commands: runs them one after the other, and tells how each of them ended.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};

use crate::error::DaemonError;
use crate::execution::{Child, Executor};
use crate::file::blocking;
use crate::program::Launch;
use crate::session::collect::Outputs;
use crate::session::command::Command;
use crate::session::control::Control;
use crate::session::exchange::{self, Exchange, Names};
use crate::session::stock::Stock;

/// Shells that understand what is written below.
const KNOWN: [&str; 6] = ["bash", "sh", "dash", "ash", "ksh", "mksh"];
/// How long what runs in a session has to end by itself.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const POLL: Duration = Duration::from_millis(20);

/// Returns the shell for sessions: the usual one if it reads the usual language.
pub fn for_sessions(shell: &str) -> &str {
    let name = Path::new(shell).file_name().and_then(|name| name.to_str());
    if name.is_some_and(|name| KNOWN.contains(&name)) { shell } else { "/bin/sh" }
}

/// A shell.
#[derive(Debug)]
pub struct Shell {
    child: Child,
    script: pipe::Sender,
    control: Control,
    number: u64,
}

/// What a shell's work ended with.
#[derive(Debug)]
pub enum Over {
    /// The shell ended by itself with this code.
    Ended(i32),
    /// It was asked to end.
    Asked,
}

/// What the commands of one session share.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The limits of all logs.
    pub stock: Arc<Stock>,
    /// Tells the shell's exit code once it has ended by itself.
    pub ended: watch::Sender<Option<i32>>,
    /// Turns true when the session is to end.
    pub is_asked: watch::Receiver<bool>,
    /// Turns true when the session is gone.
    pub is_gone: watch::Receiver<bool>,
}

impl Shell {
    /// Starts a shell that reads its script from a pipe; `launch` needs no arguments.
    pub fn start(executor: &Arc<Executor>, mut launch: Launch) -> Result<Self, DaemonError> {
        let failed = |source| DaemonError::Execution { step: "open a pipe", source };
        let open = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(std::io::Error::from);
        let (script_reader, script) = open().map_err(failed)?;
        let (control, control_writer) = open().map_err(failed)?;
        let null = std::fs::File::options().read(true).write(true).open("/dev/null");
        let null = OwnedFd::from(null.map_err(failed)?);
        launch.extra = vec![control_writer];
        let child = executor.launch(&launch, [script_reader.as_fd(), null.as_fd(), null.as_fd()], false)?;
        let script = pipe::Sender::from_owned_fd(script).map_err(failed)?;
        let control = Control::new(pipe::Receiver::from_owned_fd(control).map_err(failed)?);
        Ok(Self { child, script, control, number: 0 })
    }

    /// Waits for the shell to end while it has nothing to do.
    pub async fn ended(&mut self) -> i32 {
        self.child.wait().await
    }

    /// Runs a command to its end; says so if it was the shell's end, too.
    pub async fn run(
        &mut self,
        command: &Arc<Command>,
        text: String,
        token: String,
        ground: &mut Ground,
    ) -> Option<Over> {
        let takes_input = command.takes_input;
        let opened = blocking(move || exchange::open(&token, &text, takes_input)).await;
        let (names, connected) = match opened {
            Ok(Exchange { names, outputs, input }) => (names, connect(outputs, input)),
            Err(error) => {
                command.fail(&error.message()).await;
                return None;
            }
        };
        let over = match connected {
            Ok((outputs, input)) => {
                command.begin(input).await;
                self.follow(command, outputs, &names, ground).await
            }
            Err(error) => {
                command.fail(&error.message()).await;
                None
            }
        };
        // As the user, in whose hands the directory is.
        let _ = blocking(move || {
            names.remove();
            Ok(())
        })
        .await;
        over
    }

    async fn follow(
        &mut self,
        command: &Arc<Command>,
        outputs: [pipe::Receiver; 2],
        names: &Names,
        ground: &mut Ground,
    ) -> Option<Over> {
        self.number += 1;
        let number = self.number;
        let (end, ended) = oneshot::channel();
        let outputs = Outputs::new(Arc::clone(command), outputs);
        tokio::spawn(outputs.collect(ended, Arc::clone(&ground.stock), ground.is_gone.clone()));
        // A shell that is gone does not read it, which is found out below.
        let _ = self.script.write_all(script(number, names, command.takes_input).as_bytes()).await;
        let (told, over) = tokio::select! {
            biased;
            exit_code = self.control.ended(number) => (Some(exit_code), None),
            exit_code = self.child.wait() => (self.control.poll(number), Some(Over::Ended(exit_code))),
            _ = ground.is_asked.wait_for(|is_asked| *is_asked) => (None, Some(Over::Asked)),
        };
        let exit_code = match (told, &over) {
            // It may have told just before it ended.
            (Some(exit_code), _) => exit_code,
            (None, Some(Over::Ended(exit_code))) => *exit_code,
            (None, _) => self.end().await,
        };
        if let Some(Over::Ended(exit_code)) = over {
            // Known before the command's end is, so that nobody hands over another.
            ground.ended.send_replace(Some(exit_code));
        }
        let _ = end.send(exit_code);
        command.ended().await;
        over
    }

    /// Ends the shell and everything that it started, softly first; returns the shell's exit code.
    pub async fn end(&mut self) -> i32 {
        let deadline = tokio::time::Instant::now() + GRACE;
        let mut asked = BTreeSet::new();
        while self.child.ask(&mut asked) > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        self.child.kill();
        self.child.wait().await
    }
}

fn connect(
    [output, errors]: [std::fs::File; 2],
    input: Option<std::fs::File>,
) -> Result<([pipe::Receiver; 2], Option<pipe::Sender>), DaemonError> {
    let failed = |source| DaemonError::Execution { step: "watch a pipe", source };
    let outputs = [pipe::Receiver::from_file(output), pipe::Receiver::from_file(errors)];
    let [output, errors] = outputs;
    let input = input.map(pipe::Sender::from_file).transpose().map_err(failed)?;
    Ok(([output.map_err(failed)?, errors.map_err(failed)?], input))
}

/// Returns what the shell reads for one command: two lines, so that the second is read whatever happened in the first.
///
/// `command` takes what is special from `.`: in some shells a mistake in a special command is the shell's end. The
/// backslashes pass over aliases. Descriptor 3 is closed to the command.
fn script(number: u64, names: &Names, takes_input: bool) -> String {
    let text = names.text();
    let [input, output, errors] = names.streams();
    let input = if takes_input { input } else { "/dev/null".into() };
    format!(
        "\\command . '{}' <'{}' >'{}' 2>'{}' 3>&-\n\\command printf '%s %s\\n' {number} \"$?\" >&3\n",
        text.display(),
        input.display(),
        output.display(),
        errors.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_of_another_language_is_not_used() {
        for (own, expected) in [
            ("/bin/bash", "/bin/bash"),
            ("/bin/dash", "/bin/dash"),
            ("/usr/bin/fish", "/bin/sh"),
            ("", "/bin/sh"),
        ] {
            assert_eq!(for_sessions(own), expected);
        }
    }
}
