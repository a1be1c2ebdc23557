//! A new process of the server finds what the former one left.

use std::time::Duration;

use engine::Settings;
use engine::port::Class;
use testkit::{Call, FakeRunner};
use types::resource::Resources;
use types::sandbox::{Backup, BackupState, Desired, Intervals, Network, Observed, Sandbox};

use crate::house::{House, SOON, eventually};

/// A row as a sandbox that ran under a former process left it.
fn ran(house: &House, number: u128) -> Sandbox {
    Sandbox {
        observed: Observed::Started,
        network_applied: Some(Network::default()),
        resources_applied: Some(Resources::default()),
        daemon_version: Some(FakeRunner::DAEMON_VERSION.to_owned()),
        ..house.sandbox(number)
    }
}

#[tokio::test]
async fn what_still_runs_runs_on() {
    let house = House::new().await;
    let row = house.insert(ran(&house, 1)).await;
    house.runner.put(row.id, Observed::Started, Network::default());
    let _engine = house.engine().await;
    assert_eq!(house.read(&row).await, Some(row));
    assert_eq!(house.runner.take_calls(), [Call::Observe]);
}

#[tokio::test]
async fn what_no_longer_runs_is_stopped_and_not_started_again() {
    let house = House::new().await;
    let row = house.insert(ran(&house, 1)).await;
    house.runner.put(row.id, Observed::Stopped, Network::default());
    let engine = house.engine().await;
    let now = engine.wait(row.id, SOON).await.unwrap().unwrap();
    assert_eq!((now.desired, now.observed), (Desired::Stopped, Observed::Stopped));
    assert_eq!(house.runner.take_calls(), [Call::Observe]);
}

#[tokio::test]
async fn what_was_to_go_when_it_stops_goes() {
    let house = House::new().await;
    let ephemeral =
        Sandbox { intervals: Intervals { auto_delete: 0, ..Intervals::default() }, ..ran(&house, 1) };
    let row = house.insert(ephemeral).await;
    house.runner.put(row.id, Observed::Stopped, Network::default());
    let engine = house.engine().await;
    engine.wait(row.id, SOON).await.unwrap();
    assert_eq!(house.read(&row).await, None);
    assert!(house.runner.is_empty());
}

#[tokio::test]
async fn what_lost_its_files_says_so() {
    let house = House::new().await;
    let row = house.insert(ran(&house, 1)).await;
    let _engine = house.engine().await;
    let now = house.read(&row).await.unwrap();
    assert_eq!(now.observed, Observed::Error);
    assert_eq!(now.error_reason.as_deref(), Some("its files are gone from the host"));
}

#[tokio::test]
async fn a_change_that_was_cut_off_is_finished() {
    let house = House::new().await;
    let creating = house.insert(house.sandbox(1)).await;
    let starting = house.insert(Sandbox { observed: Observed::Stopped, ..ran(&house, 2) }).await;
    let stopping = house.insert(Sandbox { desired: Desired::Stopped, ..ran(&house, 3) }).await;
    let going = house.insert(Sandbox { desired: Desired::Destroyed, ..ran(&house, 4) }).await;
    // The former process had made it and could not write so.
    house.runner.put(creating.id, Observed::Started, Network::default());
    house.runner.put(starting.id, Observed::Stopped, Network::default());
    for row in [&stopping, &going] {
        house.runner.put(row.id, Observed::Started, Network::default());
    }
    let _engine = house.engine().await;
    for (row, expected) in
        [(&creating, Observed::Started), (&starting, Observed::Started), (&stopping, Observed::Stopped)]
    {
        eventually("the change is finished", async || {
            house.read(row).await.is_some_and(|now| now.observed == expected && now.at_rest())
        })
        .await;
        assert_eq!(house.runner.observed(row.id), expected);
    }
    eventually("the removal is finished", async || house.read(&going).await.is_none()).await;
    assert_eq!(house.runner.len(), 3);
}

#[tokio::test]
async fn a_host_that_cannot_be_looked_at_changes_nothing() {
    let house = House::new().await;
    let row = house.insert(ran(&house, 1)).await;
    house.runner.put(row.id, Observed::Started, Network::default());
    house.runner.fail("observe", &[Class::Retry]);
    let _engine = house.engine().await;
    assert_eq!(house.read(&row).await, Some(row));
}

#[tokio::test]
async fn one_that_ends_by_itself_is_noticed() {
    let house = House::new().await;
    let settings = Settings {
        liveness_period: Duration::from_millis(10),
        scan_period: Duration::from_hours(1),
        ..Settings::default()
    };
    let engine = house.engine_with(settings).await;
    let row = house.insert(house.sandbox(1)).await;
    let row = engine.settle(row, SOON).await.unwrap().unwrap();
    house.runner.put(row.id, Observed::Stopped, Network::default());
    eventually("it is seen stopped", async || {
        house
            .read(&row)
            .await
            .is_some_and(|now| now.observed == Observed::Stopped && now.desired == Desired::Stopped)
    })
    .await;
}

#[tokio::test]
async fn a_word_from_the_runner_is_only_a_reason_to_look() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    let row = engine.settle(row, SOON).await.unwrap().unwrap();
    engine.look(row.id).await.unwrap();
    assert_eq!(house.read(&row).await, Some(row.clone()), "it runs, whatever was said");
    house.runner.put(row.id, Observed::Stopped, Network::default());
    engine.look(row.id).await.unwrap();
    assert_eq!(house.read(&row).await.map(|now| now.observed), Some(Observed::Stopped));
}

/// The runner says that a sandbox ended while it is removed; the look that follows waits, and finds a row that is gone.
#[tokio::test]
async fn a_look_does_not_bring_back_what_is_destroyed() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    let row = engine.settle(row, SOON).await.unwrap().unwrap();
    house.runner.delay("destroy", std::time::Duration::from_millis(50));
    let asked = Sandbox { desired: Desired::Destroyed, ..row.clone() };
    let written = house.store.sandbox_update_desired(asked).await.unwrap().unwrap();
    engine.wake_with(written);
    engine.look(row.id).await.unwrap();
    assert_eq!(house.read(&row).await, None);
    assert!(house.store.sandbox_was_destroyed(row.id).await.unwrap());
}

/// Brings a sandbox to run, ends its first process as a crash does, and lets the engine look.
async fn crashed(house: &House, engine: &engine::Engine, sandbox: Sandbox) -> Sandbox {
    let row = house.insert(sandbox).await;
    let row = engine.settle(row, SOON).await.unwrap().unwrap();
    house.runner.end(row.id, "its first process was killed by signal 9");
    house.runner.take_calls();
    engine.look(row.id).await.unwrap();
    row
}

#[tokio::test]
async fn what_ended_by_itself_says_why_and_is_not_started_again_unasked() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = crashed(&house, &engine, house.sandbox(1)).await;
    let now = house.read(&row).await.unwrap();
    assert_eq!((now.desired, now.observed), (Desired::Stopped, Observed::Ended));
    assert_eq!(now.error_reason.as_deref(), Some("its first process was killed by signal 9"));
    assert!(now.at_rest());
    assert_eq!(house.runner.take_calls(), [Call::Observe]);
    // Looking again changes nothing.
    engine.look(row.id).await.unwrap();
    assert_eq!(house.read(&row).await, Some(now));
}

#[tokio::test]
async fn what_ended_by_itself_can_be_started_stopped_and_deleted() {
    let house = House::new().await;
    let engine = house.engine().await;
    for (number, desired, expected) in [
        (1, Desired::Started, Some(Observed::Started)),
        (2, Desired::Stopped, Some(Observed::Ended)),
        (3, Desired::Destroyed, None),
    ] {
        let row = crashed(&house, &engine, house.sandbox(number)).await;
        let now = house.read(&row).await.unwrap();
        let asked = house.store.sandbox_update_desired(Sandbox { desired, ..now }).await.unwrap().unwrap();
        engine.settle(asked, SOON).await.unwrap();
        let now = house.read(&row).await;
        assert_eq!(now.as_ref().map(|now| now.observed), expected, "{desired:?}");
        let reason = now.and_then(|now| now.error_reason);
        assert_eq!(reason.is_some(), expected == Some(Observed::Ended), "{desired:?}: {reason:?}");
    }
}

#[tokio::test]
async fn one_that_ended_by_itself_and_was_to_go_when_it_stops_goes() {
    let house = House::new().await;
    let engine = house.engine().await;
    let ephemeral =
        Sandbox { intervals: Intervals { auto_delete: 0, ..Intervals::default() }, ..house.sandbox(1) };
    let row = crashed(&house, &engine, ephemeral).await;
    engine.wait(row.id, SOON).await.unwrap();
    eventually("it is gone", async || house.read(&row).await.is_none()).await;
    assert!(house.runner.is_empty());
}

#[tokio::test]
async fn an_end_that_was_asked_for_is_no_error_whoever_brings_it_about() {
    let house = House::new().await;
    let row = house.insert(Sandbox { desired: Desired::Stopped, ..ran(&house, 1) }).await;
    house.runner.put(row.id, Observed::Started, Network::default());
    // It was asked to stop under a former process of the server, and ended before the new one looked.
    house.runner.end(row.id, "its first process ended while no server was watching");
    let engine = house.engine().await;
    engine.wait(row.id, SOON).await.unwrap();
    let now = house.read(&row).await.unwrap();
    assert_eq!((now.observed, now.error_reason), (Observed::Stopped, None));
}

#[tokio::test]
async fn a_crash_of_one_changes_no_other() {
    let house = House::new().await;
    let engine = house.engine().await;
    let other = house.insert(house.sandbox(2)).await;
    let other = engine.settle(other, SOON).await.unwrap().unwrap();
    crashed(&house, &engine, house.sandbox(1)).await;
    engine.look(other.id).await.unwrap();
    assert_eq!(house.read(&other).await, Some(other));
}

#[tokio::test]
async fn what_was_started_and_was_then_not_to_run_any_more_is_found_after_a_crash() {
    let house = House::new().await;
    // The former process had started it and could not write so; meanwhile it was asked to stop.
    for (number, observed) in [(1, Observed::Stopped), (2, Observed::Ended)] {
        let row = house.insert(Sandbox { desired: Desired::Stopped, observed, ..ran(&house, number) }).await;
        house.runner.put(row.id, Observed::Started, Network::default());
        let engine = house.engine().await;
        engine.wait(row.id, SOON).await.unwrap();
        eventually("it does not run", async || house.runner.observed(row.id) == Observed::Stopped).await;
    }
}

#[tokio::test]
async fn what_was_released_and_was_then_to_start_comes_back_from_its_backup() {
    let house = House::new().await;
    let backup = Backup { state: BackupState::Completed, ..Backup::default() };
    let row = house.insert(Sandbox { observed: Observed::Stopped, backup, ..ran(&house, 1) }).await;
    house.runner.put_backup(row.id);
    let engine = house.engine().await;
    let now = engine.wait(row.id, SOON).await.unwrap().unwrap();
    assert_eq!(now.observed, Observed::Started);
    assert_eq!(house.runner.losses(), Vec::<String>::new());
    assert!(house.runner.take_calls().contains(&Call::Restore));
}

#[tokio::test]
async fn what_runs_after_all_is_stopped_before_its_files_are_brought_away() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = house
        .insert(Sandbox { desired: Desired::Stopped, observed: Observed::Stopped, ..ran(&house, 1) })
        .await;
    // A start that had taken too long came about.
    house.runner.put(row.id, Observed::Started, Network::default());
    let asked = house
        .store
        .sandbox_update_desired(Sandbox { desired: Desired::Archived, ..row })
        .await
        .unwrap()
        .unwrap();
    let now = engine.settle(asked, SOON).await.unwrap().unwrap();
    assert_eq!(now.observed, Observed::Archived);
    assert_eq!(house.runner.losses(), Vec::<String>::new());
}
