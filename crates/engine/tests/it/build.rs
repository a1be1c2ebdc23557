//! Images: made once, whatever is cut off, and let go when nobody needs them.

use std::time::Duration;

use engine::port::Class;
use engine::{Deadlines, Engine, Settings};
use testkit::Call;
use types::build::{Build, BuildState, Recipe};
use types::sandbox::{Desired, Observed, Preparation, Sandbox};
use types::snapshot::{SavedSnapshot, SnapshotState};
use types::{BuildId, Clock as _, OrganizationId, SnapshotId};

use crate::house::{House, SOON, eventually};

const TENANT: OrganizationId = OrganizationId::from_u128(1);
const ID: BuildId = BuildId::from_u128(1);
const SNAPSHOT: SnapshotId = SnapshotId::from_u128(2);
const HOUR: Duration = Duration::from_hours(1);

fn pull() -> Recipe {
    Recipe::Pull { reference: "a:1".to_owned() }
}

fn dockerfile() -> Recipe {
    Recipe::Dockerfile { text: "FROM a:1\n".to_owned(), contexts: Vec::new() }
}

/// Asks for an image as the API does.
async fn want(house: &House, recipe: Recipe) -> Build {
    let draft = Build::new(ID, TENANT, "key".to_owned(), recipe, house.clock.now());
    house.store.build_want(&draft).await.unwrap()
}

async fn snapshot(house: &House, build: &Build) -> SavedSnapshot {
    let snapshot = SavedSnapshot {
        build_id: Some(build.id),
        image: Build::image_of(build.id),
        ..SavedSnapshot::new(SNAPSHOT, Some(TENANT), "own".to_owned(), house.clock.now())
    };
    house.store.snapshot_insert(&snapshot).await.unwrap();
    snapshot
}

async fn state(house: &House) -> Option<SnapshotState> {
    house.store.snapshot_get(SNAPSHOT).await.unwrap().map(|snapshot| snapshot.state)
}

async fn build_state(house: &House) -> Option<BuildState> {
    house.store.build_get(ID).await.unwrap().map(|build| build.state)
}

async fn becomes(house: &House, wanted: SnapshotState) {
    eventually(wanted.as_str(), async || state(house).await == Some(wanted)).await;
}

fn often() -> Settings {
    Settings {
        scan_period: Duration::from_millis(10),
        purge_period: Duration::from_millis(10),
        ..Settings::default()
    }
}

async fn end(engine: &Engine) {
    assert!(engine.shutdown(SOON).await);
}

#[tokio::test]
async fn a_pull_that_was_cut_off_goes_on_with_the_next_server() {
    for recipe in [pull(), dockerfile()] {
        let house = House::new().await;
        let build = want(&house, recipe).await;
        snapshot(&house, &build).await;
        house.runner.delay("prepare", HOUR);
        let engine = house.engine().await;
        let under_way =
            if build.recipe.is_built() { SnapshotState::Building } else { SnapshotState::Pulling };
        becomes(&house, under_way).await;
        end(&engine).await;
        assert_eq!(
            (state(&house).await, build_state(&house).await),
            (Some(under_way), Some(BuildState::Running))
        );
        assert!(!house.runner.has_image(&Build::image_of(ID)));
        house.runner.heal();
        let _next = house.engine().await;
        becomes(&house, SnapshotState::Active).await;
        assert!(house.runner.has_image(&Build::image_of(ID)));
    }
}

#[tokio::test]
async fn a_snapshot_whose_build_ended_without_a_word_to_it_hears_of_it() {
    let house = House::new().await;
    let build = want(&house, pull()).await;
    snapshot(&house, &build).await;
    let engine = house.engine().await;
    becomes(&house, SnapshotState::Active).await;
    end(&engine).await;
    // As after a crash between the two writes.
    let active = house.store.snapshot_get(SNAPSHOT).await.unwrap().unwrap();
    let pulling = SavedSnapshot { state: SnapshotState::Pulling, ..active };
    house.store.snapshot_update(pulling).await.unwrap().unwrap();
    house.runner.take_calls();
    let _next = house.engine().await;
    becomes(&house, SnapshotState::Active).await;
    assert_eq!(house.runner.take_calls(), []);
}

#[tokio::test]
async fn an_image_that_is_gone_from_the_host_is_made_again() {
    let house = House::new().await;
    let build = want(&house, dockerfile()).await;
    snapshot(&house, &build).await;
    let engine = house.engine().await;
    becomes(&house, SnapshotState::Active).await;
    end(&engine).await;
    house.runner.lose_image(&Build::image_of(ID));
    house.runner.take_calls();
    let _next = house.engine().await;
    eventually("the image is back", async || house.runner.has_image(&Build::image_of(ID))).await;
    becomes(&house, SnapshotState::Active).await;
    assert_eq!(house.runner.take_calls(), [Call::Prepare]);
}

#[tokio::test]
async fn a_snapshot_that_was_removed_in_the_middle_takes_everything_with_it() {
    let house = House::new().await;
    let build = want(&house, pull()).await;
    let pending = snapshot(&house, &build).await;
    // The server ended right after the request had written this.
    let leaving = SavedSnapshot { state: SnapshotState::Removing, ..pending };
    house.store.snapshot_update(leaving).await.unwrap().unwrap();
    house.clock.advance(Duration::from_mins(2));
    let _engine = house.engine_with(often()).await;
    eventually("both rows are gone", async || {
        state(&house).await.is_none() && build_state(&house).await.is_none()
    })
    .await;
    assert!(!house.runner.has_image(&Build::image_of(ID)));
}

#[tokio::test]
async fn an_image_that_was_asked_for_by_a_request_that_died_is_let_go() {
    let house = House::new().await;
    want(&house, dockerfile()).await;
    let _engine = house.engine_with(often()).await;
    eventually("it rests", async || build_state(&house).await == Some(BuildState::Idle)).await;
    house.clock.advance(Duration::from_mins(2));
    eventually("it is forgotten", async || build_state(&house).await.is_none()).await;
    assert!(!house.runner.take_calls().contains(&Call::Prepare));
}

#[tokio::test]
async fn what_takes_too_long_fails() {
    let house = House::new().await;
    let build = want(&house, dockerfile()).await;
    snapshot(&house, &build).await;
    house.runner.delay("prepare", HOUR);
    let deadlines = Deadlines { building: Duration::from_millis(10), ..Deadlines::default() };
    let _engine = house.engine_with(Settings { deadlines, ..often() }).await;
    becomes(&house, SnapshotState::BuildFailed).await;
    let failed = house.store.snapshot_get(SNAPSHOT).await.unwrap().unwrap();
    assert_eq!(failed.error_reason.as_deref(), Some("timeout while building the image"));
}

#[tokio::test]
async fn an_image_that_is_too_large_is_refused_and_goes() {
    let house = House::new().await;
    let build = want(&house, pull()).await;
    snapshot(&house, &build).await;
    house.runner.set_image_bytes(3 << 30);
    let settings = Settings { largest_image_bytes: Some(2 << 30), ..often() };
    let _engine = house.engine_with(settings).await;
    becomes(&house, SnapshotState::Error).await;
    let failed = house.store.snapshot_get(SNAPSHOT).await.unwrap().unwrap();
    let words = "Snapshot size 3 GiB exceeds the maximum allowed snapshot size (2 GiB)";
    assert_eq!(failed.error_reason.as_deref(), Some(words));
    eventually("it is gone", async || !house.runner.has_image(&Build::image_of(ID))).await;
}

#[tokio::test]
async fn what_nobody_used_is_put_out_of_use_and_its_image_goes() {
    let house = House::new().await;
    let build = want(&house, pull()).await;
    snapshot(&house, &build).await;
    let settings = Settings { unused_after: Some(HOUR), ..often() };
    let _engine = house.engine_with(settings).await;
    becomes(&house, SnapshotState::Active).await;
    house.clock.advance(HOUR / 2);
    house.store.snapshot_touch(SNAPSHOT, house.clock.now()).await.unwrap();
    house.clock.advance(HOUR / 2 + Duration::from_secs(1));
    // Whatever the loop does meanwhile, it was used half an hour ago.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(state(&house).await, Some(SnapshotState::Active));
    house.clock.advance(HOUR);
    becomes(&house, SnapshotState::Inactive).await;
    eventually("the image goes", async || build_state(&house).await == Some(BuildState::Idle)).await;
    assert!(!house.runner.has_image(&Build::image_of(ID)));
}

#[tokio::test]
async fn a_sandbox_that_waits_for_its_image_goes_on_with_the_next_server() {
    let house = House::new().await;
    let build = want(&house, dockerfile()).await;
    let preparation = Some(Preparation { build_id: build.id, state: BuildState::Pending });
    let row = Sandbox { preparation, image: Build::image_of(ID), ..house.sandbox(1) };
    assert_eq!(row.reported(), "pending_build");
    let row = house.insert(row).await;
    house.runner.delay("prepare", HOUR);
    let engine = house.engine().await;
    eventually("it is building", async || {
        house.read(&row).await.is_some_and(|row| row.reported() == "building_snapshot")
    })
    .await;
    end(&engine).await;
    house.runner.heal();
    let next = house.engine().await;
    let started = next.wait(row.id, SOON).await.unwrap().unwrap();
    assert_eq!((started.observed, started.reported()), (Observed::Started, "started"));
    let prepared = started.preparation.map(|preparation| preparation.state);
    assert_eq!(prepared, Some(BuildState::Done));
}

#[tokio::test]
async fn a_sandbox_whose_image_cannot_be_made_says_so_and_can_be_deleted() {
    let house = House::new().await;
    let build = want(&house, dockerfile()).await;
    let preparation = Some(Preparation { build_id: build.id, state: BuildState::Pending });
    let row = house.insert(Sandbox { preparation, image: Build::image_of(ID), ..house.sandbox(1) }).await;
    house.runner.fail("prepare", &[Class::Reject]);
    let engine = house.engine().await;
    let failed = engine.wait(row.id, SOON).await.unwrap().unwrap();
    assert_eq!((failed.observed, failed.reported()), (Observed::Error, "build_failed"));
    assert_eq!(failed.error_reason.as_deref(), Some("prepare as the test said: a cause"));
    let going = Sandbox { desired: Desired::Destroyed, ..failed };
    assert_eq!(going.reported(), "destroying");
    let going = house.store.sandbox_update_desired(going).await.unwrap().unwrap();
    engine.settle(going, SOON).await.unwrap();
    assert_eq!(house.read(&row).await, None);
    assert!(!house.runner.take_calls().contains(&Call::Create));
}
