//! A damaged database: found before anything is read from it, put aside, and saved row by row.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, Row as _};

use crate::error::StoreError;

/// Reads every page once and compares what they say of each other; one line is enough to know.
const CHECK: &str = "PRAGMA quick_check(1)";
/// Tables in the order in which rows refer to each other.
const TABLES: [&str; 8] = [
    "user_account",
    "organization",
    "organization_member",
    "api_key",
    "registry",
    "build",
    "snapshot",
    "sandbox",
];
const COLUMNS: &str = "SELECT name FROM pragma_table_info($1) WHERE name IN \
    (SELECT name FROM pragma_table_info($1, 'damaged'))";
const ATTACH: &str = "ATTACH DATABASE $1 AS damaged";
const DETACH: &str = "DETACH DATABASE damaged";
const KEYS_OFF: &str = "PRAGMA foreign_keys = OFF";
const KEYS_ON: &str = "PRAGMA foreign_keys = ON";
/// How many rows in a row may be missing before a table that cannot say how many it has is taken to end.
const MISSES: u32 = 2000;

/// What was done about a damaged database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// Where the damaged file is now.
    pub aside: PathBuf,
    /// What the check said.
    pub damage: String,
    /// How many rows of each table were saved, and whether that is all of them.
    pub saved: Vec<(&'static str, u64, bool)>,
}

/// Tells what is wrong with the pages of a database; `None` when nothing is.
pub(crate) async fn damage(writer: &SqlitePool) -> Result<Option<String>, sqlx::Error> {
    match sqlx::query_scalar::<_, String>(CHECK).fetch_one(writer).await {
        Ok(answer) if answer == "ok" => Ok(None),
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_damage(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Tells whether an error says that the file is damaged, or is no database at all.
pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // The lower eight bits are the primary code: SQLITE_CORRUPT is 11, SQLITE_NOTADB is 26.
    let primary = code.as_deref().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xFF);
    matches!(primary, Some(11 | 26))
}

/// Gives the database and its log a second name that is free: whatever is done next, nothing of it is lost.
pub(crate) fn keep_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let aside = (1..u32::MAX).map(|number| with_suffix(path, &format!(".damaged-{number}")));
    let aside =
        aside.into_iter().find(|aside| !aside.exists()).unwrap_or_else(|| with_suffix(path, ".damaged"));
    for suffix in ["-wal", ""] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&aside, suffix));
        if from.exists() {
            std::fs::hard_link(&from, &to)
                .or_else(|_| std::fs::copy(&from, &to).map(drop))
                .map_err(|source| StoreError::PutAside { path: path.to_owned(), source })?;
        }
    }
    Ok(aside)
}

/// Names the file in which the new database is made.
pub(crate) fn fresh(path: &Path) -> Result<PathBuf, StoreError> {
    let fresh = with_suffix(path, ".repaired");
    for suffix in ["-wal", "-shm", ""] {
        remove(&with_suffix(&fresh, suffix))?;
    }
    Ok(fresh)
}

/// Puts the new database in the place of the damaged one. The old log goes first: with it the new one would be a
/// mixture of both.
pub(crate) fn put_in_place(fresh: &Path, path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::PutAside { path: path.to_owned(), source };
    std::fs::File::open(fresh).and_then(|file| file.sync_all()).map_err(failed)?;
    for suffix in ["-wal", "-shm"] {
        remove(&with_suffix(path, suffix))?;
    }
    std::fs::rename(fresh, path).map_err(failed)
}

/// Names a file beside another.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::PutAside { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Copies every row that can be read from the database at `aside` into the new one.
pub(crate) async fn salvage(
    connection: &mut SqliteConnection,
    aside: &Path,
) -> Result<Vec<(&'static str, u64, bool)>, sqlx::Error> {
    sqlx::query(KEYS_OFF).execute(&mut *connection).await?;
    let path = aside.to_string_lossy().into_owned();
    let mut saved = Vec::new();
    if sqlx::query(ATTACH).bind(path).execute(&mut *connection).await.is_ok() {
        for table in TABLES {
            let (rows, whole) = copy(connection, table).await?;
            saved.push((table, rows, whole));
        }
        sqlx::query(DETACH).execute(&mut *connection).await?;
    }
    sqlx::query(KEYS_ON).execute(&mut *connection).await?;
    Ok(saved)
}

/// Copies a table at once, or, where it is damaged, row by row.
async fn copy(connection: &mut SqliteConnection, table: &'static str) -> Result<(u64, bool), sqlx::Error> {
    let Ok(columns) = sqlx::query(COLUMNS).bind(table).fetch_all(&mut *connection).await else {
        return Ok((0, false));
    };
    let columns: Vec<String> = columns.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if columns.is_empty() {
        return Ok((0, false));
    }
    let columns = columns.join(", ");
    let insert =
        format!("INSERT OR IGNORE INTO main.{table} ({columns}) SELECT {columns} FROM damaged.{table}");
    match sqlx::query(AssertSqlSafe(insert.clone())).execute(&mut *connection).await {
        Ok(done) => return Ok((done.rows_affected(), true)),
        Err(error) if is_damage(&error) => {}
        Err(error) => return Err(error),
    }
    let last = format!("SELECT max(rowid) FROM damaged.{table}");
    let last = sqlx::query_scalar::<_, Option<i64>>(AssertSqlSafe(last)).fetch_one(&mut *connection).await;
    let last = last.ok().flatten();
    let one = format!("{insert} WHERE rowid = $1");
    let (mut rows, mut misses) = (0, 0);
    for row in 1..=last.unwrap_or(i64::MAX) {
        // What cannot be read, or breaks a rule, is what the damage took.
        let copied = sqlx::query(AssertSqlSafe(one.clone())).bind(row).execute(&mut *connection).await;
        let copied = copied.map_or(0, |done| done.rows_affected());
        rows += copied;
        misses = if copied == 0 { misses + 1 } else { 0 };
        if last.is_none() && misses == MISSES {
            break;
        }
    }
    Ok((rows, false))
}
