//! Opening, reopening and refusing a database.

use store::db::Opened;
use store::{Store, StoreError};
use testkit::{TestClock, sample};
use types::{Clock as _, OrganizationId, SandboxId, UserId};

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
async fn a_file_that_is_no_database_is_refused_by_name_and_kept_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("daytona.db");
    let text = b"this is not a database, however long it goes on about it".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = Store::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("daytona.db"), "{error}");
    let opened = Store::open_or_repair(&path).await.unwrap();
    opened.store.check().await.unwrap();
    let repair = opened.repair.unwrap();
    assert_eq!(std::fs::read(&repair.aside).unwrap(), text);
    opened.store.close().await;
    assert!(Store::open_or_repair(&path).await.unwrap().repair.is_none());
}

/// Garbage in the middle of the table of sandboxes costs the rows of that page and no others.
#[tokio::test]
async fn the_rows_around_a_damaged_page_are_saved() {
    const ROWS: u128 = 400;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("daytona.db");
    let now = TestClock::default().now();
    let store = Store::open(&path).await.unwrap();
    let ada = sample::user("ada", now);
    let organization = sample::organization(OrganizationId::from_u128(1), &ada);
    store.user_insert(&ada).await.unwrap();
    store.organization_insert(&organization).await.unwrap();
    for number in 0..ROWS {
        let sandbox = sample::sandbox(SandboxId::from_u128(number), organization.id, now);
        store.sandbox_insert(&sandbox).await.unwrap();
    }
    store.close().await;

    // A page is spoiled that holds a row and not only its key in an index.
    let mut bytes = std::fs::read(&path).unwrap();
    let page = bytes
        .chunks(4096)
        .position(|page| {
            contains(page, b"default@sha256:0")
                && contains(page, SandboxId::from_u128(200).to_string().as_bytes())
        })
        .unwrap();
    bytes[page * 4096..page * 4096 + 64].fill(0xA5);
    std::fs::write(&path, &bytes).unwrap();

    assert!(matches!(Store::open(&path).await, Err(StoreError::Damaged { .. })));
    let Opened { store, repair } = Store::open_or_repair(&path).await.unwrap();
    let repair = repair.unwrap();
    let sandboxes = repair.saved.iter().find(|(table, ..)| *table == "sandbox").unwrap();
    assert!(sandboxes.1 > 300 && sandboxes.1 < 400 && !sandboxes.2, "{repair:?}");
    assert!(repair.saved.contains(&("organization", 1, true)), "{repair:?}");
    let mut found = 0;
    for number in 0..ROWS {
        let id = SandboxId::from_u128(number);
        if let Some(row) = store.sandbox_get(id).await.unwrap() {
            assert_eq!(row, sample::sandbox(id, organization.id, now));
            found += 1;
        }
    }
    assert_eq!(found, sandboxes.1);
}

fn contains(page: &[u8], wanted: &[u8]) -> bool {
    page.windows(wanted.len()).any(|window| window == wanted)
}
