//! Starts a program for a channel, and ends it when nobody is left to hear it.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use linux::child::Program;
use linux::terminal::{self, Window};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use crate::descriptor::Descriptor;
use crate::error::SshError;
use crate::host::Host;
use crate::line_mode;

/// How much may wait between a program and us: more than usual, for fewer changes between the two.
const PIPE_BYTES: usize = 256 * 1024;
/// What our own addresses are called where there are none, as by sshd without a network.
const CONNECTION: &str = "UNKNOWN 65535 UNKNOWN 65535";

/// What a client wants to run.
#[derive(Debug)]
pub(crate) enum Command {
    /// The login shell.
    Shell,
    /// A command line, for the shell.
    Line(Vec<u8>),
    /// The file server.
    Files,
}

/// A terminal that a client wants.
#[derive(Debug)]
pub(crate) struct TerminalRequest {
    pub(crate) name: String,
    pub(crate) window: Window,
    pub(crate) modes: Vec<u8>,
}

/// A program that was started, with our ends of its streams.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) control: Arc<Control>,
    /// Where its input goes.
    pub(crate) input: Arc<Descriptor>,
    /// Where its output comes from.
    pub(crate) output: Arc<Descriptor>,
    /// Where its errors come from, unless it has a terminal.
    pub(crate) error: Option<Descriptor>,
}

/// What a client may do to a program that runs.
#[derive(Debug)]
pub(crate) struct Control {
    /// Its process; none once it is collected, because the number may then be a stranger's.
    process: Mutex<Option<Pid>>,
    screen: Mutex<Option<Arc<Descriptor>>>,
}

impl Control {
    /// Sends a signal to the program's process group.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *process {
            // It may have ended this moment.
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    /// Changes the terminal's size.
    pub(crate) fn resize(&self, window: Window) {
        if let Some(screen) = &*self.screen.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = terminal::resize(&**screen, window);
        }
    }

    /// Takes the exit status once there is one.
    pub(crate) fn collect(&self) -> Option<WaitStatus> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a number any process would do, and it would be somebody else's.
        let pid = (*process)?;
        let (_, status) = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG).ok()??;
        *process = None;
        Some(status)
    }

    /// Tells the program that its client has gone, as a modem that hangs up would.
    ///
    /// A terminal does so by itself when it is closed: to the shell, which tells its jobs, and to the program in front.
    /// Without one every process of the session is told. What asked not to hear it (`nohup`) or left the session
    /// (`setsid`) goes on, as it would under `sshd`.
    pub(crate) fn hang_up(&self) {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner).take();
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(leader), None) = (*process, screen) else { return };
        for pid in session_members(leader) {
            let _ = rustix::process::kill_process(pid, Signal::HUP);
            // One that is stopped hears nothing until it goes on.
            let _ = rustix::process::kill_process(pid, Signal::CONT);
        }
    }
}

/// Returns the processes of a session (`proc_pid_stat(5)`).
fn session_members(leader: Pid) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return vec![leader] };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let members = numbers.filter(|number| {
        let line = std::fs::read(format!("/proc/{number}/stat")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        // Behind the name, which may contain anything: state, parent, group, session.
        let session = line.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(3));
        session.and_then(|session| session.parse().ok()) == Some(leader.as_raw_nonzero().get())
    });
    members.filter_map(Pid::from_raw).collect()
}

/// Starts what a client wants.
pub(crate) fn start(
    host: &Host,
    command: &Command,
    client_variables: &BTreeMap<String, String>,
    terminal: Option<&TerminalRequest>,
) -> Result<Started, SshError> {
    let mut variables = host.variables.clone();
    variables.extend(client_variables.clone());
    variables.insert("SSH_CONNECTION".to_owned(), CONNECTION.to_owned());
    match terminal {
        Some(request) => on_terminal(host, command, variables, request),
        None => on_pipes(host, command, &variables),
    }
}

fn on_terminal(
    host: &Host,
    command: &Command,
    mut variables: BTreeMap<String, String>,
    request: &TerminalRequest,
) -> Result<Started, SshError> {
    let pair = terminal::open(request.window)?;
    line_mode::apply(&pair.line, &request.modes);
    if !request.name.is_empty() {
        variables.insert("TERM".to_owned(), request.name.clone());
    }
    if let Ok(name) = rustix::pty::ptsname(&pair.screen, Vec::new()) {
        variables.insert("SSH_TTY".to_owned(), name.to_string_lossy().into_owned());
    }
    let pid = spawn(host, command, &variables, [pair.line.as_fd(); 3], true)?;
    let screen = Descriptor::new(pair.screen).map_err(|source| failed("watch a terminal", source))?;
    let screen = Arc::new(screen);
    let control = Control { process: Mutex::new(Some(pid)), screen: Mutex::new(Some(Arc::clone(&screen))) };
    Ok(Started { control: Arc::new(control), input: Arc::clone(&screen), output: screen, error: None })
}

fn on_pipes(
    host: &Host,
    command: &Command,
    variables: &BTreeMap<String, String>,
) -> Result<Started, SshError> {
    let (input, our_input) = pipe()?;
    let (our_output, output) = pipe()?;
    let (our_error, error) = pipe()?;
    let pid = spawn(host, command, variables, [input.as_fd(), output.as_fd(), error.as_fd()], false)?;
    let watch = |end| Descriptor::new(end).map_err(|source| failed("watch a pipe", source));
    Ok(Started {
        control: Arc::new(Control { process: Mutex::new(Some(pid)), screen: Mutex::new(None) }),
        input: Arc::new(watch(our_input)?),
        output: Arc::new(watch(our_output)?),
        error: Some(watch(our_error)?),
    })
}

fn pipe() -> Result<(OwnedFd, OwnedFd), SshError> {
    let pair =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed("open a pipe", error.into()))?;
    // Best effort: a user with many pipes may have no more than the usual.
    let _ = rustix::pipe::fcntl_setpipe_size(&pair.1, PIPE_BYTES);
    Ok(pair)
}

fn spawn(
    host: &Host,
    command: &Command,
    variables: &BTreeMap<String, String>,
    descriptors: [BorrowedFd<'_>; 3],
    is_terminal: bool,
) -> Result<Pid, SshError> {
    let name = host.shell.rsplit('/').next().unwrap_or(&host.shell);
    let (path, arguments) = match command {
        // The leading hyphen makes it a login shell.
        Command::Shell => (&host.shell, vec![format!("-{name}").into_bytes()]),
        Command::Line(line) => (&host.shell, vec![name.as_bytes().to_vec(), b"-c".to_vec(), line.clone()]),
        Command::Files => {
            let (path, arguments) = &host.file_server;
            (path, arguments.iter().map(|argument| argument.clone().into_bytes()).collect())
        }
    };
    let is_there = Path::new(&host.directory).is_dir();
    let directory = if is_there { host.directory.as_str() } else { "/" };
    let program = Program {
        path: text(path.as_bytes().to_vec())?,
        arguments: arguments.into_iter().map(text).collect::<Result<_, _>>()?,
        environment: variables
            .iter()
            .map(|(name, value)| text(format!("{name}={value}").into_bytes()))
            .collect::<Result<_, _>>()?,
        directory: Some(text(directory.as_bytes().to_vec())?),
        descriptors: descriptors.to_vec(),
        credentials: None,
        is_terminal,
    };
    Ok(linux::child::spawn(&program)?)
}

fn text(bytes: Vec<u8>) -> Result<CString, SshError> {
    CString::new(bytes).map_err(|_| SshError::Malformed { what: "a text contains a NUL" })
}

const fn failed(step: &'static str, source: std::io::Error) -> SshError {
    SshError::Program { step, source }
}
