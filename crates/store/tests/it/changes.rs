//! Who listens hears of every row as it was written, and of nothing else.

use testkit::sample;
use tokio::sync::broadcast::error::TryRecvError;
use types::sandbox::{Desired, Observed, Sandbox};
use types::snapshot::{SavedSnapshot, SnapshotChange, SnapshotState};
use types::{Clock as _, OrganizationId, SandboxId, SnapshotId, SystemClock, Timestamp};

use crate::sandbox::store;

const OWNER: OrganizationId = OrganizationId::from_u128(1);
const ID: SnapshotId = SnapshotId::from_u128(1);

/// Now, as the store keeps it.
fn now() -> Timestamp {
    Timestamp::from_millisecond(SystemClock.now().as_millisecond()).unwrap()
}

fn snapshot(state: SnapshotState, at: Timestamp) -> SavedSnapshot {
    SavedSnapshot {
        state,
        source_sandbox_id: Some(SandboxId::from_u128(9)),
        resources: types::resource::Resources::default(),
        ..SavedSnapshot::new(ID, Some(OWNER), "one".to_owned(), at)
    }
}

#[tokio::test]
async fn every_written_row_is_told_and_a_lost_race_is_not() {
    let (store, _directory) = store().await;
    let mut changes = store.changes();
    let made = sample::sandbox(SandboxId::from_u128(1), OWNER, now());
    store.sandbox_insert(&made).await.unwrap();
    assert_eq!(changes.try_recv().unwrap(), made);
    let asked = Sandbox { desired: Desired::Stopped, ..made.clone() };
    let written = store.sandbox_update_desired(asked.clone()).await.unwrap().unwrap();
    assert_eq!(changes.try_recv().unwrap(), written);
    assert_eq!(written.generation, made.generation + 1);
    assert_eq!(store.sandbox_update_desired(asked).await.unwrap(), None);
    let seen = Sandbox { observed: Observed::Stopped, ..written };
    let seen = store.sandbox_update_observed(seen).await.unwrap().unwrap();
    assert_eq!(changes.try_recv().unwrap(), seen);
    store.sandbox_touch(made.id, now()).await.unwrap();
    assert_eq!(changes.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test]
async fn pages_of_all_hold_everything_once_with_what_is_gone() {
    let (store, _directory) = store().await;
    for id in 1..=5 {
        store.sandbox_insert(&sample::sandbox(SandboxId::from_u128(id), OWNER, now())).await.unwrap();
    }
    let first = store.sandbox_get(SandboxId::from_u128(1)).await.unwrap().unwrap();
    let gone = Sandbox { desired: Desired::Destroyed, observed: Observed::Destroyed, ..first };
    store.sandbox_update_observed(gone).await.unwrap().unwrap();
    let mut ids = Vec::new();
    while let page @ [_, ..] = &store.sandbox_page_of_all(ids.last().copied(), 2).await.unwrap()[..] {
        assert!(page.len() <= 2);
        ids.extend(page.iter().map(|sandbox| sandbox.id));
    }
    assert_eq!(ids, [1, 2, 3, 4, 5].map(SandboxId::from_u128));
}

#[tokio::test]
async fn what_is_done_to_snapshots_is_told() {
    let (store, _directory) = store().await;
    let mut changes = store.snapshot_changes();
    let taking = snapshot(SnapshotState::Snapshotting, now());
    store.snapshot_insert(&taking).await.unwrap();
    assert_eq!(changes.try_recv().unwrap(), SnapshotChange::Written(taking.clone()));
    let active = SavedSnapshot { state: SnapshotState::Active, size_bytes: 7, ..taking };
    let active = store.snapshot_update(active).await.unwrap().unwrap();
    assert_eq!(changes.try_recv().unwrap(), SnapshotChange::Written(active.clone()));
    store.snapshot_delete(ID).await.unwrap();
    assert_eq!(changes.try_recv().unwrap(), SnapshotChange::Deleted(active.clone()));
    store.snapshot_delete(ID).await.unwrap();
    assert_eq!(store.snapshot_update(active).await.unwrap(), None);
    assert_eq!(changes.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test]
async fn a_snapshot_that_nobody_takes_any_more_is_told_as_failed() {
    let (store, _directory) = store().await;
    let orphan = snapshot(SnapshotState::Snapshotting, Timestamp::UNIX_EPOCH);
    store.snapshot_insert(&orphan).await.unwrap();
    let mut changes = store.snapshot_changes();
    assert_eq!(store.snapshot_fail_orphans(now(), now()).await.unwrap(), 1);
    let SnapshotChange::Written(failed) = changes.try_recv().unwrap() else { panic!("it is there still") };
    assert_eq!((failed.id, failed.state), (ID, SnapshotState::Error));
    assert_eq!(Some(failed), store.snapshot_get(ID).await.unwrap());
}
