//! What can go wrong before a server serves.

use std::path::PathBuf;

/// A step of start-up that failed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A flag that no setting has.
    #[error("unknown flag {flag}{}", hint(.nearest.as_deref()))]
    UnknownFlag {
        /// The flag as written.
        flag: String,
        /// The known flag that looks most like it.
        nearest: Option<String>,
    },
    /// A word where a flag should be.
    #[error("unexpected argument `{argument}`: settings are written --name value")]
    UnexpectedArgument {
        /// The argument as written.
        argument: String,
    },
    /// A flag without its value.
    #[error("flag {flag} needs a value")]
    MissingValue {
        /// The flag.
        flag: String,
    },
    /// A flag given twice.
    #[error("flag {flag} is given twice")]
    RepeatedFlag {
        /// The flag.
        flag: String,
    },
    /// A key of the file that no setting has.
    #[error("unknown key `{key}` in {}{}", path.display(), hint(.nearest.as_deref()))]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The file.
        path: PathBuf,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A key of the file that this build does not use yet.
    #[error("key `{key}` in {} is known but not used by this version: remove it", path.display())]
    DeferredKey {
        /// The key as written.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// A variable that begins as ours do and is none of them.
    #[error("unknown environment variable {variable}{}", hint(.nearest.as_deref()))]
    UnknownVariable {
        /// The variable.
        variable: String,
        /// The known variable that looks most like it.
        nearest: Option<String>,
    },
    /// The settings file cannot be read.
    #[error("read settings file {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The settings file is not TOML. The parser's own message would quote the line, which may hold a secret.
    #[error("parse settings file {}, line {line}: {reason}", path.display())]
    ParseFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser did not like.
        reason: String,
    },
    /// A value that its setting cannot have.
    #[error("{name} from {origin} is `{value}`: must be {expectation}")]
    InvalidValue {
        /// The setting.
        name: &'static str,
        /// Who said it.
        origin: String,
        /// The value, or a mark where it is secret.
        value: String,
        /// What it should look like.
        expectation: String,
    },
    /// The log was set up before.
    #[error("set up the log")]
    StartLog {
        /// The cause.
        #[source]
        source: tracing_subscriber::util::TryInitError,
    },
    /// The process cannot be told of signals.
    #[error("listen for signal {signal}")]
    ListenForSignal {
        /// The signal.
        signal: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(": did you mean {name}?"))
}
