//! Failures of the runner: retried, told, contained, and never in the way of a delete.

use std::time::Duration;

use engine::Settings;
use engine::act::{Reaction, react};
use engine::plan::Step;
use engine::port::Class;
use testkit::Call;
use types::sandbox::{Desired, Network, Observed, Sandbox};

use crate::house::{House, SOON, eventually};

const CLASSES: [Class; 4] = [Class::Retry, Class::Reject, Class::Gone, Class::Bug];

#[test]
fn removal_is_never_given_up() {
    for class in CLASSES {
        assert!(matches!(react(&Step::Destroy, class), Reaction::Insist | Reaction::Done), "{class:?}");
    }
}

#[tokio::test]
async fn what_may_be_retried_is() {
    let house = House::new().await;
    house.runner.fail("create", &[Class::Retry]);
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    let now = engine.settle(row, SOON).await.unwrap().unwrap();
    assert_eq!((now.observed, now.error_reason), (Observed::Started, None));
    assert_eq!(house.runner.take_calls(), [Call::Create, Call::Create]);
}

#[tokio::test]
async fn what_cannot_be_retried_says_why_with_its_cause() {
    for class in [Class::Reject, Class::Bug] {
        let house = House::new().await;
        house.runner.fail("create", &[class]);
        let engine = house.engine().await;
        let row = house.insert(house.sandbox(1)).await;
        let now = engine.settle(row, SOON).await.unwrap().unwrap();
        assert_eq!(now.observed, Observed::Error);
        assert_eq!(now.error_reason.as_deref(), Some("create as the test said: a cause"));
        assert_eq!(house.runner.take_calls(), [Call::Create]);
    }
}

#[tokio::test]
async fn patience_ends() {
    let house = House::new().await;
    house.runner.fail("create", &[Class::Retry; 50]);
    let settings = Settings {
        give_up_after: Duration::from_millis(150),
        scan_period: Duration::from_hours(1),
        ..Settings::default()
    };
    let engine = house.engine_with(settings).await;
    let row = house.insert(house.sandbox(1)).await;
    let now = engine.settle(row, SOON).await.unwrap().unwrap();
    assert_eq!(now.observed, Observed::Error);
    assert!(house.runner.take_calls().len() < 5);
}

#[tokio::test]
async fn delete_works_from_error_and_however_it_fails() {
    let house = House::new().await;
    house.runner.fail("create", &[Class::Bug]);
    house.runner.fail("destroy", &[Class::Bug, Class::Reject]);
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    let failed = engine.settle(row, SOON).await.unwrap().unwrap();
    let going = Sandbox { desired: Desired::Destroyed, ..failed };
    let going = house.store.sandbox_update_desired(going).await.unwrap().unwrap();
    let now = engine.settle(going, SOON).await.unwrap().unwrap();
    assert_eq!(now.observed, Observed::Destroyed);
    assert_eq!(house.runner.take_calls(), [Call::Create, Call::Destroy, Call::Destroy, Call::Destroy]);
}

#[tokio::test]
async fn delete_does_not_wait_for_the_pause_of_a_failing_create() {
    let house = House::new().await;
    house.runner.fail("create", &[Class::Retry; 50]);
    let hour = Duration::from_hours(1);
    let engine =
        house.engine_with(Settings { first_pause: hour, scan_period: hour, ..Settings::default() }).await;
    let row = house.insert(house.sandbox(1)).await;
    engine.wake(row.id);
    eventually("a try", async || !house.runner.take_calls().is_empty()).await;
    let going = Sandbox { desired: Desired::Destroyed, ..row };
    let going = house.store.sandbox_update_desired(going).await.unwrap().unwrap();
    engine.settle(going.clone(), SOON).await.unwrap();
    assert_eq!(house.read(&going).await, None);
}

#[tokio::test]
async fn a_sandbox_whose_policy_cannot_be_set_does_not_run_on() {
    let house = House::new().await;
    house.runner.fail("set_network", &[Class::Bug]);
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    let now = engine.settle(row, SOON).await.unwrap().unwrap();
    let shut = Sandbox { network: Network::blocked(), ..now };
    let shut = house.store.sandbox_update_desired(shut).await.unwrap().unwrap();
    let now = engine.settle(shut, SOON).await.unwrap().unwrap();
    // It can be started once the fault is lifted: then the policy is in force before it runs.
    assert_eq!((now.desired, now.observed), (Desired::Stopped, Observed::Ended));
    assert!(now.error_reason.is_some());
    assert_eq!(house.runner.observed(now.id), Observed::Stopped);
}

#[tokio::test]
async fn a_start_that_fails_keeps_the_files_and_may_be_tried_again() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    let now = engine.settle(row, SOON).await.unwrap().unwrap();
    let stopped = house.store.sandbox_update_desired(Sandbox { desired: Desired::Stopped, ..now }).await;
    let stopped = engine.settle(stopped.unwrap().unwrap(), SOON).await.unwrap().unwrap();
    house.runner.fail("start", &[Class::Reject]);
    let started = Sandbox { desired: Desired::Started, ..stopped };
    let failed = house.store.sandbox_update_desired(started).await.unwrap().unwrap();
    let failed = engine.settle(failed, SOON).await.unwrap().unwrap();
    assert_eq!((failed.desired, failed.observed), (Desired::Stopped, Observed::Ended));
    assert_eq!((failed.reported(), failed.recoverable), ("error", true));
    assert!(failed.error_reason.is_some());
    let again = Sandbox { desired: Desired::Started, ..failed };
    let again = house.store.sandbox_update_desired(again).await.unwrap().unwrap();
    let again = engine.settle(again, SOON).await.unwrap().unwrap();
    assert_eq!((again.observed, again.error_reason), (Observed::Started, None));
}

#[tokio::test]
async fn what_is_gone_is_looked_at_and_not_made_afresh() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    let now = engine.settle(row, SOON).await.unwrap().unwrap();
    let stopped = Sandbox { desired: Desired::Stopped, ..now };
    let stopped = house.store.sandbox_update_desired(stopped).await.unwrap().unwrap();
    let stopped = engine.settle(stopped, SOON).await.unwrap().unwrap();
    house.runner.put(stopped.id, Observed::Absent, Network::default());
    let again = Sandbox { desired: Desired::Started, ..stopped };
    let again = house.store.sandbox_update_desired(again).await.unwrap().unwrap();
    let now = engine.settle(again, SOON).await.unwrap().unwrap();
    assert_eq!(now.observed, Observed::Error);
    assert_eq!(now.error_reason.as_deref(), Some("its files are gone from the host"));
}
