//! Runs one program to its end: collects its output, keeps its deadline, and kills its whole tree when given up.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use linux::cgroup::Events;
use linux::child::{Exit, Program, SpawnError};
use linux::credential::Credentials;
use rustix::process::{Gid, Pid, Signal, Uid};
use tokio::net::unix::pipe;
use types::random::{Random, hex_token};

use crate::cause::{self, Explanation};
use crate::error::DaemonError;
use crate::output::{Budget, Output};
use crate::program::Launch;
use crate::reaper::Reaper;
use crate::tree::{self, MARK_VARIABLE, Tree};

/// How much of a command the timeout message repeats.
const COMMAND_CHARACTERS: usize = 120;
/// How much of the output the timeout message ends with.
const TIMEOUT_OUTPUT_BYTES: usize = 4 * 1024;
const READ_BYTES: usize = 16 * 1024;

/// What every execution needs of the daemon.
#[derive(Debug)]
pub struct Executor {
    /// Who programs act as.
    pub credentials: Credentials,
    /// Where they are announced to have ended.
    pub reaper: Reaper,
    /// The memory their outputs share.
    pub budget: Budget,
    /// Where execution marks come from.
    pub random: Box<dyn Random>,
    /// What tells that a limit was hit.
    pub events: Arc<Events>,
}

/// How a program ended and what it printed.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; 128 + n for signal n, -1 when it could not be started.
    pub exit_code: i32,
    /// Standard output and standard error as written.
    pub output: Output,
    /// Which limit it hit, when it ended badly and one was hit.
    pub explanation: Option<Explanation>,
}

impl Executor {
    /// Runs a program to its end, or for `timeout_s` seconds at most when that is positive.
    ///
    /// When the returned future is dropped, because the client went away, everything the program started is killed.
    pub async fn run(&self, launch: Launch, timeout_s: Option<i64>) -> Result<Outcome, DaemonError> {
        let mark = hex_token(&*self.random, 16);
        let (reader, writer) = self.pipe()?;
        let mut output = Output::new(self.budget.clone());
        let before = cause::moment(&self.events);
        let (pid, exit) = match self.start(&launch, &mark, &writer) {
            Ok(started) => started,
            // Part of the contract: a command that cannot start is an answer, not an error.
            Err(DaemonError::Spawn(
                refused @ (SpawnError::Directory { .. } | SpawnError::Execute { .. }),
            )) => {
                output.push(explain(&refused).as_bytes());
                return Ok(Outcome { exit_code: -1, output, explanation: None });
            }
            Err(DaemonError::Spawn(refused @ SpawnError::Prepare(_)))
                if is_for_want_of_processes(&refused) =>
            {
                output.push(explain(&refused).as_bytes());
                return Ok(Outcome { exit_code: -1, output, explanation: Some(cause::no_process()) });
            }
            Err(error) => return Err(error),
        };
        // Ours would keep the pipe open for ever.
        drop(writer);
        let mut running = Running { executor: self, pid, mark: &mark, is_over: false };
        let reader = pipe::Receiver::from_owned_fd(reader)
            .map_err(|source| DaemonError::Execution { step: "watch a pipe", source })?;
        let end = wait(exit, &reader, &mut output);
        let exit_code =
            match timeout_s.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0) {
                None => end.await?,
                Some(seconds) => match tokio::time::timeout(Duration::from_secs(seconds), end).await {
                    Ok(ended) => ended?,
                    Err(_elapsed) => {
                        running.kill();
                        let _ = drain(&reader, &mut output);
                        return Err(timed_out(&launch, seconds, &output));
                    }
                },
            };
        running.is_over = true;
        let explanation =
            if exit_code == 0 { None } else { cause::explain(&self.events, before, &launch.directory).await };
        Ok(Outcome { exit_code, output, explanation })
    }

    /// Starts a program on descriptors of the caller's: standard input, output and error. It is killed with everything
    /// that it started when the returned handle is dropped.
    pub fn launch(
        self: &Arc<Self>,
        launch: &Launch,
        descriptors: [BorrowedFd<'_>; 3],
        is_terminal: bool,
    ) -> Result<Child, DaemonError> {
        let mark = hex_token(&*self.random, 16);
        let (pid, exit) = self.spawn(launch, &mark, descriptors, is_terminal)?;
        Ok(Child { executor: Arc::clone(self), pid, mark, exit, ended: None, is_left: false })
    }

    /// Opens a pipe for what a program of the user's prints: what reads, and what writes. Such programs can also open it by
    /// name, as `/dev/stdout` and `/dev/stderr` are names of it.
    pub fn pipe(&self) -> Result<(OwnedFd, OwnedFd), DaemonError> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|error| DaemonError::Execution { step: "open a pipe", source: error.into() })?;
        if !self.credentials.is_root() && !self.is_already_user() {
            let user = Uid::from_raw(self.credentials.user_id);
            let group = Gid::from_raw(self.credentials.group_id);
            // Where it may not be given away, only the names are lost.
            let _ = rustix::fs::fchown(&writer, Some(user), Some(group));
        }
        Ok((reader, writer))
    }

    fn start(
        &self,
        launch: &Launch,
        mark: &str,
        output: &OwnedFd,
    ) -> Result<(i32, tokio::sync::oneshot::Receiver<Exit>), DaemonError> {
        let null;
        let input = if let Some(input) = &launch.input {
            input.as_fd()
        } else {
            null = std::fs::File::open("/dev/null")
                .map_err(|source| DaemonError::Execution { step: "open /dev/null", source })?;
            null.as_fd()
        };
        self.spawn(launch, mark, [input, output.as_fd(), output.as_fd()], false)
    }

    fn spawn(
        &self,
        launch: &Launch,
        mark: &str,
        descriptors: [BorrowedFd<'_>; 3],
        is_terminal: bool,
    ) -> Result<(i32, tokio::sync::oneshot::Receiver<Exit>), DaemonError> {
        let mut descriptors = descriptors.to_vec();
        descriptors.extend(launch.extra.iter().map(OwnedFd::as_fd));
        let variables = launch.variables.iter().filter(|(name, _)| *name != MARK_VARIABLE);
        let variables = variables.map(|(name, value)| format!("{name}={value}"));
        let marked = (!mark.is_empty()).then(|| format!("{MARK_VARIABLE}={mark}"));
        let program = Program {
            path: text(&launch.path)?,
            arguments: launch.arguments.iter().map(|argument| text(argument)).collect::<Result<_, _>>()?,
            environment: variables.chain(marked).map(|variable| text(&variable)).collect::<Result<_, _>>()?,
            directory: Some(text(&launch.directory)?),
            descriptors,
            credentials: (!self.is_already_user()).then(|| self.credentials.clone()),
            is_terminal,
        };
        Ok(self.reaper.spawn(&program)?)
    }

    /// Without root there is nobody else to become: then commands run as whoever started the daemon.
    fn is_already_user(&self) -> bool {
        let own = rustix::process::geteuid();
        !own.is_root() && own.as_raw() == self.credentials.user_id
    }
}

/// A program that has not ended; dropping it kills everything it started.
struct Running<'a> {
    executor: &'a Executor,
    pid: i32,
    mark: &'a str,
    is_over: bool,
}

impl Running<'_> {
    fn kill(&mut self) {
        // Once collected, the number may belong to a stranger.
        if !self.is_over && self.executor.reaper.is_running(self.pid) {
            tree::kill(Tree { root: self.pid, mark: self.mark, credentials: &self.executor.credentials });
        }
        self.is_over = true;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The exit code as shells report it, so that 137 and 143 mean what everybody expects of them.
fn exit_code(exit: Exit) -> i32 {
    match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => 128 + signal,
    }
}

/// A program that runs beside requests; dropping it kills everything it started.
#[derive(Debug)]
pub struct Child {
    executor: Arc<Executor>,
    pid: i32,
    mark: String,
    exit: tokio::sync::oneshot::Receiver<Exit>,
    ended: Option<i32>,
    is_left: bool,
}

impl Child {
    /// The id of the process that was started, leader of its session and process group.
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for the end of the program itself, not of what it left behind, and returns its exit code; 128 + n for signal
    /// n. May be given up and called again.
    pub async fn wait(&mut self) -> i32 {
        if let Some(code) = self.ended {
            return code;
        }
        // The reaper drops an announcement only with the daemon.
        let code = (&mut self.exit).await.map_or(-1, exit_code);
        self.ended = Some(code);
        code
    }

    /// Sends a signal to the program itself, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.running_pid() {
            // It may be ending just now.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Sends a signal to the program and to what it has started in its own process group, unless it has ended.
    pub fn signal_group(&self, signal: Signal) {
        if let Some(pid) = self.running_pid() {
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    /// Its id, as long as that is its own.
    fn running_pid(&self) -> Option<Pid> {
        Pid::from_raw(self.pid).filter(|_| self.executor.reaper.is_running(self.pid))
    }

    /// Kills the program and everything it started, also what it left behind when it has ended already.
    pub fn kill(&self) {
        tree::kill(self.tree());
    }

    /// Asks the program and everything it started to end, all that is not in `asked`; returns how many are left.
    pub fn ask(&self, asked: &mut BTreeSet<i32>) -> usize {
        tree::ask(self.tree(), asked)
    }

    fn tree(&self) -> Tree<'_> {
        Tree {
            // Once collected, the number may belong to a stranger; what is left is found by the mark.
            root: if self.executor.reaper.is_running(self.pid) { self.pid } else { tree::NOBODY },
            mark: &self.mark,
            credentials: &self.executor.credentials,
        }
    }

    /// Lets go of what a program that has ended left behind: it goes on.
    pub fn leave(mut self) {
        self.is_left = self.ended.is_some();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_left {
            self.kill();
        }
    }
}

/// Waits for the program itself and collects what is printed until then.
///
/// Not for the end of the output: a child left in the background may hold the pipe open for hours.
async fn wait(
    mut exit: tokio::sync::oneshot::Receiver<Exit>,
    reader: &pipe::Receiver,
    output: &mut Output,
) -> Result<i32, DaemonError> {
    let mut is_open = true;
    loop {
        tokio::select! {
            // The end first: a child in the background may print so fast that there is always something to read.
            biased;
            exit = &mut exit => {
                let unanswered = |_| DaemonError::Execution { step: "wait", source: io::ErrorKind::BrokenPipe.into() };
                let exit = exit.map_err(unanswered)?;
                let _ = drain(reader, output);
                return Ok(exit_code(exit));
            }
            ready = reader.readable(), if is_open => {
                is_open = ready.is_ok() && read(reader, output).is_ok_and(|bytes| bytes != Some(0));
            }
        }
    }
}

/// Reads once; `None` when nothing is there, 0 at the end.
fn read(reader: &pipe::Receiver, output: &mut Output) -> io::Result<Option<usize>> {
    let mut buffer = [0_u8; READ_BYTES];
    match reader.try_read(&mut buffer) {
        Ok(bytes) => {
            output.push(buffer.get(..bytes).unwrap_or_default());
            Ok(Some(bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads what was in the pipe when the program ended, and no more: a child in the background may never stop printing.
fn drain(reader: &pipe::Receiver, output: &mut Output) -> io::Result<()> {
    let mut left = rustix::io::ioctl_fionread(reader)?;
    while left > 0 {
        match read_now(reader, output, left)? {
            0 => return Ok(()),
            bytes => left = left.saturating_sub(bytes as u64),
        }
    }
    Ok(())
}

/// Reads past the runtime, whose idea of readiness may be a moment old.
fn read_now(reader: &pipe::Receiver, output: &mut Output, limit: u64) -> io::Result<usize> {
    let mut buffer = [0_u8; READ_BYTES];
    let limit = usize::try_from(limit).unwrap_or(READ_BYTES).min(READ_BYTES);
    let bytes = match rustix::io::read(reader, buffer.get_mut(..limit).unwrap_or_default()) {
        Ok(bytes) => bytes,
        Err(rustix::io::Errno::AGAIN) => 0,
        Err(error) => return Err(error.into()),
    };
    output.push(buffer.get(..bytes).unwrap_or_default());
    Ok(bytes)
}

/// The kernel's answer when the sandbox has as many processes as it may (clone(2)).
fn is_for_want_of_processes(refused: &SpawnError) -> bool {
    matches!(refused, SpawnError::Prepare(error) if error.errno() == rustix::io::Errno::AGAIN.raw_os_error())
}

fn explain(refused: &SpawnError) -> String {
    let cause = refused.source().map(ToString::to_string).unwrap_or_default();
    format!("{refused}: {cause}")
}

fn timed_out(launch: &Launch, timeout_s: u64, output: &Output) -> DaemonError {
    let command = &launch.title;
    let mut shown: String = command.chars().take(COMMAND_CHARACTERS).collect();
    if shown.len() < command.len() {
        shown.push('…');
    }
    let output = if output.is_empty() {
        String::new()
    } else {
        format!("; it had printed:\n{}", output.tail_text(TIMEOUT_OUTPUT_BYTES))
    };
    DaemonError::ExecutionTimeout { command: shown, timeout_s, output }
}

fn text(text: &str) -> Result<CString, DaemonError> {
    CString::new(text).map_err(|_| DaemonError::Invalid {
        reason: format!(
            "`{}…` contains a NUL character; remove it",
            text.chars().take(40).collect::<String>().escape_debug()
        ),
    })
}
