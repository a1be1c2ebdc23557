//! What changes by itself: a clock is moved, and nothing sleeps for minutes.

use std::time::Duration;

use engine::due::{Due, due, next};
use engine::{KeepAwake, Settings};
use testkit::{Call, TestClock, sample};
use types::sandbox::{Backup, BackupState, Desired, Intervals, Observed, Sandbox};
use types::work::{Work, WorkingProcess};
use types::{Clock as _, OrganizationId, SandboxId, SnapshotId, Timestamp};

use crate::house::{House, SOON, eventually};

const MINUTE: Duration = Duration::from_mins(1);

fn clocked() -> Settings {
    Settings {
        timer_period: Duration::from_millis(5),
        scan_period: Duration::from_hours(1),
        ..Settings::default()
    }
}

fn sandbox(desired: Desired, observed: Observed, intervals: Intervals) -> Sandbox {
    let now = TestClock::default().now();
    let row = sample::sandbox(SandboxId::from_u128(1), OrganizationId::from_u128(1), now);
    let (network_applied, resources_applied) = (Some(row.network.clone()), Some(row.resources));
    Sandbox { desired, observed, intervals, network_applied, resources_applied, ..row }
}

fn after(row: &Sandbox, minutes: u64) -> Timestamp {
    row.last_activity_at + Duration::from_mins(minutes)
}

#[test]
fn each_interval_has_its_minute_and_not_one_before() {
    use Desired as D;
    use Observed as O;
    let never = Intervals { auto_stop: 0, auto_pause: 0, auto_archive: 10_080, auto_delete: -1 };
    let table = [
        (D::Started, O::Started, Intervals { auto_stop: 15, ..never }, 15, Some(Due::Stop)),
        (
            D::Started,
            O::Started,
            Intervals { auto_stop: 15, auto_delete: 0, ..never },
            15,
            Some(Due::Destroy),
        ),
        (D::Started, O::Started, Intervals { auto_pause: 5, ..never }, 5, Some(Due::Pause)),
        (D::Started, O::Started, Intervals { auto_pause: 5, auto_stop: 60, ..never }, 5, Some(Due::Pause)),
        (D::Started, O::Started, Intervals { auto_pause: 60, auto_stop: 60, ..never }, 60, Some(Due::Stop)),
        (D::Started, O::Started, never, 1_000_000, None),
        (D::Stopped, O::Stopped, never, 10_080, Some(Due::Archive)),
        (D::Stopped, O::Ended, never, 10_080, Some(Due::Archive)),
        (D::Stopped, O::Stopped, Intervals { auto_archive: 0, ..never }, 43_200, Some(Due::Archive)),
        (D::Stopped, O::Stopped, Intervals { auto_delete: 30, ..never }, 30, Some(Due::Destroy)),
        (
            D::Stopped,
            O::Stopped,
            Intervals { auto_delete: 30, auto_archive: 20, ..never },
            20,
            Some(Due::Archive),
        ),
        (D::Paused, O::Stopped, Intervals { auto_delete: 30, ..never }, 30, Some(Due::Destroy)),
        (D::Paused, O::Paused, Intervals { auto_stop: 15, auto_delete: 30, ..never }, 1_000_000, None),
        (D::Archived, O::Archived, Intervals { auto_delete: 30, ..never }, 1_000_000, None),
        (D::Stopped, O::Started, Intervals { auto_stop: 15, ..never }, 1_000_000, None),
        (D::Stopped, O::Error, Intervals { auto_delete: 30, ..never }, 1_000_000, None),
        (D::Destroyed, O::Started, Intervals { auto_stop: 15, ..never }, 1_000_000, None),
    ];
    for (desired, observed, intervals, minutes, expected) in table {
        let row = sandbox(desired, observed, intervals);
        let case = format!("{desired:?} {observed:?} {intervals:?}");
        assert_eq!(due(&row, after(&row, minutes), false), expected, "{case}");
        assert_eq!(due(&row, after(&row, minutes) - Duration::from_millis(1), false), None, "{case}");
    }
}

#[test]
fn an_ephemeral_one_goes_as_soon_as_it_is_stopped_and_a_long_forgotten_one_is_not_archived_first() {
    let row =
        sandbox(Desired::Stopped, Observed::Stopped, Intervals { auto_delete: 0, ..Intervals::default() });
    assert_eq!(due(&row, row.last_activity_at, false), Some(Due::Destroy));
    let intervals = Intervals { auto_archive: 20, auto_delete: 30, ..Intervals::default() };
    let row = sandbox(Desired::Stopped, Observed::Stopped, intervals);
    assert_eq!(due(&row, after(&row, 60), false), Some(Due::Destroy));
}

#[test]
fn a_time_to_live_ends_in_every_state_and_work_puts_off_idleness_alone() {
    for desired in Desired::ALL {
        for observed in Observed::ALL {
            let mut row = sandbox(desired, observed, Intervals::default());
            row.destroy_at = Some(after(&row, 1));
            let is_there = desired != Desired::Destroyed && observed != Observed::Destroyed;
            let expected = is_there.then_some(Due::Destroy);
            assert_eq!(due(&row, after(&row, 1), true), expected, "{desired:?} {observed:?}");
        }
    }
    let row = sandbox(Desired::Started, Observed::Started, Intervals::default());
    assert_eq!(due(&row, after(&row, 15), true), Some(Due::Touch));
    let row = sandbox(Desired::Stopped, Observed::Stopped, Intervals::default());
    assert_eq!(due(&row, after(&row, 10_080), true), Some(Due::Archive));
}

#[test]
fn what_is_copied_is_left_alone_and_a_failed_backup_for_six_hours() {
    let row = sandbox(Desired::Started, Observed::Started, Intervals::default());
    let copied = Sandbox { capture: Some(SnapshotId::from_u128(1)), ..row };
    assert_eq!(next(&copied), None);
    let mut row = sandbox(Desired::Stopped, Observed::Stopped, Intervals::default());
    row.backup = Backup { state: BackupState::Error, ..Backup::default() };
    row.updated_at = after(&row, 10_080);
    assert_eq!(due(&row, after(&row, 10_080 + 359), false), None);
    assert_eq!(due(&row, after(&row, 10_080 + 360), false), Some(Due::Archive));
}

/// Brings a sandbox with these intervals to run.
async fn started(
    house: &House,
    engine: &engine::Engine,
    number: u128,
    change: impl FnOnce(&mut Sandbox),
) -> Sandbox {
    let mut row = house.sandbox(number);
    change(&mut row);
    let row = house.insert(row).await;
    let row = engine.settle(row, SOON).await.unwrap().unwrap();
    assert_eq!(row.observed, Observed::Started);
    row
}

async fn becomes(house: &House, row: &Sandbox, observed: Observed) {
    eventually(observed.as_str(), async || {
        house.read(row).await.is_some_and(|now| now.observed == observed && now.at_rest())
    })
    .await;
}

/// Waits until the timers have looked at least twice.
async fn some_looks() {
    tokio::time::sleep(Duration::from_millis(60)).await;
}

#[tokio::test]
async fn a_whole_life_goes_by_without_a_request() {
    let house = House::new().await;
    let engine = house.engine_with(clocked()).await;
    let row = started(&house, &engine, 1, |row| {
        row.intervals = Intervals { auto_stop: 15, auto_archive: 60, ..Intervals::default() };
    })
    .await;
    house.clock.advance(14 * MINUTE);
    some_looks().await;
    assert_eq!(house.read(&row).await, Some(row.clone()), "a minute early");
    house.clock.advance(MINUTE);
    becomes(&house, &row, Observed::Stopped).await;
    let stopped = house.read(&row).await.unwrap();
    assert_eq!((stopped.desired, stopped.last_activity_at), (Desired::Stopped, house.clock.now()));
    house.clock.advance(60 * MINUTE);
    becomes(&house, &row, Observed::Archived).await;
    assert!(house.runner.is_empty() && house.runner.has_backup(row.id));
    assert_eq!(house.runner.losses(), Vec::<String>::new());
}

#[tokio::test]
async fn idleness_pauses_and_deletes_where_that_was_asked_for() {
    let house = House::new().await;
    let engine = house.engine_with(clocked()).await;
    let paused = started(&house, &engine, 1, |row| {
        row.intervals = Intervals { auto_stop: 0, auto_pause: 5, ..Intervals::default() };
    })
    .await;
    let ephemeral = started(&house, &engine, 2, |row| row.intervals.auto_delete = 0).await;
    let forgotten = started(&house, &engine, 3, |row| row.intervals.auto_delete = 30).await;
    let mortal = started(&house, &engine, 4, |row| {
        row.intervals.auto_stop = 0;
        row.destroy_at = Some(after(row, 20));
    })
    .await;
    house.clock.advance(5 * MINUTE);
    becomes(&house, &paused, Observed::Paused).await;
    house.clock.advance(10 * MINUTE);
    eventually("the ephemeral one is gone", async || house.read(&ephemeral).await.is_none()).await;
    becomes(&house, &forgotten, Observed::Stopped).await;
    house.clock.advance(5 * MINUTE);
    eventually("the mortal one is gone", async || house.read(&mortal).await.is_none()).await;
    house.clock.advance(25 * MINUTE);
    eventually("the forgotten one is gone", async || house.read(&forgotten).await.is_none()).await;
    assert_eq!(house.runner.len(), 1, "the paused one");
}

#[tokio::test]
async fn what_is_used_stays_and_so_it_does_when_it_was_used_just_now() {
    let house = House::new().await;
    let engine = house.engine_with(clocked()).await;
    let row = started(&house, &engine, 1, |_| ()).await;
    house.clock.advance(14 * MINUTE);
    house.store.sandbox_touch(row.id, house.clock.now()).await.unwrap();
    house.clock.advance(14 * MINUTE);
    some_looks().await;
    let used = house.read(&row).await.unwrap();
    assert_eq!((used.desired, used.observed), (Desired::Started, Observed::Started));
    // The timer read it before it was used: its write finds another mark, though not another generation.
    assert_eq!(row.generation, used.generation);
    assert_eq!(house.store.sandbox_expire(row, Desired::Stopped, house.clock.now()).await.unwrap(), None);
    assert_eq!(house.read(&used).await, Some(used));
}

#[tokio::test]
async fn timers_outlive_the_server() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = started(&house, &engine, 1, |_| ()).await;
    assert!(engine.shutdown(SOON).await);
    house.clock.advance(15 * MINUTE);
    let _engine = house.engine_with(clocked()).await;
    becomes(&house, &row, Observed::Stopped).await;
}

#[tokio::test]
async fn an_owner_takes_its_followers_with_it_when_its_time_is_over() {
    let house = House::new().await;
    let engine = house.engine_with(clocked()).await;
    let owner = started(&house, &engine, 1, |row| row.destroy_at = Some(after(row, 10))).await;
    let follower = started(&house, &engine, 2, |row| {
        row.linked_id = Some(owner.id);
        row.intervals = Intervals { auto_stop: 0, auto_delete: 0, ..Intervals::default() };
    })
    .await;
    house.clock.advance(10 * MINUTE);
    for row in [owner, follower] {
        eventually("it is gone", async || house.read(&row).await.is_none()).await;
    }
    assert!(house.runner.is_empty());
}

fn busy(cpu_milliseconds: u64, connections: u32) -> Work {
    let process = WorkingProcess { pid: 812, command: "npm test".to_owned(), cpu_milliseconds };
    Work { processes: vec![process], connections }
}

/// Moves the time in steps between which the timers look, while a process uses so much of a processor.
async fn work_for(house: &House, row: &Sandbox, minutes: u64, percent: u64) {
    let used = std::cell::Cell::new(1_000_000 * minutes);
    for _ in 0..minutes * 2 {
        used.set(used.get() + 30_000 * percent / 100);
        house.runner.set_work(row.id, busy(used.get(), 0));
        house.clock.advance(Duration::from_secs(30));
        some_looks().await;
    }
}

#[tokio::test]
async fn running_work_keeps_a_sandbox_awake_where_that_was_asked_for_and_idle_processes_do_not() {
    let house = House::new().await;
    let engine = house.engine_with(clocked()).await;
    let awake = started(&house, &engine, 1, |row| {
        row.labels.insert("daytona.io/keep-awake".to_owned(), "work".to_owned());
        row.intervals.auto_stop = 2;
    })
    .await;
    let not_asked = started(&house, &engine, 2, |row| row.intervals.auto_stop = 2).await;
    house.runner.set_work(not_asked.id, busy(1, 1));
    work_for(&house, &awake, 5, 50).await;
    let now = house.read(&awake).await.unwrap();
    assert_eq!((now.desired, now.observed), (Desired::Started, Observed::Started));
    assert!(now.last_activity_at > awake.last_activity_at, "its work counts as activity");
    becomes(&house, &not_asked, Observed::Stopped).await;
    work_for(&house, &awake, 4, 1).await;
    becomes(&house, &awake, Observed::Stopped).await;
}

#[tokio::test]
async fn connections_keep_awake_by_the_servers_default_unless_a_label_says_never() {
    let house = House::new().await;
    let keep_awake = KeepAwake { work: false, connections: true };
    let engine = house.engine_with(Settings { keep_awake, ..clocked() }).await;
    let connected = started(&house, &engine, 1, |_| ()).await;
    let never = started(&house, &engine, 2, |row| {
        row.labels.insert("daytona.io/keep-awake".to_owned(), "never".to_owned());
    })
    .await;
    for row in [&connected, &never] {
        house.runner.set_work(row.id, busy(0, 1));
    }
    house.clock.advance(15 * MINUTE);
    becomes(&house, &never, Observed::Stopped).await;
    eventually("it was touched", async || {
        house.read(&connected).await.is_some_and(|now| now.last_activity_at == house.clock.now())
    })
    .await;
    house.runner.set_work(connected.id, busy(0, 0));
    house.clock.advance(15 * MINUTE);
    becomes(&house, &connected, Observed::Stopped).await;
}

#[tokio::test]
async fn a_sandbox_says_why_it_is_awake() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = started(&house, &engine, 1, |row| {
        row.labels.insert("daytona.io/keep-awake".to_owned(), "work".to_owned());
    })
    .await;
    house.clock.advance(Duration::from_secs(12));
    let told = engine.awake(&row).await;
    let until = after(&row, 15);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0].reason, told[0].detail.as_str()),
        ("used", format!("last used 12 s ago; stops at {until}").as_str())
    );
    house.clock.advance(Duration::from_secs(10));
    house.runner.set_work(row.id, busy(300, 0));
    let told = engine.awake(&row).await;
    assert_eq!(told[1].detail, "pid 812 `npm test` used 3 % of a processor");
    let always = Sandbox { intervals: Intervals { auto_stop: 0, ..row.intervals }, ..row.clone() };
    assert_eq!(engine.awake(&always).await[0].reason, "auto-stop-off");
    let stopped = Sandbox { desired: Desired::Stopped, observed: Observed::Stopped, ..row };
    house.runner.take_calls();
    assert_eq!(engine.awake(&stopped).await, []);
    assert_eq!(house.runner.take_calls(), Vec::<Call>::new(), "what does not run is not looked at");
}
