//! What can go wrong with a row.

use std::path::PathBuf;

use types::quota::Dimension;

/// A failed read or write of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database file could not be opened.
    #[error("open the database {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The file is damaged, or no database.
    #[error("read the database {}: it is damaged ({damage})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the check said.
        damage: String,
    },
    /// A damaged file could not be renamed.
    #[error("put the damaged database {} aside", path.display())]
    PutAside {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The rows of a damaged file could not be copied.
    #[error("save what the damaged database {} still holds", path.display())]
    Salvage {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The tables could not be brought to this version.
    #[error("bring the database {} to this version", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// What was written could not be brought onto the disk.
    #[error("bring the database onto the disk")]
    Sync {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another row already holds what must be unique.
    #[error("{noun} `{key}` already exists")]
    Taken {
        /// What kind of row.
        noun: &'static str,
        /// The name or id that is taken.
        key: String,
    },
    /// What the organisation's sandboxes would use together is more than its quota.
    #[error("the organisation's sandboxes may use {most} {dimension:?} together, and would use more")]
    Quota {
        /// What would be too much.
        dimension: Dimension,
        /// The most.
        most: u32,
    },
    /// There are as many already as there may be.
    #[error("there are {most} of {noun} already, and no more may be")]
    TooMany {
        /// What kind of row.
        noun: &'static str,
        /// The most.
        most: u32,
    },
    /// The key of what is sealed could not be read or written.
    #[error("use the key {} of what is sealed in the database", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What is sealed does not open.
    #[error("open what is sealed in the database: it was not sealed with the key {}; set it anew", path.display())]
    Sealed {
        /// The key's file.
        path: PathBuf,
    },
    /// The thread that looks through sandboxes ended early.
    #[error("look through the sandboxes")]
    Look {
        /// Why.
        #[source]
        source: tokio::task::JoinError,
    },
    /// A statement failed.
    #[error("{action}")]
    Query {
        /// What it was for.
        action: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A row holds a value that no version of this program writes.
    #[error("column `{column}` holds `{value}`")]
    Corrupt {
        /// The column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
}

impl StoreError {
    /// Tells whether the disk has no room for a write.
    pub fn is_full(&self) -> bool {
        let Self::Query { source, .. } = self else { return false };
        let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
        // SQLITE_FULL; and SQLITE_IOERR_WRITE, as which some file systems answer.
        matches!(code.and_then(|code| code.parse::<u32>().ok()), Some(13 | 778))
    }

    /// Wraps a failed statement with what it was for.
    pub(crate) fn query(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Query { action, source }
    }

    /// Wraps a failed insert: a broken uniqueness rule becomes [`StoreError::Taken`].
    pub(crate) fn insert(
        action: &'static str,
        noun: &'static str,
        key: &str,
    ) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| match &source {
            sqlx::Error::Database(error) if error.is_unique_violation() => {
                Self::Taken { noun, key: key.to_owned() }
            }
            _ => Self::Query { action, source },
        }
    }
}
