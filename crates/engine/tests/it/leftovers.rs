//! What requests and crashes left half done is ended: snapshots that nobody takes, images on their way out, links that hold
//! no more.

use std::time::Duration;

use engine::Settings;
use engine::port::{Class, Runner as _};
use store::signed_preview::SignedPreview;
use types::sandbox::{Observed, Sandbox};
use types::snapshot::{SavedSnapshot, SnapshotState};
use types::{Clock as _, SnapshotId};

use crate::house::{House, eventually};

fn snapshot(house: &House, number: u128, source: &Sandbox, state: SnapshotState) -> SavedSnapshot {
    let id = SnapshotId::from_u128(number);
    let name = format!("snapshot-{number}");
    SavedSnapshot {
        state,
        source_sandbox_id: Some(source.id),
        resources: source.resources,
        ..SavedSnapshot::new(id, Some(source.organization_id), name, house.clock.now())
    }
}

fn often() -> Settings {
    Settings {
        scan_period: Duration::from_hours(1),
        purge_period: Duration::from_millis(10),
        ..Settings::default()
    }
}

async fn state(house: &House, snapshot: &SavedSnapshot) -> Option<SnapshotState> {
    house.store.snapshot_get(snapshot.id).await.unwrap().map(|snapshot| snapshot.state)
}

#[tokio::test]
async fn a_snapshot_that_nobody_takes_fails_after_a_while() {
    let house = House::new().await;
    let sandbox = house.insert(Sandbox { observed: Observed::Started, ..house.sandbox(1) }).await;
    let asked = house
        .insert(Sandbox {
            observed: Observed::Unknown,
            capture: Some(SnapshotId::from_u128(2)),
            ..house.sandbox(2)
        })
        .await;
    let orphan = snapshot(&house, 1, &sandbox, SnapshotState::Snapshotting);
    let wanted = snapshot(&house, 2, &asked, SnapshotState::Snapshotting);
    let active = snapshot(&house, 3, &sandbox, SnapshotState::Active);
    for row in [&orphan, &wanted, &active] {
        house.store.snapshot_insert(row).await.unwrap();
    }
    let before = house.clock.now();
    assert_eq!(
        house.store.snapshot_fail_orphans(before, before).await.unwrap(),
        0,
        "a moment is left for the wish"
    );
    house.clock.advance(Duration::from_secs(61));
    let now = house.clock.now();
    assert_eq!(house.store.snapshot_fail_orphans(now, now).await.unwrap(), 1);
    assert_eq!(state(&house, &orphan).await, Some(SnapshotState::Error));
    assert_eq!(state(&house, &wanted).await, Some(SnapshotState::Snapshotting));
    assert_eq!(state(&house, &active).await, Some(SnapshotState::Active));
    let failed = house.store.snapshot_get(orphan.id).await.unwrap().unwrap();
    assert!(failed.error_reason.is_some());
}

#[tokio::test]
async fn the_engine_fails_what_nobody_takes_and_removes_what_is_on_its_way_out() {
    let house = House::new().await;
    let sandbox = house.sandbox(1);
    let orphan = snapshot(&house, 1, &sandbox, SnapshotState::Snapshotting);
    let leaving = snapshot(&house, 2, &sandbox, SnapshotState::Removing);
    for row in [&orphan, &leaving] {
        house.store.snapshot_insert(row).await.unwrap();
    }
    let running = house.insert(Sandbox { observed: Observed::Started, ..house.sandbox(2) }).await;
    house.runner.put(running.id, Observed::Started, running.network.clone());
    house.runner.capture(running.id, &leaving.image).await.unwrap();
    assert!(house.runner.has_image(&leaving.image));
    let link = SignedPreview {
        token: "0123456789abcdef".to_owned(),
        sandbox_id: running.id,
        port: 80,
        expires_at: house.clock.now(),
    };
    house.store.signed_preview_insert(&link).await.unwrap();
    house.clock.advance(Duration::from_secs(61));
    // The host may refuse for a while; nobody has to ask again.
    house.runner.fail("forget", &[Class::Retry, Class::Bug]);
    let _engine = house.engine_with(often()).await;
    eventually("the orphan failed", async || state(&house, &orphan).await == Some(SnapshotState::Error))
        .await;
    eventually("the other is gone", async || state(&house, &leaving).await.is_none()).await;
    assert!(!house.runner.has_image(&leaving.image));
    let long_ago = house.clock.now() - Duration::from_hours(1);
    eventually("the link is forgotten", async || {
        house.store.signed_preview_get(&link.token, long_ago).await.unwrap().is_none()
    })
    .await;
}
