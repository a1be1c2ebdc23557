//! The database: one writer connection, because `SQLite` has one writer anyway, and a pool of readers beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::durable::Durable;
use crate::error::StoreError;
use crate::repair::{self, Repair, with_suffix};
use crate::roster::Roster;
use crate::standing::Standings;
use crate::vault::Vault;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::broadcast;
use types::sandbox::Sandbox;
use types::snapshot::SnapshotChange;

/// Forward only, never edited: the database refuses to start when an applied one has changed.
const MIGRATIONS: [(i64, &str, &str); 9] = [
    (1, "control plane", include_str!("../migrations/sqlite/0001_control_plane.sql")),
    (2, "applied limits", include_str!("../migrations/sqlite/0002_applied_limits.sql")),
    (3, "life", include_str!("../migrations/sqlite/0003_life.sql")),
    (4, "list and quota", include_str!("../migrations/sqlite/0004_list_and_quota.sql")),
    (5, "timers", include_str!("../migrations/sqlite/0005_timers.sql")),
    (6, "member", include_str!("../migrations/sqlite/0006_member.sql")),
    (7, "image", include_str!("../migrations/sqlite/0007_image.sql")),
    (8, "volume", include_str!("../migrations/sqlite/0008_volume.sql")),
    (9, "warm pool", include_str!("../migrations/sqlite/0009_warm_pool.sql")),
];

const READERS: u32 = 8;
/// How many written rows wait for whoever listens to changes; who is slower has missed some.
const CHANGES: usize = 4_096;
/// The same for snapshots, which are far fewer.
const SNAPSHOT_CHANGES: usize = 256;
/// How many rows a connection reads ahead of whoever asked, so that a whole page takes no turns.
const ROWS_AHEAD: usize = 200;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Space that is taken for the log at the start, twice what it grows to: on a full disk rows can still be changed, so
/// that sandboxes can be deleted, which makes room.
const LOG_BYTES: u64 = 8 << 20;
/// Space that is taken for new pages.
const GROWTH_BYTES: u64 = 1 << 20;
const ANSWER: &str = "SELECT 1";

/// The rows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) writer: SqlitePool,
    pub(crate) reader: SqlitePool,
    pub(crate) standings: Arc<Standings>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) changes: broadcast::Sender<Sandbox>,
    pub(crate) snapshot_changes: broadcast::Sender<SnapshotChange>,
    pub(crate) vault: Vault,
    durable: Durable,
}

/// A store that was opened, and what had to be done for it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Set when the file was damaged.
    pub repair: Option<Repair>,
}

impl Store {
    /// Opens the database file, makes it when it is missing, and brings its tables to this version. A damaged one is
    /// refused: nothing is read from it.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = options(path);
        let open = |source: sqlx::Error| {
            if repair::is_damage(&source) {
                StoreError::Damaged { path: path.to_owned(), damage: source.to_string() }
            } else {
                StoreError::Open { path: path.to_owned(), source }
            }
        };
        let writer = pool(1).connect_with(options.clone()).await.map_err(open)?;
        if let Some(damage) = repair::damage(&writer).await.map_err(open)? {
            writer.close().await;
            return Err(StoreError::Damaged { path: path.to_owned(), damage });
        }
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
        let log = with_suffix(path, "-wal");
        // Where the file system cannot, a full disk refuses deletions too, until somebody makes room.
        for (file, bytes) in [(log.as_path(), LOG_BYTES), (path, GROWTH_BYTES)] {
            let _ = linux::reserve::reserve(file, bytes);
        }
        let log = std::fs::File::open(&log).map_err(|source| open(sqlx::Error::Io(source)))?;
        let changes = broadcast::Sender::new(CHANGES);
        Ok(Self {
            writer,
            reader,
            standings: Arc::default(),
            roster: Arc::default(),
            changes,
            snapshot_changes: broadcast::Sender::new(SNAPSHOT_CHANGES),
            vault: Vault::beside(path),
            durable: Durable::new(log),
        })
    }

    /// Opens as [`Store::open`] does. A damaged file is put aside, and every row that can still be read is copied into
    /// a new one.
    pub async fn open_or_repair(path: &Path) -> Result<Opened, StoreError> {
        let damage = match Self::open(path).await {
            Err(StoreError::Damaged { damage, .. }) => damage,
            opened => return opened.map(|store| Opened { store, repair: None }),
        };
        let aside = repair::keep_aside(path)?;
        let fresh = repair::fresh(path)?;
        let store = Self::open(&fresh).await?;
        let failed = |source| StoreError::Salvage { path: aside.clone(), source };
        let mut connection = store.writer.acquire().await.map_err(failed)?;
        let saved = repair::salvage(&mut connection, &aside).await.map_err(failed)?;
        drop(connection);
        store.close().await;
        repair::put_in_place(&fresh, path)?;
        let store = Self::open(path).await?;
        Ok(Opened { store, repair: Some(Repair { aside, damage, saved }) })
    }

    /// Returns when everything that was written before the call survives a power cut.
    pub async fn sync(&self) -> Result<(), StoreError> {
        self.durable.sync().await.map_err(|source| StoreError::Sync { source })
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

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(ROWS_AHEAD)
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
