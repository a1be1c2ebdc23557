//! From every pair of asked and seen, whatever the host really has, the engine comes to rest and the host agrees.

use std::time::Duration;

use engine::Settings;
use testkit::Call;
use types::resource::Resources;
use types::sandbox::{Backup, BackupState, Desired, Network, Observed, Sandbox};

use crate::house::{House, SOON, eventually};

fn shut() -> Network {
    Network::blocked()
}

#[tokio::test]
async fn from_everywhere_to_rest() {
    let house = House::new().await;
    let engine = house.engine().await;
    let mut number = 0;
    for desired in Desired::ALL {
        for observed in Observed::ALL {
            for host in [Observed::Absent, Observed::Stopped, Observed::Started, Observed::Paused] {
                if observed == Observed::Destroyed {
                    continue;
                }
                number += 1;
                let row = Sandbox { desired, observed, network: shut(), ..house.sandbox(number) };
                let state = match observed {
                    Observed::Archived => BackupState::Completed,
                    _ => BackupState::None,
                };
                let row = Sandbox { backup: Backup { state, ..Backup::default() }, ..row };
                let row = house.insert(row).await;
                house.runner.put(row.id, host, Network::default());
                if observed == Observed::Archived {
                    house.runner.put_backup(row.id);
                }
                engine.wake(row.id);
                engine.wait(row.id, SOON).await.unwrap();
                let case = format!("{desired:?} {observed:?} {host:?}");
                let Some(now) = house.read(&row).await else {
                    assert_eq!(desired, Desired::Destroyed, "{case}");
                    assert_eq!(house.runner.observed(row.id), Observed::Absent, "{case}");
                    continue;
                };
                assert!(now.at_rest(), "{case}: {now:?}");
                if now.observed == Observed::Error {
                    assert_eq!(observed, Observed::Error, "{case}: {now:?}");
                    continue;
                }
                // A lie in the row about what runs is the liveness loop's to find, not the plan's.
                let lies = [
                    Observed::Started,
                    Observed::Stopped,
                    Observed::Ended,
                    Observed::Paused,
                    Observed::Archived,
                ];
                if !lies.contains(&observed) {
                    let on_host = match now.observed {
                        Observed::Archived => Observed::Absent,
                        other => other,
                    };
                    assert_eq!(house.runner.observed(row.id), on_host, "{case}");
                }
                if now.observed == Observed::Started && house.runner.observed(row.id) == Observed::Started {
                    assert_eq!(house.runner.network(row.id), Some(shut()), "{case}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_whole_life_is_one_call_each() {
    let house = House::new().await;
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    let now = engine.settle(row, SOON).await.unwrap().unwrap();
    assert_eq!((now.observed, now.network_applied.clone()), (Observed::Started, Some(Network::default())));
    assert_eq!(now.daemon_version.as_deref(), Some("0.0.0-fake"));
    assert_eq!(house.runner.take_calls(), [Call::Create]);

    let steps = [(Sandbox { network: shut(), ..now }, vec![Call::SetNetwork])];
    let now = change(&house, &engine, steps).await;
    let resources = Resources { cpu: 2, ..now.resources };
    let steps = [(Sandbox { resources, ..now }, vec![Call::Resize])];
    let mut now = change(&house, &engine, steps).await;
    assert_eq!(now.resources_applied, Some(resources));
    for (desired, stop_forced, calls) in [
        (Desired::Stopped, true, vec![Call::Stop { force: true }]),
        (Desired::Started, false, vec![Call::Start]),
        (Desired::Paused, false, vec![Call::Pause]),
        (Desired::Started, false, vec![Call::Resume]),
        (Desired::Paused, false, vec![Call::Pause]),
        (Desired::Stopped, false, vec![Call::Stop { force: false }]),
        (Desired::Archived, false, vec![Call::Observe, Call::Backup, Call::Release]),
        (Desired::Started, false, vec![Call::Restore, Call::Observe, Call::Start]),
        (Desired::Destroyed, false, vec![Call::Destroy]),
    ] {
        let asked = Sandbox { desired, stop_forced, ..now };
        now = change(&house, &engine, [(asked, calls)]).await;
        house.clock.advance(Duration::from_secs(1));
        assert!(now.at_rest(), "{now:?}");
    }
    assert_eq!(house.runner.losses(), Vec::<String>::new());
    assert_eq!(now.observed, Observed::Destroyed);
    assert!(house.runner.is_empty());
    assert_eq!(house.read(&now).await, None);
}

async fn change(house: &House, engine: &engine::Engine, steps: [(Sandbox, Vec<Call>); 1]) -> Sandbox {
    let [(asked, calls)] = steps;
    let written = house.store.sandbox_update_desired(asked).await.unwrap().unwrap();
    let now = engine.settle(written, SOON).await.unwrap().unwrap();
    assert_eq!(house.runner.take_calls(), calls);
    now
}

#[tokio::test]
async fn many_wakes_are_one_step_at_a_time() {
    let house = House::new().await;
    house.runner.delay("create", Duration::from_millis(30));
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    for _ in 0..100 {
        engine.wake(row.id);
        engine.wake_with(row.clone());
    }
    let now = engine.wait(row.id, SOON).await.unwrap().unwrap();
    assert_eq!(now.observed, Observed::Started);
    assert_eq!(house.runner.take_calls(), [Call::Create]);
}

#[tokio::test]
async fn what_a_request_writes_during_a_step_survives_it() {
    let house = House::new().await;
    house.runner.delay("create", Duration::from_millis(50));
    let engine = house.engine().await;
    let row = house.insert(house.sandbox(1)).await;
    engine.wake(row.id);
    let labelled = Sandbox { public: true, network: shut(), ..row.clone() };
    house.store.sandbox_update_desired(labelled).await.unwrap().unwrap();
    let now = engine.wait(row.id, SOON).await.unwrap().unwrap();
    assert_eq!((now.public, now.observed), (true, Observed::Started));
    assert_eq!(
        now.network_applied,
        Some(shut()),
        "the policy of the request is in force, not the one created with"
    );
    assert_eq!(house.runner.network(row.id), Some(shut()));
}

#[tokio::test]
async fn without_a_wake_the_scan_finds_it() {
    let house = House::new().await;
    let settings = Settings { scan_period: Duration::from_millis(10), ..Settings::default() };
    let _engine = house.engine_with(settings).await;
    let row = house.insert(house.sandbox(1)).await;
    eventually("the sandbox runs", async || {
        house.read(&row).await.is_some_and(|now| now.observed == Observed::Started)
    })
    .await;
}
