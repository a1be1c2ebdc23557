//! Steps that take too long, hosts that are full, and sandboxes that are recovered.

use std::time::{Duration, Instant};

use engine::port::Class;
use engine::seen::Seen;
use engine::{Deadlines, Settings};
use testkit::Call;
use types::Clock as _;
use types::sandbox::{Backup, BackupState, Desired, Network, Observed, Sandbox};

use crate::house::{House, SOON, eventually};

/// Much longer than the deadlines of these tests.
const STUCK: Duration = Duration::from_mins(10);
const SHORT: Duration = Duration::from_millis(40);

fn impatient() -> Settings {
    let deadlines = Deadlines {
        starting: SHORT,
        creating: SHORT,
        restoring: SHORT,
        snapshotting: SHORT,
        backing_up: SHORT,
        looking: SHORT,
        ..Deadlines::default()
    };
    Settings { deadlines, scan_period: Duration::from_hours(1), ..Settings::default() }
}

async fn ask(house: &House, engine: &engine::Engine, row: Sandbox) -> Option<Sandbox> {
    let written = house.store.sandbox_update_desired(row).await.unwrap().unwrap();
    engine.settle(written, SOON).await.unwrap()
}

fn told(row: &Sandbox) -> (&str, &str) {
    let cause = row.failure.as_ref().map(|failure| failure.cause.as_str());
    (row.error_reason.as_deref().unwrap_or_default(), cause.unwrap_or_default())
}

#[test]
fn the_times_are_the_contracts() {
    let Deadlines { starting, creating, restoring, snapshotting, .. } = Deadlines::default();
    assert_eq!([starting, creating, restoring, snapshotting], [5, 15, 30, 60].map(Duration::from_mins));
}

#[tokio::test]
async fn a_create_that_takes_too_long_ends_in_error_and_can_be_deleted() {
    let house = House::new().await;
    house.runner.delay("create", STUCK);
    let engine = house.engine_with(impatient()).await;
    let began = Instant::now();
    let row = house.settled(&engine, 1).await;
    assert_eq!((row.observed, row.recoverable), (Observed::Error, false));
    assert_eq!(told(&row), ("timeout while creating", "timeout"));
    assert_eq!(house.runner.take_calls(), [Call::Create], "it is not tried again");
    assert_eq!(
        ask(&house, &engine, Sandbox { desired: Desired::Destroyed, ..row }).await.map(|row| row.observed),
        Some(Observed::Destroyed)
    );
    assert!(began.elapsed() < STUCK / 10);
}

#[tokio::test]
async fn a_start_that_takes_too_long_keeps_its_files_and_is_recovered() {
    let house = House::new().await;
    let engine = house.engine_with(impatient()).await;
    let row = house.settled(&engine, 1).await;
    let row = ask(&house, &engine, Sandbox { desired: Desired::Stopped, ..row }).await.unwrap();
    house.runner.delay("start", STUCK);
    let row = ask(&house, &engine, Sandbox { desired: Desired::Started, ..row }).await.unwrap();
    assert_eq!((row.reported(), row.recoverable), ("error", true));
    assert_eq!(told(&row), ("timeout while starting", "timeout"));
    house.runner.heal();
    house.runner.take_calls();
    let wish = Sandbox { desired: Desired::Started, recovering: true, ..row };
    assert_eq!(wish.reported(), "restoring");
    let row = ask(&house, &engine, wish).await.unwrap();
    assert_eq!((row.observed, row.recovering, row.failure), (Observed::Started, false, None));
    assert_eq!(house.runner.take_calls(), [Call::Recover, Call::Start]);
}

#[tokio::test]
async fn what_hangs_even_when_it_is_looked_at_is_told_too() {
    let house = House::new().await;
    let engine = house.engine_with(impatient()).await;
    let row = house.settled(&engine, 1).await;
    let row = ask(&house, &engine, Sandbox { desired: Desired::Stopped, ..row }).await.unwrap();
    house.runner.delay("start", STUCK);
    house.runner.delay("observe", STUCK);
    let row = ask(&house, &engine, Sandbox { desired: Desired::Started, ..row }).await.unwrap();
    assert_eq!((row.observed, row.recoverable), (Observed::Error, true));
}

#[tokio::test]
async fn a_restore_that_takes_too_long_is_recovered_from_the_backup() {
    let house = House::new().await;
    let engine = house.engine_with(impatient()).await;
    let row = house.settled(&engine, 1).await;
    let row = ask(&house, &engine, Sandbox { desired: Desired::Archived, ..row }).await.unwrap();
    assert_eq!(row.observed, Observed::Archived);
    house.runner.delay("restore", STUCK);
    let row = ask(&house, &engine, Sandbox { desired: Desired::Started, ..row }).await.unwrap();
    assert_eq!((row.observed, row.recoverable), (Observed::Error, true));
    assert_eq!(told(&row), ("timeout while restoring", "timeout"));
    house.runner.heal();
    house.runner.take_calls();
    // Without a start, as `skipStart` asks.
    let row =
        ask(&house, &engine, Sandbox { desired: Desired::Stopped, recovering: true, ..row }).await.unwrap();
    assert_eq!((row.reported(), row.recoverable), ("stopped", false));
    assert_eq!(house.runner.take_calls(), [Call::Restore]);
    assert_eq!(house.runner.losses(), Vec::<String>::new());
}

#[tokio::test]
async fn an_archive_whose_backup_fails_stays_stopped_and_says_why() {
    let house = House::new().await;
    house.runner.fail("backup", &[Class::Reject]);
    let engine = house.engine().await;
    let row = house.settled(&engine, 1).await;
    let row = ask(&house, &engine, Sandbox { desired: Desired::Stopped, ..row }).await.unwrap();
    let row = ask(&house, &engine, Sandbox { desired: Desired::Archived, ..row }).await.unwrap();
    assert_eq!((row.reported(), row.backup.state.as_str()), ("stopped", "Error"));
    assert!(row.failure.is_some() && house.runner.observed(row.id) == Observed::Stopped);
    let row = ask(&house, &engine, Sandbox { desired: Desired::Archived, ..row }).await.unwrap();
    assert_eq!((row.reported(), row.failure), ("archived", None));
}

#[tokio::test]
async fn a_pause_and_a_resume_that_fail_leave_it_as_it_was() {
    let house = House::new().await;
    house.runner.fail("pause", &[Class::Bug]);
    let engine = house.engine().await;
    let row = house.settled(&engine, 1).await;
    let row = ask(&house, &engine, Sandbox { desired: Desired::Paused, ..row }).await.unwrap();
    assert_eq!((row.reported(), row.failure.is_some()), ("started", true));
    let row = ask(&house, &engine, Sandbox { desired: Desired::Paused, ..row }).await.unwrap();
    assert_eq!((row.reported(), row.failure.clone()), ("paused", None));
    house.runner.fail("resume", &[Class::Bug]);
    let row = ask(&house, &engine, Sandbox { desired: Desired::Started, ..row }).await.unwrap();
    assert_eq!((row.reported(), row.failure.is_some()), ("paused", true));
}

#[tokio::test]
async fn a_create_waits_for_room_as_long_as_it_was_asked_to_and_no_longer() {
    let house = House::new().await;
    house.runner.fail("create", &[Class::Retry; 500]);
    let settings = Settings {
        give_up_after: Duration::from_millis(1),
        first_pause: Duration::from_millis(2),
        scan_period: Duration::from_hours(1),
        ..Settings::default()
    };
    let engine = house.engine_with(settings).await;
    let row = house.insert(Sandbox { queue_timeout: Some(60), ..house.sandbox(1) }).await;
    engine.wake(row.id);
    house.clock.advance(Duration::from_secs(59));
    let tries = std::cell::Cell::new(0);
    eventually("three tries", async || {
        tries.set(tries.get() + house.runner.take_calls().len());
        tries.get() >= 3
    })
    .await;
    let waiting = house.read(&row).await.unwrap();
    assert_eq!((waiting.reported(), waiting.queue_timed_out_at), ("creating", None));
    house.clock.advance(Duration::from_secs(1));
    eventually("it is gone", async || house.store.sandbox_was_destroyed(row.id).await.unwrap()).await;
    let gone = house.read(&row).await.unwrap();
    assert_eq!((gone.reported(), gone.queue_timed_out_at), ("destroyed", Some(house.clock.now())));
    assert_eq!(told(&gone), ("create as the test said: a cause", "host-full"));
    assert!(gone.at_rest() && house.runner.is_empty());
    // It stays readable for a day.
    assert_eq!(
        house.store.sandbox_find(gone.organization_id, &gone.id.to_string()).await.unwrap(),
        Some(gone.clone())
    );
    let day = Duration::from_hours(24);
    house.clock.advance(day);
    let forgotten = house.clock.now() - day + Duration::from_millis(1);
    assert_eq!(house.store.sandbox_purge(forgotten).await.unwrap(), 1);
    assert_eq!(house.read(&gone).await, None);
}

#[tokio::test]
async fn room_that_comes_in_time_is_taken() {
    let house = House::new().await;
    house.runner.fail("create", &[Class::Retry; 3]);
    let engine = house.engine().await;
    let row = house.insert(Sandbox { queue_timeout: Some(60), ..house.sandbox(1) }).await;
    let row = engine.settle(row, SOON).await.unwrap().unwrap();
    assert_eq!((row.observed, row.queue_timed_out_at), (Observed::Started, None));
}

#[tokio::test]
async fn files_that_are_gone_come_back_from_a_completed_backup() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = house.settled(&engine, 1).await;
    let pending =
        types::sandbox::Backup { state: types::sandbox::BackupState::Pending, ..row.backup.clone() };
    let row = ask(&house, &engine, Sandbox { backup: pending, ..row }).await.unwrap();
    assert_eq!((row.backup.state.as_str(), row.backup.at), ("Completed", Some(house.clock.now())));
    house.runner.put(row.id, Observed::Absent, Network::default());
    engine.look(row.id).await.unwrap();
    let row = house.read(&row).await.unwrap();
    assert_eq!((row.observed, row.recoverable), (Observed::Error, true));
    assert_eq!(told(&row).1, "files-missing");
    let row =
        ask(&house, &engine, Sandbox { desired: Desired::Started, recovering: true, ..row }).await.unwrap();
    assert_eq!(row.observed, Observed::Started);
}

#[tokio::test]
async fn a_backup_of_what_ran_on_is_made_again_before_the_files_go() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = house.settled(&engine, 1).await;
    let pending =
        types::sandbox::Backup { state: types::sandbox::BackupState::Pending, ..row.backup.clone() };
    let row = ask(&house, &engine, Sandbox { backup: pending, ..row }).await.unwrap();
    assert_eq!(row.backup.state.as_str(), "Completed");
    let row = ask(&house, &engine, Sandbox { desired: Desired::Stopped, ..row }).await.unwrap();
    assert_eq!(row.backup.state.as_str(), "None");
    house.runner.take_calls();
    let row = ask(&house, &engine, Sandbox { desired: Desired::Archived, ..row }).await.unwrap();
    assert_eq!((row.reported(), row.backup.state.as_str()), ("archived", "Completed"));
    assert_eq!(house.runner.take_calls(), [Call::Observe, Call::Backup, Call::Release]);
    assert_eq!(house.runner.losses(), Vec::<String>::new());
}

#[tokio::test]
async fn a_backup_gives_way_to_what_does_not_wait() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = house.settled(&engine, 1).await;
    house.runner.delay("backup", STUCK);
    let wanted = Backup { state: BackupState::Pending, ..Backup::default() };
    let written =
        house.store.sandbox_update_desired(Sandbox { backup: wanted, ..row }).await.unwrap().unwrap();
    engine.wake_with(written.clone());
    let begun =
        async || house.read(&written).await.is_some_and(|row| row.backup.state == BackupState::InProgress);
    eventually("the backup is begun", begun).await;
    // The network is shut at once, and not after the copy.
    let row = house.read(&written).await.unwrap();
    let shut = Sandbox { network: Network::blocked(), ..row };
    engine.wake_with(house.store.sandbox_update_desired(shut).await.unwrap().unwrap());
    let is_shut = async || house.runner.network(written.id) == Some(Network::blocked());
    eventually("the network is shut", is_shut).await;
    // So is the sandbox removed.
    let gone = async || {
        let Some(row) = house.read(&written).await else { return true };
        if row.desired != Desired::Destroyed {
            let leaving = Sandbox { desired: Desired::Destroyed, ..row };
            if let Some(written) = house.store.sandbox_update_desired(leaving).await.unwrap() {
                engine.wake_with(written);
            }
        }
        false
    };
    eventually("the sandbox is gone", gone).await;
    assert!(house.runner.is_empty());
}

#[test]
fn a_backup_of_before_it_ran_is_not_what_a_failed_sandbox_is_repaired_from() {
    let at = testkit::TestClock::default().now();
    let row =
        testkit::sample::sandbox(types::SandboxId::from_u128(1), types::OrganizationId::from_u128(2), at);
    let backup = Backup { state: BackupState::Completed, ..Backup::default() };
    let running = Sandbox { observed: Observed::Started, backup, ..row };
    let failed = |files| Seen::Failed { reason: String::new(), recoverable: true, files };
    assert_eq!(failed(true).apply(running.clone(), at).backup.state, BackupState::None);
    assert_eq!(failed(false).apply(running, at).backup.state, BackupState::Completed, "it is all there is");
}
