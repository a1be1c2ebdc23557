//! Opening, reopening and refusing a database.

use store::{Store, StoreError};
use testkit::{TestClock, sample};
use types::{Clock as _, UserId};

#[tokio::test]
async fn rows_survive_a_reopen_and_migrations_run_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("daytona.db");
    let now = TestClock::default().now();
    let first = Store::open(&path).await.unwrap();
    first.user_insert(&sample::user("ada", now)).await.unwrap();
    first.close().await;
    let again = Store::open(&path).await.unwrap();
    again.check().await.unwrap();
    let found = again.user_get(&UserId("ada".to_owned())).await.unwrap();
    assert_eq!(found, Some(sample::user("ada", now)));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("daytona.db");
    std::fs::write(&path, b"this is not a database, however long it goes on about it").unwrap();
    let error = Store::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. } | StoreError::Migrate { .. }), "{error:?}");
    assert!(error.to_string().contains("daytona.db"), "{error}");
}
