//! The database: one writer connection, because `SQLite` has one writer anyway, and a pool of readers beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::error::StoreError;
use crate::standing::Standings;

/// Forward only, never edited: the database refuses to start when an applied one has changed.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "control plane", include_str!("../migrations/sqlite/0001_control_plane.sql"))];

const READERS: u32 = 8;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER: &str = "SELECT 1";

/// The rows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) writer: SqlitePool,
    pub(crate) reader: SqlitePool,
    pub(crate) standings: Arc<Standings>,
}

impl Store {
    /// Opens the database file, makes it when it is missing, and brings its tables to this version.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let open = |source| StoreError::Open { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = pool(1).connect_with(options.clone()).await.map_err(open)?;
        let migrations = MIGRATIONS.map(|(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        Migrator::with_migrations(migrations.into())
            .run(&writer)
            .await
            .map_err(|source| StoreError::Migrate { path: path.to_owned(), source })?;
        let reader = pool(READERS)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .map_err(open)?;
        Ok(Self { writer, reader, standings: Arc::default() })
    }

    /// Asks both connections for an answer.
    pub async fn check(&self) -> Result<(), StoreError> {
        for connections in [&self.writer, &self.reader] {
            sqlx::query(ANSWER).execute(connections).await.map_err(StoreError::query("ask the database"))?;
        }
        Ok(())
    }

    /// Ends every connection; what was written is in the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// A pool whose connections live as long as the process: they are local, so there is nothing to probe or renew.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(connections.min(2))
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}
