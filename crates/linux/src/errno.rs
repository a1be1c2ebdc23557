//! Turns the kernel's `errno` into an error that names the call and its operand (errno(3)).

use std::io;

/// A system call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{call} {operand}")]
pub struct CallError {
    /// The call, such as `move_mount`.
    pub call: &'static str,
    /// What it was applied to.
    pub operand: String,
    /// The kernel's answer.
    #[source]
    pub source: io::Error,
}

impl CallError {
    /// Returns the raw `errno`, 0 when the failure was not the kernel's.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }
}

/// Adds the call and its operand to a result of the kernel.
pub trait Context<T> {
    /// Names the call and its operand in the error.
    fn context(self, call: &'static str, operand: impl std::fmt::Display) -> Result<T, CallError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, call: &'static str, operand: impl std::fmt::Display) -> Result<T, CallError> {
        self.map_err(|source| CallError { call, operand: operand.to_string(), source: source.into() })
    }
}

/// Converts the result of a raw call: -1 means `errno` holds the reason.
pub fn checked(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Prints an error with its causes, for text that leaves this process.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
