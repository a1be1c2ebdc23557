//! What an examination tells.

/// How good a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Good,
    /// Sandboxes run, and something is worse than it could be.
    Weak,
    /// Sandboxes cannot run, or a promise cannot be kept.
    Missing,
    /// Neither good nor bad.
    Note,
}

/// One thing about the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// How good it is.
    pub mark: Mark,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when there is nothing to do.
    pub remedy: String,
}

impl Mark {
    /// Returns the word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Weak => "weak",
            Self::Missing => "missing",
            Self::Note => "note",
        }
    }

    /// Returns the sign for people.
    pub const fn sign(self) -> char {
        match self {
            Self::Good => '✓',
            Self::Weak => '!',
            Self::Missing => '✗',
            Self::Note => '·',
        }
    }
}

impl Finding {
    /// Notes what is as it should be.
    pub fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, mark: Mark::Good, found: found.into(), remedy: String::new() }
    }

    /// Notes what is neither good nor bad.
    pub fn note(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, mark: Mark::Note, found: found.into(), remedy: String::new() }
    }

    /// Notes what could be better.
    pub fn weak(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, mark: Mark::Weak, found: found.into(), remedy: remedy.into() }
    }

    /// Notes what must be there and is not.
    pub fn missing(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, mark: Mark::Missing, found: found.into(), remedy: remedy.into() }
    }
}
