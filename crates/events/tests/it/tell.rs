//! What is told, to whom and in which order.

use std::time::Duration;

use events::Settings;
use serde_json::json;
use tokio::time::timeout;
use types::sandbox::{Desired, Observed};
use types::snapshot::{SnapshotChange, SnapshotState};

use crate::ground::{ground, ground_with, row};
use crate::sample::snapshot;

#[tokio::test]
async fn a_life_is_told_to_its_organisation_alone() {
    let ground = ground(Settings::default()).await;
    let mut one = ground.client("one").await;
    let mut two = ground.client("two").await;
    ground.write(&row(1, 1, 1, Desired::Started, Observed::Absent));
    ground.write(&row(1, 1, 2, Desired::Started, Observed::Started));
    ground.write(&row(1, 1, 3, Desired::Stopped, Observed::Started));
    ground.write(&row(2, 2, 1, Desired::Started, Observed::Absent));
    let id = "00000000-0000-0000-0000-000000000001";
    let shown = |state: &str| json!({ "id": id, "state": state, "labels": {} });
    assert_eq!(one.event().await, ("sandbox.created".to_owned(), shown("creating")));
    let started = json!({ "sandbox": shown("started"), "oldState": "creating", "newState": "started" });
    assert_eq!(one.event().await, ("sandbox.state.updated".to_owned(), started));
    let wanted =
        json!({ "sandbox": shown("stopping"), "oldDesiredState": "started", "newDesiredState": "stopped" });
    assert_eq!(one.event().await, ("sandbox.desired-state.updated".to_owned(), wanted));
    let stopping = json!({ "sandbox": shown("stopping"), "oldState": "started", "newState": "stopping" });
    assert_eq!(one.event().await, ("sandbox.state.updated".to_owned(), stopping));
    let (name, payload) = two.event().await;
    assert_eq!(name, "sandbox.created");
    assert_eq!(payload["id"], "00000000-0000-0000-0000-000000000002");
}

#[tokio::test]
async fn what_was_there_before_is_no_news() {
    let before = row(1, 1, 5, Desired::Started, Observed::Started);
    let ground = ground_with(Settings::default(), 16, vec![before.clone()]).await;
    let mut client = ground.client("one").await;
    ground.write(&before);
    ground.write(&row(1, 1, 6, Desired::Started, Observed::Started));
    ground.write(&row(1, 1, 7, Desired::Destroyed, Observed::Started));
    let (name, payload) = client.event().await;
    assert_eq!(
        (name.as_str(), &payload["oldDesiredState"]),
        ("sandbox.desired-state.updated", &json!("started"))
    );
}

#[tokio::test]
async fn rows_that_cannot_be_read_at_the_start_are_read_later() {
    let ground = ground_with(Settings::default(), 4, Vec::new()).await;
    *ground.directory.unavailable.lock().expect("lock") = true;
    // More than the channel holds: the rows themselves must be read to know what became of them.
    for generation in 1..50 {
        ground.write(&row(1, 1, generation, Desired::Started, Observed::Absent));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    *ground.directory.unavailable.lock().expect("lock") = false;
    let mut client = ground.client("one").await;
    // Until the rows are read, everything is taken for old.
    for id in 2..200 {
        ground.write(&row(id, 1, 1, Desired::Started, Observed::Absent));
        if let Ok((name, payload)) = timeout(Duration::from_millis(100), client.event()).await {
            assert_eq!(name, "sandbox.created");
            assert_ne!(payload["id"], "00000000-0000-0000-0000-000000000001");
            return;
        }
    }
    panic!("nothing is told");
}

/// Rows come faster than they can be told: what is told in the end is what holds, and nothing that never held.
#[tokio::test]
async fn what_was_missed_is_read_again() {
    let ground = ground_with(Settings::default(), 2, Vec::new()).await;
    let mut client = ground.client("one").await;
    // No await in between: the hub, on the same thread, cannot keep up.
    for id in 1..=20 {
        ground.write(&row(id, 1, 1, Desired::Started, Observed::Absent));
        ground.write(&row(id, 1, 2, Desired::Started, Observed::Started));
        ground.write(&row(id, 1, 3, Desired::Stopped, Observed::Started));
        ground.write(&row(id, 1, 4, Desired::Stopped, Observed::Stopped));
    }
    let mut states = std::collections::BTreeMap::new();
    while states.len() < 20 || states.values().any(|state| state != "stopped") {
        let (_, payload) = client.event().await;
        let shown = payload.get("sandbox").unwrap_or(&payload);
        let text = |name: &str| shown[name].as_str().expect(name).to_owned();
        states.insert(text("id"), text("state"));
    }
    // And from then on as before.
    ground.write(&row(20, 1, 5, Desired::Destroyed, Observed::Destroyed));
    let mut last = client.event().await;
    while last.0 != "sandbox.state.updated" {
        last = client.event().await;
    }
    assert_eq!((&last.1["oldState"], &last.1["newState"]), (&json!("stopped"), &json!("destroyed")));
}

#[tokio::test]
async fn snapshots_are_told_too() {
    let ground = ground(Settings::default()).await;
    let mut client = ground.client("one").await;
    let written = |id: u128, organization: u128, state: SnapshotState| {
        let _ = ground.snapshot_changes.send(SnapshotChange::Written(snapshot(id, organization, state)));
    };
    written(9, 2, SnapshotState::Snapshotting);
    written(1, 1, SnapshotState::Snapshotting);
    written(1, 1, SnapshotState::Active);
    let _ = ground.snapshot_changes.send(SnapshotChange::Deleted(snapshot(1, 1, SnapshotState::Removing)));
    let shown = |state: &str| json!({ "id": "00000000-0000-0000-0000-000000000001", "state": state });
    assert_eq!(client.event().await, ("snapshot.created".to_owned(), shown("snapshotting")));
    let active = json!({ "snapshot": shown("active"), "oldState": "snapshotting", "newState": "active" });
    assert_eq!(client.event().await, ("snapshot.state.updated".to_owned(), active));
    assert_eq!(client.event().await, ("snapshot.removed".to_owned(), shown("removing")));
}
