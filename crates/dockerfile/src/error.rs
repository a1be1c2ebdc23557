//! What is wrong with a Dockerfile.

/// Why a Dockerfile cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is larger than any that a person wrote.
    #[error(
        "the Dockerfile has {bytes} bytes, more than {limit}; copy large files instead of writing them into it"
    )]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// It builds nothing.
    #[error("the Dockerfile has no FROM; begin it with one, as in `FROM debian:stable`")]
    NoStage,
    /// The stage that was asked for is not in it.
    #[error("no stage of the Dockerfile is called `{target}`; name one with `FROM … AS {target}`")]
    NoTarget {
        /// What was asked for.
        target: String,
    },
    /// An instruction cannot be built.
    #[error("line {line}: {reason}")]
    Invalid {
        /// Where it begins.
        line: u32,
        /// Why, and what to do.
        reason: String,
    },
}

impl Error {
    /// Says what is wrong in a line.
    pub fn at(line: u32, reason: impl Into<String>) -> Self {
        Self::Invalid { line, reason: reason.into() }
    }
}
