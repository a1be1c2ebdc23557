//! Waiting for rest, permits, and the shutdown.

use std::time::{Duration, Instant};

use engine::Settings;
use types::sandbox::{Desired, Observed, Sandbox};

use crate::house::{House, SOON, eventually};

#[tokio::test]
async fn a_wait_ends_at_its_deadline_with_the_row_as_it_is() {
    let house = House::new().await;
    house.runner.delay("create", Duration::from_mins(10));
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    let now = engine.settle(row.clone(), Duration::from_millis(20)).await.unwrap().unwrap();
    assert_eq!(now, row);
}

#[tokio::test]
async fn a_wait_for_what_rests_does_not_wait() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    engine.settle(row.clone(), SOON).await.unwrap();
    let began = Instant::now();
    engine.wait(row.id, SOON).await.unwrap().unwrap();
    assert!(began.elapsed() < SOON / 2);
}

#[tokio::test]
async fn only_so_many_are_made_at_once() {
    let house = House::new().await;
    house.runner.delay("create", Duration::from_millis(40));
    let engine = house.engine_with(Settings { concurrent_starts: 2, ..Settings::default() }).await;
    let began = Instant::now();
    for number in 1..=8 {
        let row = house.insert(house.sandbox(number)).await;
        engine.wake(row.id);
    }
    eventually("all are made", async || house.runner.len() == 8).await;
    assert!(began.elapsed() >= Duration::from_millis(4 * 40), "{:?}", began.elapsed());
}

#[tokio::test]
async fn slow_creations_do_not_hold_up_removals() {
    let house = House::new().await;
    house.runner.delay("create", Duration::from_mins(1));
    let engine = house.engine_with(Settings { concurrent_starts: 1, ..Settings::default() }).await;
    let slow = house.insert(house.sandbox(1)).await;
    engine.wake(slow.id);
    let going = Sandbox { desired: Desired::Destroyed, observed: Observed::Stopped, ..house.sandbox(2) };
    let going = house.insert(going).await;
    engine.settle(going.clone(), SOON).await.unwrap();
    assert_eq!(house.read(&going).await, None);
}

#[tokio::test]
async fn a_shutdown_lets_the_step_under_way_end_and_takes_no_more() {
    let house = House::new().await;
    house.runner.delay("create", Duration::from_millis(100));
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    engine.wake(row.id);
    eventually("the step began", async || !house.runner.take_calls().is_empty()).await;
    assert!(engine.shutdown(SOON).await);
    assert_eq!(house.read(&row).await.map(|now| now.observed), Some(Observed::Started));
    let late = house.insert(house.sandbox(2)).await;
    engine.wake(late.id);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(house.runner.len(), 1);
}
