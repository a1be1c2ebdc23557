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
/// After how long it is first looked at whether the shell passes over what it reads, and how often at least.
const LOOK_AFTER: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_mins(1);

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
    dialect: Dialect,
    number: u64,
}

/// What the lines that drive a shell are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Functions come before all else, and `builtin` leads past them.
    Bash,
    /// Functions come before what is not special (POSIX.1-2017, 2.9.1), and nothing but a special command leads past them.
    Posix,
}

impl Dialect {
    fn of(shell: &str) -> Self {
        let name = Path::new(shell).file_name().and_then(|name| name.to_str());
        if name == Some("bash") { Self::Bash } else { Self::Posix }
    }
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
        let dialect = Dialect::of(&launch.path);
        launch.extra = vec![control_writer];
        let child = executor.launch(&launch, [script_reader.as_fd(), null.as_fd(), null.as_fd()], false)?;
        let script = pipe::Sender::from_owned_fd(script).map_err(failed)?;
        let control = Control::new(pipe::Receiver::from_owned_fd(control).map_err(failed)?);
        Ok(Self { child, script, control, dialect, number: 0 })
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
        let script = script(self.dialect, number, names, command.takes_input);
        let _ = self.script.write_all(script.as_bytes()).await;
        let (told, over) = tokio::select! {
            biased;
            exit_code = self.control.ended(number) => (Some(exit_code), None),
            exit_code = self.child.wait() => (self.control.poll(number), Some(Over::Ended(exit_code))),
            _ = ground.is_asked.wait_for(|is_asked| *is_asked) => (None, Some(Over::Asked)),
            () = passed_over(&self.script) => (self.control.poll(number), None),
        };
        let (exit_code, over) = match (told, over) {
            // It may have told just before it ended.
            (Some(exit_code), over) => (exit_code, over),
            (None, Some(Over::Ended(exit_code))) => (exit_code, Some(Over::Ended(exit_code))),
            (None, Some(Over::Asked)) => (self.end().await, Some(Over::Asked)),
            (None, None) => {
                let exit_code = self.end().await;
                (exit_code, Some(Over::Ended(exit_code)))
            }
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

/// Waits until the shell has read on behind a command: if it has not told of the command's end by then, it never will.
/// `set -n` makes a shell read and do nothing, for example.
///
/// Shells may have read ahead what was there when the command began, but not what is written later.
async fn passed_over(script: &pipe::Sender) {
    tokio::time::sleep(LOOK_AFTER).await;
    if !matches!(script.try_write(b"\n"), Ok(1)) {
        return std::future::pending().await;
    }
    let mut pause = LOOK_AFTER;
    while !matches!(rustix::io::ioctl_fionread(script), Ok(0)) {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK_EVERY);
    }
}

/// Returns what the shell reads for one command: two lines, so that the second is read whatever happened in the first.
///
/// `command` takes what is special from `.`: in some shells a mistake in a special command is the shell's end. The
/// backslashes pass over aliases. Functions named `command` are passed over by `builtin`; where that is unknown they are
/// forgotten. Descriptor 3 is closed to the command.
fn script(dialect: Dialect, number: u64, names: &Names, takes_input: bool) -> String {
    let text = names.text();
    let [input, output, errors] = names.streams();
    let input = if takes_input { input } else { "/dev/null".into() };
    let (start, end) = match dialect {
        Dialect::Bash => ("\\builtin command .", format!("\\builtin printf '%s %s\\n' {number} \"$?\" >&3")),
        Dialect::Posix => (
            "\\unset -f command || \\:; \\command .",
            // The exit code is read before anything else is done.
            format!(
                "\\eval \"\\\\unset -f command || \\\\:; \\\\command printf '%s %s\\\\n' {number} $?\" >&3"
            ),
        ),
    };
    format!(
        "{start} '{}' <'{}' >'{}' 2>'{}' 3>&-\n{end}\n",
        text.display(),
        input.display(),
        output.display(),
        errors.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs commands in a shell of this machine; returns what it tells of their ends.
    fn told(shell: &[&str], dialect: Dialect, commands: &[&str]) -> String {
        let directory = tempfile::tempdir().expect("directory");
        let control = directory.path().join("control");
        let mut text = String::new();
        let mut exchanges = Vec::new();
        for (number, command) in commands.iter().enumerate() {
            let token = types::random::hex_token(&types::SystemRandom, 16);
            let exchange = exchange::open(&token, command, false).expect("exchange");
            text += &script(dialect, number as u64, &exchange.names, false);
            exchanges.push(exchange);
        }
        let file = directory.path().join("script");
        std::fs::write(&file, text).expect("script");
        let ended = std::process::Command::new("sh")
            .args(["-c", r#"exec "$@" 3>"$0""#])
            .arg(&control)
            .args(shell)
            .stdin(std::fs::File::open(&file).expect("script"))
            .output()
            .expect("sh");
        for exchange in exchanges {
            exchange.names.remove();
        }
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{shell:?}");
        std::fs::read_to_string(&control).expect("control")
    }

    #[test]
    fn no_function_and_no_mistake_keeps_a_shell_from_telling() {
        let shells: [(&[&str], Dialect); 6] = [
            (&["bash"], Dialect::Bash),
            (&["bash", "--posix"], Dialect::Posix),
            (&["dash"], Dialect::Posix),
            (&["busybox", "sh"], Dialect::Posix),
            (&["mksh"], Dialect::Posix),
            (&["ksh"], Dialect::Posix),
        ];
        for (shell, dialect) in shells {
            if std::process::Command::new(shell[0]).args(["-c", ":"]).output().is_err() {
                println!("skipped: {} is not installed on this machine", shell[0]);
                continue;
            }
            let commands = [
                "command() { :; }",
                "(exit 5)",
                "if then fi",
                "printf() { :; }; command() { return 9; }; false",
                "set -eu; alias command=false; alias printf=false",
                "(exit 0)",
            ];
            let told = told(shell, dialect, &commands);
            let codes: Vec<&str> = told.lines().filter_map(|line| line.split(' ').nth(1)).collect();
            assert_eq!(codes.len(), commands.len(), "{shell:?}: {told}");
            assert_ne!(codes[2], "0", "{shell:?}: {told}");
            assert_eq!([codes[0], codes[1], codes[3], codes[5]], ["0", "5", "1", "0"], "{shell:?}: {told}");
        }
        let posix = ["unset() { :; }; builtin() { :; }", "(exit 4)"];
        let special = ["eval() { :; }; unset() { :; }; printf() { :; }", "(exit 4)"];
        assert_eq!(told(&["bash"], Dialect::Bash, &special).lines().last(), Some("1 4"));
        assert_eq!(told(&["sh"], Dialect::Posix, &posix).lines().last(), Some("1 4"));
    }

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
