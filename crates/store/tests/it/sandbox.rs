//! Sandboxes: written once, changed by compare-and-set, gone from sight when destroyed.

use std::time::Duration;

use store::{Store, StoreError};
use tempfile::TempDir;
use testkit::{TestClock, app, sample};
use types::resource::Resources;
use types::sandbox::{Desired, Network, Observed, Sandbox};
use types::{Clock as _, OrganizationId, SandboxId};

const TENANT: OrganizationId = OrganizationId::from_u128(1);
const OTHER: OrganizationId = OrganizationId::from_u128(2);

pub(crate) async fn store() -> (Store, TempDir) {
    let (store, directory) = app::store().await.unwrap();
    for (name, id) in [("ada", TENANT), ("eve", OTHER)] {
        let owner = sample::user(name, TestClock::default().now());
        store.user_insert(&owner).await.unwrap();
        store.organization_insert(&sample::organization(id, &owner)).await.unwrap();
    }
    (store, directory)
}

fn sandbox(number: u128, name: &str) -> Sandbox {
    let id = SandboxId::from_u128(number);
    Sandbox { name: name.to_owned(), ..sample::sandbox(id, TENANT, TestClock::default().now()) }
}

#[tokio::test]
async fn every_column_reads_back() {
    let (store, _directory) = store().await;
    let mut written = sandbox(1, "every ünïcode \"name\"");
    written.env = [("A".to_owned(), "1\n2\"".to_owned())].into();
    written.labels = [("l.x/y".to_owned(), String::new())].into();
    written.network = Network::blocked();
    written.network_applied = Some(Network::default());
    written.public = true;
    written.stop_forced = true;
    written.error_reason = Some("why".to_owned());
    written.daemon_version = Some("1".to_owned());
    written.intervals.auto_delete = -1;
    store.sandbox_insert(&written).await.unwrap();
    assert_eq!(store.sandbox_get(written.id).await.unwrap(), Some(written.clone()));
    assert_eq!(store.sandbox_find(TENANT, &written.name).await.unwrap(), Some(written.clone()));
    assert_eq!(store.sandbox_find(TENANT, &written.id.to_string()).await.unwrap(), Some(written));
}

#[tokio::test]
async fn another_tenant_finds_nothing() {
    let (store, _directory) = store().await;
    let written = sandbox(1, "mine");
    store.sandbox_insert(&written).await.unwrap();
    assert_eq!(store.sandbox_find(OTHER, "mine").await.unwrap(), None);
    assert_eq!(store.sandbox_find(OTHER, &written.id.to_string()).await.unwrap(), None);
}

#[tokio::test]
async fn an_id_wins_over_a_name_that_spells_the_same() {
    let (store, _directory) = store().await;
    let first = sandbox(1, "first");
    let second = sandbox(2, &first.id.to_string());
    store.sandbox_insert(&first).await.unwrap();
    store.sandbox_insert(&second).await.unwrap();
    assert_eq!(store.sandbox_find(TENANT, &second.name).await.unwrap().map(|found| found.id), Some(first.id));
}

#[tokio::test]
async fn of_two_writers_who_read_the_same_row_one_is_told() {
    let (store, _directory) = store().await;
    let read = sandbox(1, "a");
    store.sandbox_insert(&read).await.unwrap();
    let request = Sandbox { public: true, ..read.clone() };
    let engine = Sandbox { observed: Observed::Started, ..read.clone() };
    let written = store.sandbox_update_desired(request).await.unwrap().unwrap();
    assert_eq!(written.generation, read.generation + 1);
    assert_eq!(store.sandbox_update_observed(engine).await.unwrap(), None);
    let now = store.sandbox_get(read.id).await.unwrap().unwrap();
    assert_eq!((now.public, now.observed), (true, Observed::Absent));
}

#[tokio::test]
async fn requests_and_engine_write_different_columns() {
    let (store, _directory) = store().await;
    let read = sandbox(1, "a");
    store.sandbox_insert(&read).await.unwrap();
    let request = Sandbox { observed: Observed::Started, desired: Desired::Stopped, ..read.clone() };
    store.sandbox_update_desired(request).await.unwrap().unwrap();
    let now = store.sandbox_get(read.id).await.unwrap().unwrap();
    assert_eq!((now.desired, now.observed), (Desired::Stopped, Observed::Absent));
}

#[tokio::test]
async fn a_name_is_unique_until_its_sandbox_is_asked_to_go() {
    let (store, _directory) = store().await;
    let first = sandbox(1, "name");
    store.sandbox_insert(&first).await.unwrap();
    let refused = store.sandbox_insert(&sandbox(2, "name")).await;
    assert!(matches!(refused, Err(StoreError::Taken { key, .. }) if key == "name"));
    let elsewhere = Sandbox { organization_id: OTHER, ..sandbox(3, "name") };
    store.sandbox_insert(&elsewhere).await.unwrap();

    let going = Sandbox { desired: Desired::Destroyed, ..first.clone() };
    let going = store.sandbox_update_desired(going).await.unwrap().unwrap();
    assert_eq!(store.sandbox_find(TENANT, "name").await.unwrap(), None, "the name is free at once");
    let by_id = store.sandbox_find(TENANT, &first.id.to_string()).await.unwrap();
    assert_eq!(by_id.map(|found| found.desired), Some(Desired::Destroyed), "the id is not, until it is gone");
    store.sandbox_insert(&sandbox(4, "name")).await.unwrap();

    store.sandbox_update_observed(Sandbox { observed: Observed::Destroyed, ..going }).await.unwrap().unwrap();
    assert_eq!(store.sandbox_get(first.id).await.unwrap(), None);
    assert_eq!(store.sandbox_find(TENANT, &first.id.to_string()).await.unwrap(), None);
}

#[tokio::test]
async fn the_scan_finds_exactly_what_is_not_at_rest() {
    let (store, _directory) = store().await;
    let mut expected = Vec::new();
    let mut number = 1;
    for desired in Desired::ALL {
        for observed in Observed::ALL {
            for network_applied in [None, Some(Network::default())] {
                number += 1;
                let row =
                    Sandbox { desired, observed, network_applied, ..sandbox(number, &number.to_string()) };
                store.sandbox_insert(&row).await.unwrap();
                if !row.at_rest() {
                    expected.push(row.id);
                }
            }
        }
    }
    let mut found = store.sandbox_list_moving().await.unwrap();
    found.sort();
    assert_eq!(found, expected);
    assert!(expected.len() > 10);
}

#[tokio::test]
async fn activity_only_moves_forward_and_disturbs_no_writer() {
    let (store, _directory) = store().await;
    let read = sandbox(1, "a");
    store.sandbox_insert(&read).await.unwrap();
    let later = read.created_at + Duration::from_secs(10);
    store.sandbox_touch(read.id, later).await.unwrap();
    store.sandbox_touch(read.id, read.created_at).await.unwrap();
    let now = store.sandbox_get(read.id).await.unwrap().unwrap();
    assert_eq!((now.last_activity_at, now.generation), (later, read.generation));
    store.sandbox_update_desired(Sandbox { public: true, ..read.clone() }).await.unwrap().unwrap();
    assert_eq!(store.sandbox_get(read.id).await.unwrap().unwrap().last_activity_at, later);
}

#[tokio::test]
async fn only_what_was_gone_long_enough_is_purged() {
    let (store, _directory) = store().await;
    let gone = Sandbox { desired: Desired::Destroyed, observed: Observed::Destroyed, ..sandbox(1, "gone") };
    store.sandbox_insert(&gone).await.unwrap();
    store.sandbox_insert(&sandbox(2, "here")).await.unwrap();
    assert_eq!(store.sandbox_purge(gone.updated_at).await.unwrap(), 0);
    assert_eq!(store.sandbox_purge(gone.updated_at + Duration::from_secs(1)).await.unwrap(), 1);
    assert_eq!(store.sandbox_list_claimed().await.unwrap(), Vec::new());
    assert!(store.sandbox_find(TENANT, "here").await.unwrap().is_some());
}

#[tokio::test]
async fn a_standing_is_as_fresh_as_the_row() {
    let (store, _directory) = store().await;
    let sandbox = sandbox(1, "box");
    assert!(store.sandbox_standing(sandbox.id).await.unwrap().is_none());
    store.sandbox_insert(&sandbox).await.unwrap();
    let standing = store.sandbox_standing(sandbox.id).await.unwrap().unwrap();
    assert_eq!((standing.desired, standing.observed), (sandbox.desired, sandbox.observed));
    let wanted = Sandbox { desired: Desired::Stopped, ..sandbox };
    let written = store.sandbox_update_desired(wanted).await.unwrap().unwrap();
    assert_eq!(store.sandbox_standing(written.id).await.unwrap().unwrap().desired, Desired::Stopped);
    let seen = Sandbox { observed: Observed::Stopped, ..written };
    let seen = store.sandbox_update_observed(seen).await.unwrap().unwrap();
    assert_eq!(store.sandbox_standing(seen.id).await.unwrap().unwrap().observed, Observed::Stopped);
}

/// Adds one to a number in a label, by compare-and-set on the row as it is, however often it takes.
async fn add_one(store: &Store, id: SandboxId, key: &str) {
    loop {
        let mut row = store.sandbox_get(id).await.unwrap().unwrap();
        let number: u32 = row.labels.get(key).map_or(0, |text| text.parse().unwrap());
        row.labels.insert(key.to_owned(), (number + 1).to_string());
        if store.sandbox_update_desired(row).await.unwrap().is_some() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_writers_of_equal_and_of_different_fields_lose_nothing() {
    const WRITERS: u32 = 50;
    const ROUNDS: u32 = 2;
    let (store, _directory) = store().await;
    let row = sandbox(1, "a");
    store.sandbox_insert(&row).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, id) = (store.clone(), row.id);
        writers.spawn(async move {
            for round in 0..ROUNDS {
                add_one(&store, id, "everybody").await;
                add_one(&store, id, &format!("only-{writer}")).await;
                // The engine writes too, and a use is noted without a new generation.
                let seen = store.sandbox_get(id).await.unwrap().unwrap();
                let resources_applied = Some(Resources { cpu: writer + 1, ..seen.resources });
                let _ = store.sandbox_update_observed(Sandbox { resources_applied, ..seen }).await.unwrap();
                let used = row_time(writer * ROUNDS + round);
                store.sandbox_touch(id, used).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let now = store.sandbox_get(row.id).await.unwrap().unwrap();
    assert_eq!(now.labels.get("everybody"), Some(&(WRITERS * ROUNDS).to_string()));
    for writer in 0..WRITERS {
        assert_eq!(now.labels.get(&format!("only-{writer}")), Some(&ROUNDS.to_string()));
    }
    assert_eq!(now.last_activity_at, row_time(WRITERS * ROUNDS - 1));
    assert!(now.generation > row.generation + i64::from(2 * WRITERS * ROUNDS));
}

fn row_time(second: u32) -> types::Timestamp {
    TestClock::default().now() + Duration::from_secs(second.into())
}
