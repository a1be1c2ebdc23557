//! What can go wrong in the daemon, and how each failure reads on the wire.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use linux::child::SpawnError;
use linux::errno::CallError;
use rustix::io::Errno;

/// A failed request or a failed start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The settings document could not be used.
    #[error(
        "settings: {reason}; start the daemon as `daytona-daemon '<json>'`, see `daemon::settings::Settings`"
    )]
    Settings {
        /// Which part is wrong.
        reason: String,
    },
    /// The user that commands should run as does not exist.
    #[error(
        "unknown user `{user}`: it is not in /etc/passwd of the image; add it there or choose another user"
    )]
    UnknownUser {
        /// The user as configured.
        user: String,
    },
    /// The group that a file should belong to does not exist.
    #[error("unknown group `{group}`: it is not in /etc/group; use a listed name or a number")]
    UnknownGroup {
        /// The group as requested.
        group: String,
    },
    /// The kernel refused a step of the daemon's own start.
    #[error("start the daemon")]
    Start(#[from] CallError),
    /// The runtime or the listener could not be set up.
    #[error("start the daemon: {step}")]
    Runtime {
        /// What was attempted.
        step: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },

    /// A parameter or body field has a value that makes no sense.
    #[error("bad request: {reason}")]
    Invalid {
        /// What is wrong and what to send instead.
        reason: String,
    },
    /// The body is not the JSON that the operation takes.
    #[error("bad request: the body is not the JSON that this operation takes: {reason}")]
    Body {
        /// The parser's words.
        reason: String,
    },
    /// The body is longer than anything this operation can use.
    #[error("the body is longer than {limit_bytes} bytes; send large contents through /files/upload-v2")]
    BodyTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// No operation has this path.
    #[error("not found: no toolbox operation has this path; compare it with openapi/toolbox.json")]
    NoSuchOperation,
    /// The path exists, the method does not.
    #[error("this path does not take {method}; compare it with openapi/toolbox.json")]
    MethodNotAllowed {
        /// The method used.
        method: String,
    },
    /// The contract has the operation, this daemon does not yet.
    #[error("{method} {path} is part of the contract but not built yet in this version of the daemon")]
    NotImplemented {
        /// The method used.
        method: String,
        /// The path used.
        path: String,
    },

    /// A path that no file can have, or that this operation cannot take.
    #[error("bad request: {action} `{path}`: {reason}")]
    InvalidPath {
        /// What was attempted.
        action: &'static str,
        /// The path as requested.
        path: String,
        /// Why not.
        reason: String,
    },
    /// There is no such file.
    #[error("not found: {action} `{path}`: no such file or directory; list its parent to see what is there")]
    FileNotFound {
        /// What was attempted.
        action: &'static str,
        /// The path as requested.
        path: String,
    },
    /// The sandbox's user may not do this to the file.
    #[error(
        "forbidden: {action} `{path}`: {reason}; files are reached with the permissions of the sandbox's user"
    )]
    FileAccessDenied {
        /// What was attempted.
        action: &'static str,
        /// The path as requested.
        path: String,
        /// The kernel's words.
        reason: String,
    },
    /// Something else is where the file should go.
    #[error("conflict: {action} `{path}`: {reason}")]
    FileConflict {
        /// What was attempted.
        action: &'static str,
        /// The path as requested.
        path: String,
        /// What is in the way.
        reason: String,
    },
    /// The disk, a quota or a size limit is exhausted.
    #[error(
        "{action} `{path}`: {reason}; nothing was kept: delete files or use a sandbox with a larger disk"
    )]
    DiskFull {
        /// What was attempted.
        action: &'static str,
        /// The path as requested.
        path: String,
        /// The kernel's words.
        reason: String,
    },
    /// The file system failed.
    #[error("{action} `{path}`")]
    FileFailed {
        /// What was attempted.
        action: &'static str,
        /// The path as requested.
        path: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The part of a file that was asked for does not exist.
    #[error("`{path}` has {length_bytes} bytes and the requested range starts behind them; ask for less")]
    RangeNotSatisfiable {
        /// The file's path.
        path: String,
        /// The file's length.
        length_bytes: u64,
    },

    /// A command ran out of time.
    #[error(
        "request timeout: command execution timeout: `{command}` ran longer than {timeout_s} s and was killed with \
         everything it had started; raise `timeout` or start it in the background{output}"
    )]
    ExecutionTimeout {
        /// The command's beginning.
        command: String,
        /// The limit.
        timeout_s: u64,
        /// The end of what it had printed, introduced by a line of its own; empty when it printed nothing.
        output: String,
    },
    /// A process could not be prepared; the command itself is not to blame.
    #[error("start a process")]
    Spawn(#[from] SpawnError),
    /// A pipe or another internal descriptor failed.
    #[error("run a command: {step}")]
    Execution {
        /// What was attempted.
        step: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A session of this name exists already.
    #[error("conflict: a session `{session_id}` exists already; use it, delete it, or choose another name")]
    SessionExists {
        /// The name.
        session_id: String,
    },
    /// There is no session of this name.
    #[error("not found: there is no session `{session_id}`; list the sessions, or make it")]
    NoSuchSession {
        /// The name.
        session_id: String,
    },
    /// The name of the sandbox's own program cannot be used.
    #[error(
        "bad request: the session `entrypoint` is the sandbox's own program: it is neither made, used nor deleted; \
         choose another name, or ask for /process/session/entrypoint"
    )]
    SessionReserved,
    /// There are as many sessions as there may be.
    #[error("there are {limit} sessions already; delete those that are no longer used")]
    TooManySessions {
        /// The limit.
        limit: usize,
    },
    /// The session's shell has ended.
    #[error(
        "the shell of session `{session_id}` has ended with exit code {exit_code}, because a command ended it; its logs \
         can still be read: delete the session and make a new one to go on"
    )]
    SessionEnded {
        /// The session.
        session_id: String,
        /// The shell's exit code.
        exit_code: i32,
    },
    /// Too much waits in the session already.
    #[error(
        "{limit} commands, or too long ones, wait in session `{session_id}` already; wait for them, or use another session"
    )]
    SessionBusy {
        /// The session.
        session_id: String,
        /// The limit.
        limit: usize,
    },
    /// The session has no such command.
    #[error(
        "not found: session `{session_id}` has no command `{command_id}`, or has forgotten it; it remembers the last 200"
    )]
    NoSuchCommand {
        /// The session.
        session_id: String,
        /// The command.
        command_id: String,
    },
    /// The command has ended, so nothing can be typed into it.
    #[error("the command `{command_id}` has ended; nothing can be typed into it any more")]
    CommandCompleted {
        /// The command.
        command_id: String,
    },
    /// The command was started without an input.
    #[error(
        "bad request: the command `{command_id}` reads no input; start it with `runAsync` to type into it"
    )]
    CommandTakesNoInput {
        /// The command.
        command_id: String,
    },
    /// What connects a command with the daemon could not be made.
    #[error(
        "make named pipes for a command in any of {bases}; make one of them writable for the sandbox's user"
    )]
    SessionPipes {
        /// Where it was tried.
        bases: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },

    /// A terminal of this name exists already.
    #[error("conflict: a terminal `{id}` exists already; connect to it, delete it, or choose another id")]
    TerminalExists {
        /// The name.
        id: String,
    },
    /// There is no terminal of this name.
    #[error("not found: there is no terminal `{id}`, or its shell has ended; list them, or make it")]
    NoSuchTerminal {
        /// The name.
        id: String,
    },
    /// The terminal's shell has ended.
    #[error("the shell of terminal `{id}` has ended; make a new terminal")]
    TerminalEnded {
        /// The name.
        id: String,
    },
    /// There are as many terminals as there may be.
    #[error("there are {limit} terminals already; delete one")]
    TooManyTerminals {
        /// The limit.
        limit: usize,
    },
    /// There are as many clients as there may be.
    #[error("{limit} clients are connected to this terminal already; close one")]
    TooManyViewers {
        /// The limit.
        limit: usize,
    },
    /// A page from elsewhere wants to use the visitor's terminal.
    #[error("forbidden: only the terminal's own page may connect, and this one has another origin")]
    ForeignPage,
    /// A pseudo-terminal could not be had.
    #[error("open a terminal")]
    Terminal(#[source] CallError),

    /// There is no interpreter context of this name.
    #[error(
        "not found: there is no interpreter context `{id}`; list the contexts, make one, or leave the id out for the \
         default one"
    )]
    NoSuchContext {
        /// The name as requested.
        id: String,
    },
    /// There are as many interpreter contexts as there may be.
    #[error("there are {limit} interpreter contexts already; delete one")]
    TooManyContexts {
        /// The limit.
        limit: usize,
    },
    /// There are as many calls of the interpreter as there may be.
    #[error("{limit} calls of the interpreter run or wait already; wait until one has ended")]
    TooManyCalls {
        /// The limit.
        limit: usize,
    },
    /// The image has no Python.
    #[error("python3: command not found; use an image that has it installed, with its directory in PATH")]
    NoPython,

    /// No language server was started for this project.
    #[error(
        "no {language} language server was started for `{project}`; start it with /lsp/start and the same `languageId` and \
         `pathToProject`"
    )]
    LanguageServerAbsent {
        /// The language.
        language: &'static str,
        /// The project's directory.
        project: String,
    },
    /// The image has no language server for this language.
    #[error("the language server `{program}` is not installed in this sandbox; install it: {remedy}")]
    LanguageServerMissing {
        /// The program.
        program: &'static str,
        /// The command that installs it.
        remedy: &'static str,
    },
    /// A language server has ended.
    #[error("the language server `{server}` does not run any more: {why}; start it again with /lsp/start")]
    LanguageServerEnded {
        /// The program.
        server: &'static str,
        /// How it ended, and what it said last.
        why: String,
    },
    /// A language server did not become ready.
    #[error("start the language server `{server}`")]
    LanguageServerStart {
        /// The program.
        server: &'static str,
        /// Why not.
        #[source]
        source: Box<DaemonError>,
    },
    /// A language server did not answer in time.
    #[error(
        "request timeout: the language server `{server}` did not answer {method} within {timeout_s} s; try again, or stop \
         and start it"
    )]
    LanguageServerTimeout {
        /// The program.
        server: &'static str,
        /// What was asked.
        method: &'static str,
        /// The limit.
        timeout_s: u64,
    },
    /// A language server answered that it cannot.
    #[error("the language server `{server}` refused {method}: {message} (code {code})")]
    LanguageServerRefused {
        /// The program.
        server: &'static str,
        /// What was asked.
        method: &'static str,
        /// Its code.
        code: i64,
        /// Its words.
        message: String,
    },
    /// A language server's answer has another shape than the protocol says.
    #[error("understand what the language server `{server}` answered to {method}")]
    LanguageServerAnswer {
        /// The program.
        server: &'static str,
        /// What was asked.
        method: &'static str,
        /// The parser's words.
        #[source]
        source: serde_json::Error,
    },
    /// There is as much of something as language servers may have.
    #[error("{what}")]
    LanguageServerLimit {
        /// What there is, and what to do.
        what: String,
    },

    /// There are as many SSH connections as there may be.
    #[error("{limit} SSH connections are open already; close one")]
    TooManyShellConnections {
        /// The limit.
        limit: usize,
    },

    /// A port is not for everybody.
    #[error("forbidden: port {port} belongs to the daemon and is not reached this way; use {instead}")]
    PortReserved {
        /// The port.
        port: u16,
        /// What leads there.
        instead: &'static str,
    },
    /// Nobody listens on a port.
    #[error(
        "nothing in the sandbox answers on port {port}; start a server that listens on it, see GET /port"
    )]
    PortUnreachable {
        /// The port.
        port: u16,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Who listens on a port does not speak HTTP, or went away.
    #[error("what listens on port {port} did not answer this request as an HTTP server does")]
    PortExchange {
        /// The port.
        port: u16,
        /// What went wrong.
        #[source]
        source: hyper::Error,
    },

    /// An operation on a git repository failed.
    #[error("{message}")]
    Git {
        /// The word of the contract.
        code: git::error::Code,
        /// The whole sentence.
        message: String,
    },
    /// The process that works on a git repository ended without an answer.
    #[error(
        "git ended without an answer (exit code {code}), most likely for want of memory; try again with less, or with \
         a larger sandbox"
    )]
    GitEnded {
        /// How it ended; 128 + n for signal n.
        code: i32,
    },
    /// An answer about a git repository was longer than can be kept.
    #[error(
        "what git tells is longer than {limit_bytes} bytes; use `git` with /process/execute for less of it"
    )]
    GitAnswerTooLong {
        /// The limit.
        limit_bytes: usize,
    },

    /// A thread of the daemon ended early.
    #[error("the daemon gave up an internal task; this is a bug in the daemon, please report it")]
    Task(#[from] tokio::task::JoinError),
}

impl DaemonError {
    /// Turns the kernel's answer to a file operation into the failure that names its cause.
    pub fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_string_lossy().into_owned();
        let reason = sentence(&source);
        match Errno::from_io_error(&source) {
            Some(Errno::NOENT) => Self::FileNotFound { action, path },
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
                Self::FileAccessDenied { action, path, reason }
            }
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Self::DiskFull { action, path, reason },
            Some(Errno::EXIST | Errno::NOTEMPTY | Errno::BUSY | Errno::TXTBSY) => {
                Self::FileConflict { action, path, reason }
            }
            Some(
                Errno::NOTDIR
                | Errno::ISDIR
                | Errno::INVAL
                | Errno::LOOP
                | Errno::NAMETOOLONG
                | Errno::NXIO
                | Errno::XDEV,
            ) => Self::InvalidPath { action, path, reason },
            _ => Self::FileFailed { action, path, source },
        }
    }

    /// Returns the HTTP status and the stable word for programs.
    pub fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::Invalid { .. }
            | Self::UnknownUser { .. }
            | Self::UnknownGroup { .. }
            | Self::SessionReserved
            | Self::CommandTakesNoInput { .. }
            | Self::LanguageServerRefused { .. } => (400, "BAD_REQUEST"),
            Self::Body { .. } => (400, "INVALID_REQUEST_BODY"),
            Self::BodyTooLarge { .. } => (413, "BODY_TOO_LARGE"),
            Self::NoSuchOperation | Self::NoSuchTerminal { .. } | Self::NoSuchContext { .. } => {
                (404, "NOT_FOUND")
            }
            Self::MethodNotAllowed { .. } => (405, "METHOD_NOT_ALLOWED"),
            Self::NotImplemented { .. } => (501, "NOT_IMPLEMENTED"),
            Self::InvalidPath { .. } => (400, "INVALID_FILE_PATH"),
            Self::FileNotFound { .. } => (404, "FILE_NOT_FOUND"),
            Self::FileAccessDenied { .. } => (403, "FILE_ACCESS_DENIED"),
            Self::FileConflict { .. } | Self::SessionExists { .. } | Self::TerminalExists { .. } => {
                (409, "CONFLICT")
            }
            Self::DiskFull { .. } => (413, "DISK_FULL"),
            Self::FileFailed { .. } => (500, "FILE_READ_FAILED"),
            Self::RangeNotSatisfiable { .. } => (416, "RANGE_NOT_SATISFIABLE"),
            Self::ExecutionTimeout { .. } => (408, "PROCESS_EXECUTION_TIMEOUT"),
            Self::NoSuchSession { .. } | Self::NoSuchCommand { .. } => (404, "PROCESS_NOT_FOUND"),
            Self::TooManySessions { .. }
            | Self::SessionBusy { .. }
            | Self::TooManyTerminals { .. }
            | Self::TooManyViewers { .. }
            | Self::TooManyContexts { .. }
            | Self::TooManyCalls { .. }
            | Self::TooManyShellConnections { .. }
            | Self::LanguageServerLimit { .. } => (429, "TOO_MANY_REQUESTS"),
            Self::SessionEnded { .. } | Self::TerminalEnded { .. } => (410, "SESSION_ENDED"),
            Self::CommandCompleted { .. } => (410, "COMMAND_ALREADY_COMPLETED"),
            Self::ForeignPage | Self::PortReserved { .. } => (403, "FORBIDDEN"),
            Self::LanguageServerAbsent { .. }
            | Self::LanguageServerMissing { .. }
            | Self::LanguageServerEnded { .. } => (400, "LSP_SERVER_NOT_INITIALIZED"),
            Self::LanguageServerStart { source, .. } if source.status_and_code().0 == 408 => {
                (408, "REQUEST_TIMEOUT")
            }
            Self::LanguageServerTimeout { .. } => (408, "REQUEST_TIMEOUT"),
            Self::PortUnreachable { .. } | Self::PortExchange { .. } => (502, "BAD_GATEWAY"),
            Self::Git { code, .. } => (code.status(), code.as_str()),
            Self::Settings { .. }
            | Self::Start(_)
            | Self::Runtime { .. }
            | Self::Spawn(_)
            | Self::Execution { .. }
            | Self::SessionPipes { .. }
            | Self::Terminal(_)
            | Self::NoPython
            | Self::LanguageServerStart { .. }
            | Self::LanguageServerAnswer { .. }
            | Self::GitEnded { .. }
            | Self::GitAnswerTooLong { .. }
            | Self::Task(_) => (500, "INTERNAL_SERVER_ERROR"),
        }
    }

    /// Returns the whole chain of causes as one sentence.
    pub fn message(&self) -> String {
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let _ = write!(message, ": {error}");
            cause = error.source();
        }
        message
    }
}

/// Returns the kernel's words without the number that the standard library adds.
fn sentence(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
