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
            Self::Invalid { .. } | Self::UnknownUser { .. } | Self::UnknownGroup { .. } => {
                (400, "BAD_REQUEST")
            }
            Self::Body { .. } => (400, "INVALID_REQUEST_BODY"),
            Self::BodyTooLarge { .. } => (413, "BODY_TOO_LARGE"),
            Self::NoSuchOperation => (404, "NOT_FOUND"),
            Self::MethodNotAllowed { .. } => (405, "METHOD_NOT_ALLOWED"),
            Self::NotImplemented { .. } => (501, "NOT_IMPLEMENTED"),
            Self::InvalidPath { .. } => (400, "INVALID_FILE_PATH"),
            Self::FileNotFound { .. } => (404, "FILE_NOT_FOUND"),
            Self::FileAccessDenied { .. } => (403, "FILE_ACCESS_DENIED"),
            Self::FileConflict { .. } => (409, "CONFLICT"),
            Self::DiskFull { .. } => (413, "DISK_FULL"),
            Self::FileFailed { .. } => (500, "FILE_READ_FAILED"),
            Self::RangeNotSatisfiable { .. } => (416, "RANGE_NOT_SATISFIABLE"),
            Self::ExecutionTimeout { .. } => (408, "PROCESS_EXECUTION_TIMEOUT"),
            Self::Settings { .. }
            | Self::Start(_)
            | Self::Runtime { .. }
            | Self::Spawn(_)
            | Self::Execution { .. }
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
