//! The copy of a sandbox's files in the object storage.

use crate::clock::Timestamp;

/// A copy, or the wish for one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backup {
    /// How far it is.
    pub state: BackupState,
    /// When it was made.
    pub at: Option<Timestamp>,
    /// Its key in the object storage.
    pub object: Option<String>,
    /// SHA-256 of what it holds, unpacked; lowercase hexadecimal.
    pub digest: Option<String>,
    /// Its size in the object storage.
    pub bytes: u64,
}

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BackupState {
    /// There is none of the files as they are.
    #[default]
    None,
    /// One was asked for.
    Pending,
    /// One is being made.
    InProgress,
    /// It holds the files as they are.
    Completed,
    /// It could not be made.
    Error,
}

impl BackupState {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 5] = [Self::None, Self::Pending, Self::InProgress, Self::Completed, Self::Error];

    /// Returns the contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Completed => "Completed",
            Self::Error => "Error",
        }
    }

    /// Reads the contract's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}
