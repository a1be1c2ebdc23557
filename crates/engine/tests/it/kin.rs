//! What sandboxes are to each other, and the snapshots of them: forks, links, captures.

use engine::port::Class;
use testkit::Call;
use types::sandbox::{Desired, Observed, Sandbox};
use types::snapshot::{SavedSnapshot, SnapshotState};
use types::{Clock as _, SandboxId, SnapshotId};

use crate::house::{House, SOON, eventually};

const SNAPSHOT: SnapshotId = SnapshotId::from_u128(9);

#[tokio::test]
async fn a_fork_is_made_of_its_parent_and_fails_with_a_reason_when_that_is_gone() {
    let house = House::new().await;
    let engine = house.engine().await;
    let parent = house.settled(&engine, 1).await;
    let child = |number| Sandbox { parent_id: Some(parent.id), ..house.sandbox(number) };
    let forked = engine.settle(house.insert(child(2)).await, SOON).await.unwrap().unwrap();
    assert_eq!(forked.observed, Observed::Started);
    assert_eq!(house.runner.take_calls(), [Call::Create, Call::Fork]);

    let going = Sandbox { desired: Desired::Destroyed, ..parent.clone() };
    let going = house.store.sandbox_update_desired(going).await.unwrap().unwrap();
    engine.settle(going, SOON).await.unwrap();
    let orphan = engine.settle(house.insert(child(3)).await, SOON).await.unwrap().unwrap();
    assert_eq!((orphan.observed, orphan.recoverable), (Observed::Error, false));
    assert_eq!(orphan.error_reason.as_deref(), Some("fork it: the sandbox it is forked from is gone"));
    assert_eq!(orphan.failure.map(|failure| failure.cause), Some("parent-gone".to_owned()));
}

#[tokio::test]
async fn a_parent_that_its_host_has_not_is_a_failure_and_not_a_loop() {
    let house = House::new().await;
    let engine = house.engine().await;
    let archived = Sandbox { desired: Desired::Archived, observed: Observed::Archived, ..house.sandbox(1) };
    let parent = house.insert(archived).await;
    let child = house.insert(Sandbox { parent_id: Some(parent.id), ..house.sandbox(2) }).await;
    let child = engine.settle(child, SOON).await.unwrap().unwrap();
    assert_eq!(child.observed, Observed::Error);
    assert_eq!(house.runner.take_calls(), [Call::Fork]);
}

#[tokio::test]
async fn followers_go_with_their_owner_and_none_is_made_for_one_that_is_gone() {
    let house = House::new().await;
    let engine = house.engine().await;
    let owner = house.settled(&engine, 1).await;
    let follower = |number| Sandbox { linked_id: Some(owner.id), ..house.sandbox(number) };
    let mut followers = Vec::new();
    for number in 2..5 {
        followers.push(engine.settle(house.insert(follower(number)).await, SOON).await.unwrap().unwrap());
    }
    let other = house.settled(&engine, 9).await;
    let going = Sandbox { desired: Desired::Destroyed, ..owner.clone() };
    let going = house.store.sandbox_update_desired(going).await.unwrap().unwrap();
    engine.settle(going, SOON).await.unwrap();
    for row in &followers {
        eventually("the follower is gone", async || house.read(row).await.is_none()).await;
    }
    assert_eq!(house.runner.len(), 1);
    assert_eq!(house.read(&other).await, Some(other));
    let late = engine.settle(house.insert(follower(6)).await, SOON).await.unwrap().unwrap();
    assert_eq!(late.observed, Observed::Error);
    assert_eq!(late.failure.map(|failure| failure.cause), Some("owner-gone".to_owned()));
}

/// Asks for a snapshot as the API does.
async fn ask(house: &House, row: Sandbox) -> Sandbox {
    let snapshot = SavedSnapshot {
        state: SnapshotState::Snapshotting,
        source_sandbox_id: Some(row.id),
        resources: row.resources,
        ..SavedSnapshot::new(SNAPSHOT, Some(row.organization_id), "mine".to_owned(), house.clock.now())
    };
    house.store.snapshot_insert(&snapshot).await.unwrap();
    let asked = Sandbox { capture: Some(SNAPSHOT), ..row };
    assert_eq!(asked.reported(), "snapshotting");
    house.store.sandbox_update_desired(asked).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_snapshot_is_taken_in_every_state_that_has_files_and_the_sandbox_goes_on_as_it_was() {
    for desired in [Desired::Started, Desired::Stopped, Desired::Paused] {
        let house = House::new().await;
        let engine = house.engine().await;
        let row = house.settled(&engine, 1).await;
        let row = house.store.sandbox_update_desired(Sandbox { desired, ..row }).await.unwrap().unwrap();
        let row = engine.settle(row, SOON).await.unwrap().unwrap();
        let asked = ask(&house, row.clone()).await;
        let now = engine.settle(asked, SOON).await.unwrap().unwrap();
        assert_eq!((now.observed, now.capture, now.reported()), (row.observed, None, row.reported()));
        let snapshot = house.store.snapshot_get(SNAPSHOT).await.unwrap().unwrap();
        assert_eq!((snapshot.state, snapshot.size_bytes), (SnapshotState::Active, 1 << 20));
        assert!(house.runner.has_image(&snapshot.image));
    }
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_taken_says_why_and_the_sandbox_runs_on() {
    let house = House::new().await;
    house.runner.fail("capture", &[Class::Reject]);
    let engine = house.engine().await;
    let row = house.settled(&engine, 1).await;
    let asked = ask(&house, row).await;
    let now = engine.settle(asked, SOON).await.unwrap().unwrap();
    assert_eq!((now.observed, now.capture), (Observed::Started, None));
    assert_eq!(now.failure.map(|failure| failure.evidence), now.error_reason);
    let snapshot = house.store.snapshot_get(SNAPSHOT).await.unwrap().unwrap();
    assert_eq!(snapshot.state, SnapshotState::Error);
    assert_eq!(snapshot.error_reason.as_deref(), Some("capture as the test said: a cause"));
}

#[tokio::test]
async fn a_snapshot_of_one_that_goes_first_is_not_waited_for() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = house.settled(&engine, 1).await;
    let asked = ask(&house, row).await;
    let going = Sandbox { desired: Desired::Destroyed, ..asked };
    let going = house.store.sandbox_update_desired(going).await.unwrap().unwrap();
    engine.settle(going.clone(), SOON).await.unwrap();
    assert_eq!(house.read(&going).await, None);
    let snapshot = house.store.snapshot_get(SNAPSHOT).await.unwrap().unwrap();
    assert_eq!(snapshot.state, SnapshotState::Error);
    assert!(!house.runner.take_calls().contains(&Call::Capture));
}

#[tokio::test]
async fn a_snapshot_that_is_deleted_while_it_is_taken_leaves_no_image() {
    let house = House::new().await;
    house.runner.delay("capture", std::time::Duration::from_millis(50));
    let engine = house.engine().await;
    let row = house.settled(&engine, 1).await;
    let asked = ask(&house, row).await;
    engine.wake_with(asked.clone());
    house.store.snapshot_delete(SNAPSHOT).await.unwrap();
    let now = engine.wait(asked.id, SOON).await.unwrap().unwrap();
    assert_eq!((now.capture, now.observed), (None, Observed::Started));
    assert!(!house.runner.has_image(&SavedSnapshot::image_of(SNAPSHOT)));
    assert_eq!(house.read(&house.sandbox(1)).await.map(|row| row.id), Some(SandboxId::from_u128(1)));
}
