//! What can go wrong with a row.

use std::path::PathBuf;

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
    /// The tables could not be brought to this version.
    #[error("bring the database {} to this version", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// Another row already holds what must be unique.
    #[error("{noun} `{key}` already exists")]
    Taken {
        /// What kind of row.
        noun: &'static str,
        /// The name or id that is taken.
        key: String,
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
