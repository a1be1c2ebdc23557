//! One wake for all, against a host in memory.

use serde_json::json;
use testkit::{Call, TestApi};

use super::*;

/// A paused sandbox with an interval, and what wakes it.
async fn paused(quota: Quota, auto_pause_minutes: u32) -> (TestApi, Waker, SandboxId) {
    let app = TestApi::start().await.unwrap();
    let made = app.call("POST", "/api/sandbox", json!({ "autoPauseInterval": auto_pause_minutes })).await;
    let id = made.text("id");
    assert_eq!(made.text("state"), "started", "{}", made.json());
    app.call("POST", &format!("/api/sandbox/{id}/pause"), json!({})).await;
    let id: SandboxId = id.parse().unwrap();
    app.engine.wait(id, LOOK_PATIENCE).await.unwrap();
    assert_eq!(app.runner.observed(id), Observed::Paused);
    app.runner.take_calls();
    let (store, engine) = (app.store.clone(), app.engine.clone());
    let clock: Arc<dyn Clock> = app.clock.clone();
    (app, Waker { store, engine, clock, quota }, id)
}

#[test]
fn a_call_is_taken_waits_or_is_refused() {
    for desired in Desired::ALL {
        for observed in Observed::ALL {
            for auto_pause in [0, 5] {
                let word = state::reported(desired, observed);
                let expected = match (word, observed, auto_pause) {
                    ("started", ..) => Readiness::Runs,
                    ("resuming", ..) | ("paused" | "pausing", Observed::Started | Observed::Paused, 5) => {
                        Readiness::Asleep
                    }
                    _ => Readiness::Away,
                };
                let readiness = Readiness::of(desired, observed, auto_pause);
                assert_eq!(readiness, expected, "{desired:?} {observed:?} {auto_pause}");
            }
        }
    }
}

#[tokio::test]
async fn fifty_wakes_resume_once() {
    let (app, waker, id) = paused(Quota::default(), 60).await;
    let before = app.store.sandbox_get(id).await.unwrap().unwrap();
    app.clock.advance(Duration::from_secs(100));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let waker = waker.clone();
        callers.spawn(async move { waker.wake(id).await });
    }
    while let Some(woken) = callers.join_next().await {
        assert_eq!(woken.unwrap(), Ok(()));
    }
    let resumed = app.runner.take_calls().into_iter().filter(|call| *call == Call::Resume).count();
    assert_eq!(resumed, 1);
    let row = app.store.sandbox_get(id).await.unwrap().unwrap();
    assert_eq!((row.desired, row.observed), (Desired::Started, Observed::Started));
    assert_eq!(row.auth_token, before.auth_token, "going on is no start");
    assert!(row.last_activity_at > before.last_activity_at, "and a use of it");
}

#[tokio::test]
async fn without_an_interval_it_stays_paused() {
    let (app, waker, id) = paused(Quota::default(), 0).await;
    assert_eq!(waker.wake(id).await, Err(Refusal::NotRunning { state: "paused".to_owned() }));
    assert_eq!((app.runner.take_calls(), app.runner.observed(id)), (Vec::new(), Observed::Paused));
}

#[tokio::test]
async fn without_room_it_stays_paused() {
    let quota = Quota { cpu: Some(0), ..Quota::default() };
    let (app, waker, id) = paused(quota, 60).await;
    let Err(Refusal::NoRoom { reason }) = waker.wake(id).await else { panic!("there is no room") };
    assert!(reason.contains("Total CPU limit exceeded"), "{reason}");
    assert_eq!(app.runner.observed(id), Observed::Paused);
}

#[tokio::test]
async fn what_is_gone_or_stopped_is_not_woken() {
    let (app, waker, id) = paused(Quota::default(), 60).await;
    app.call("POST", &format!("/api/sandbox/{id}/stop"), json!({})).await;
    app.engine.wait(id, LOOK_PATIENCE).await.unwrap();
    assert_eq!(waker.wake(id).await, Err(Refusal::NotRunning { state: "stopped".to_owned() }));
    app.call("DELETE", &format!("/api/sandbox/{id}"), json!({})).await;
    app.engine.wait(id, LOOK_PATIENCE).await.unwrap();
    assert_eq!(waker.wake(id).await, Err(Refusal::NotFound));
}
