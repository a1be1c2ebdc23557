//! Git: every operation runs in a process of its own, as the user.
//!
//! So the kernel checks what the user may do, a crash is the operation's alone, its memory returns, and a password
//! passes through a file that exists only in memory.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use git::clone::Made;
use git::network::VARIABLES;
use git::worker::{Job, Line, Operation};
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::Value;
use tokio::net::unix::pipe;

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::execution::{Child, Executor};
use crate::program::{Launch, memory_file};

/// The argument that makes this program do a job of git.
pub const ARGUMENT: &str = "git";
/// More than any answer has; it is kept in memory.
const ANSWER_BYTES: usize = 32 << 20;
const READ_BYTES: usize = 64 * 1024;
/// The only variables that the process itself gets: they say where git's settings are.
const ENVIRONMENT: [&str; 3] = ["HOME", "XDG_CONFIG_HOME", "TZ"];

/// Does one operation and returns its answer.
///
/// When the returned future is dropped, because the client went away, the operation is killed, and what a clone had made
/// is taken away.
pub async fn perform(daemon: &Daemon, operation: Operation) -> Result<Value, DaemonError> {
    let variables = daemon.environment.with(None)?;
    let mut running = Running::start(&daemon.executor, variables, &daemon.origin.work_dir, operation)?;
    loop {
        match running.line().await? {
            Some(Line::Making(made)) => running.made = Some(made),
            Some(Line::Answer(value)) => {
                running.is_over = true;
                return Ok(value);
            }
            Some(Line::Failure { code, message }) => {
                running.is_over = true;
                return Err(DaemonError::Git { code, message });
            }
            None => {
                let code = match running.child.as_mut() {
                    Some(child) => child.wait().await,
                    None => -1,
                };
                return Err(DaemonError::GitEnded { code });
            }
        }
    }
}

/// An operation that has not answered.
struct Running {
    executor: Arc<Executor>,
    variables: BTreeMap<String, String>,
    /// Absent only while it is dropped.
    child: Option<Child>,
    output: Option<pipe::Receiver>,
    buffer: Vec<u8>,
    /// What a clone says it makes.
    made: Option<Made>,
    /// Whether it has answered.
    is_over: bool,
}

impl Running {
    fn start(
        executor: &Arc<Executor>,
        variables: BTreeMap<String, String>,
        directory: &str,
        operation: Operation,
    ) -> Result<Self, DaemonError> {
        let failed = |step, source| DaemonError::Execution { step, source };
        let job = Job { variables: only(&variables, &VARIABLES), operation };
        let job = serde_json::to_vec(&job).map_err(|error| failed("write a job of git", error.into()))?;
        let input = memory_file("git", &job)?;
        let (reader, writer) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed("open a pipe", error.into()))?;
        let null = std::fs::File::options().write(true).open("/dev/null");
        let null: OwnedFd = null.map_err(|source| failed("open /dev/null", source))?.into();
        let launch = Launch {
            title: "git".to_owned(),
            // Ourselves, also where no file of ours exists.
            path: "/proc/self/exe".to_owned(),
            arguments: vec!["daytona-daemon".to_owned(), ARGUMENT.to_owned()],
            variables: only(&variables, &ENVIRONMENT),
            // Where a remote that is a relative path begins; it may be gone, and most operations don't mind.
            directory: if Path::new(directory).is_dir() { directory } else { "/" }.to_owned(),
            input: None,
            extra: Vec::new(),
        };
        let child = executor.launch(&launch, [input.as_fd(), writer.as_fd(), null.as_fd()], false)?;
        let output =
            pipe::Receiver::from_owned_fd(reader).map_err(|source| failed("watch a pipe", source))?;
        Ok(Self {
            executor: Arc::clone(executor),
            variables,
            child: Some(child),
            output: Some(output),
            buffer: Vec::new(),
            made: None,
            is_over: false,
        })
    }

    /// Reads the next line; `None` when the process ended without one.
    async fn line(&mut self) -> Result<Option<Line>, DaemonError> {
        let failed = |source| DaemonError::Execution { step: "read what git answers", source };
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(|error| failed(error.into()));
            }
            if self.buffer.len() > ANSWER_BYTES {
                return Err(DaemonError::GitAnswerTooLong { limit_bytes: ANSWER_BYTES });
            }
            let Some(output) = &self.output else { return Ok(None) };
            output.readable().await.map_err(failed)?;
            let before = self.buffer.len();
            self.buffer.resize(before + READ_BYTES, 0);
            let read = output.try_read(self.buffer.get_mut(before..).unwrap_or_default());
            self.buffer.truncate(before + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let Some(child) = self.child.take() else { return };
        child.kill();
        // Without a runtime the daemon is ending, and with it the sandbox.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let rest = Self {
            executor: Arc::clone(&self.executor),
            variables: std::mem::take(&mut self.variables),
            child: None,
            output: self.output.take(),
            buffer: std::mem::take(&mut self.buffer),
            made: self.made.take(),
            is_over: true,
        };
        runtime.spawn(take_away(child, rest));
    }
}

/// Takes away what a killed clone had made, once it cannot make any more.
async fn take_away(mut child: Child, mut rest: Running) {
    child.wait().await;
    while rest.made.is_none() {
        match rest.line().await {
            Ok(Some(Line::Making(made))) => rest.made = Some(made),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
    let (Some(made), variables) = (rest.made.take(), std::mem::take(&mut rest.variables)) else { return };
    if let Ok(mut cleaner) = Running::start(&rest.executor, variables, "/", Operation::Discard(made)) {
        cleaner.is_over = true;
        // What is left then is the user's to see; nobody waits for an answer any more.
        let _ = cleaner.line().await;
    }
}

fn only(variables: &BTreeMap<String, String>, names: &[&str]) -> BTreeMap<String, String> {
    let wanted = variables.iter().filter(|(name, _)| names.contains(&name.as_str()));
    wanted.map(|(name, value)| (name.clone(), value.clone())).collect()
}
