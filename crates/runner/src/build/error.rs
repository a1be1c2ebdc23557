//! Why an image was not made.

use crate::error::{Class, RunnerError};

/// A failed build, said to the tenant.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile cannot be built as it is.
    #[error("{0}")]
    Dockerfile(#[from] dockerfile::Error),
    /// A step ended badly.
    #[error("line {line}: `{step}` ended with exit code {exit_code}{}", tail_of(.tail))]
    Step {
        /// Where it is.
        line: u32,
        /// The instruction.
        step: String,
        /// What its process ended with.
        exit_code: i64,
        /// What it printed last.
        tail: String,
    },
    /// A step cannot be done.
    #[error("line {line}: {reason}")]
    Refused {
        /// Where it is.
        line: u32,
        /// Why, and what to do.
        reason: String,
    },
    /// An image or a context is not to be had.
    #[error("get {what}")]
    Source {
        /// Which.
        what: String,
        /// Why.
        source: crate::build::SourceError,
    },
    /// A context is not what it claims to be.
    #[error("unpack build context {hash}: {reason}")]
    Context {
        /// Which.
        hash: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It took too long.
    #[error("the build took longer than {seconds} seconds; make its steps smaller")]
    TimedOut {
        /// The limit.
        seconds: u64,
    },
    /// Nobody wants it any more.
    #[error("the build was cancelled")]
    Cancelled,
    /// The host failed.
    #[error(transparent)]
    Host(#[from] RunnerError),
}

fn tail_of(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!("; it had printed:\n{tail}") }
}

impl BuildError {
    /// Tells what to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Host(error) => error.class(),
            _ => Class::Reject,
        }
    }
}
