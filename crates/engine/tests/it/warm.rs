//! Warm pools are kept full: refilled, drained, and left alone while nothing helps.

use std::sync::Arc;

use engine::Engine;
use engine::port::Class;
use testkit::FakeRunner;
use types::quota::Quota;
use types::resource::Resources;
use types::sandbox::{Desired, Observed, Sandbox};
use types::warm_pool::WarmPool;
use types::{Clock as _, SystemRandom, WarmPoolId};

use crate::house::{House, eventually};

const POOL: WarmPoolId = WarmPoolId::from_u128(7);

async fn pool(house: &House, size: u32) -> WarmPool {
    let pool = WarmPool {
        id: POOL,
        organization_id: house.sandbox(1).organization_id,
        snapshot: FakeRunner::SNAPSHOT.to_owned(),
        region: "eu".to_owned(),
        size,
        resources: Resources::default(),
        error_reason: None,
        created_at: house.clock.now(),
        updated_at: house.clock.now(),
    };
    house.store.warm_pool_insert(&pool).await.unwrap();
    pool
}

async fn started(house: &House, quota: Quota) -> Engine {
    let engine = house.engine().await;
    engine.keep_warm(Arc::new(SystemRandom), quota);
    engine
}

async fn ready(house: &House) -> u32 {
    house.store.warm_pool_count_ready(POOL).await.unwrap()
}

async fn assert_ready(house: &House, count: u32) {
    eventually("the pool is as full as it is to be", async || ready(house).await == count).await;
}

async fn reason(house: &House) -> Option<String> {
    house.store.warm_pool_get(POOL).await.unwrap().unwrap().error_reason
}

/// What a create asks for that a pool can answer.
fn wanted(house: &House, pool: &WarmPool, image: &str) -> Sandbox {
    Sandbox {
        snapshot: pool.snapshot.clone(),
        image: image.to_owned(),
        region: pool.region.clone(),
        ..house.sandbox(1)
    }
}

#[tokio::test]
async fn a_pool_fills_is_taken_from_and_fills_again() {
    let house = House::new().await;
    let pool = pool(&house, 3).await;
    let engine = started(&house, Quota::default()).await;
    assert_ready(&house, 3).await;
    let members = house.store.warm_pool_members(POOL).await.unwrap();
    let oldest = members.first().unwrap();
    assert_eq!(oldest.intervals.auto_stop, 0);

    let wanted = Sandbox { name: "mine".to_owned(), ..wanted(&house, &pool, &oldest.image) };
    let taken = house.store.warm_pool_take(&wanted).await.unwrap().unwrap();
    engine.refill();
    assert_eq!((taken.id, taken.name.as_str()), (oldest.id, "mine"));
    assert_eq!((taken.warm_pool_id, taken.intervals), (None, wanted.intervals));
    assert_eq!(house.read(&taken).await, Some(taken));
    assert_ready(&house, 3).await;
    assert_eq!(house.runner.len(), 4);
}

#[tokio::test]
async fn a_pool_that_is_smaller_or_gone_is_drained() {
    let house = House::new().await;
    pool(&house, 3).await;
    let engine = started(&house, Quota::default()).await;
    assert_ready(&house, 3).await;
    house.store.warm_pool_resize(POOL, 1, house.clock.now()).await.unwrap();
    engine.refill();
    eventually("two are gone", async || house.runner.len() == 1).await;
    assert_eq!(ready(&house).await, 1);
    house.store.warm_pool_delete(POOL).await.unwrap();
    engine.refill();
    eventually("all are gone", async || house.runner.is_empty()).await;
}

#[tokio::test]
async fn what_ended_is_replaced() {
    let house = House::new().await;
    pool(&house, 2).await;
    let engine = started(&house, Quota::default()).await;
    assert_ready(&house, 2).await;
    let first = house.store.warm_pool_members(POOL).await.unwrap().remove(0);
    house.runner.end(first.id, "it was killed");
    engine.look(first.id).await.unwrap();
    engine.refill();
    eventually("it is gone", async || house.read(&first).await.is_none()).await;
    assert_ready(&house, 2).await;
}

#[tokio::test]
async fn a_failure_is_told_and_not_repeated_at_once() {
    let house = House::new().await;
    pool(&house, 2).await;
    house.runner.fail("create", &[Class::Reject]);
    let engine = started(&house, Quota::default()).await;
    eventually("the reason is told", async || reason(&house).await.is_some()).await;
    eventually("what failed is gone", async || house.store.warm_pool_members(POOL).await.unwrap().is_empty())
        .await;
    // A hint changes nothing while the pool rests; only time does.
    engine.refill();
    let told = reason(&house).await.unwrap();
    assert!(!told.is_empty());
    assert_eq!(ready(&house).await, 0);
}

#[tokio::test]
async fn a_quota_bounds_a_pool() {
    let house = House::new().await;
    pool(&house, 5).await;
    started(&house, Quota { sandboxes: Some(2), ..Quota::default() }).await;
    assert_ready(&house, 2).await;
    eventually("the reason is told", async || {
        reason(&house).await.is_some_and(|reason| reason.contains("may use 2"))
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_that_is_not_there_is_told() {
    let house = House::new().await;
    let known = pool(&house, 1).await;
    house.store.warm_pool_delete(known.id).await.unwrap();
    let lost = WarmPool { snapshot: "lost".to_owned(), ..known };
    house.store.warm_pool_insert(&lost).await.unwrap();
    started(&house, Quota::default()).await;
    eventually("the reason is told", async || {
        reason(&house).await.as_deref() == Some("Snapshot lost not found")
    })
    .await;
    assert!(house.runner.is_empty());
}

#[tokio::test]
async fn many_who_take_at_once_get_one_each() {
    let house = House::new().await;
    let pool = pool(&house, 4).await;
    let rows: Vec<Sandbox> = (10..14)
        .map(|number| {
            let new = house.sandbox(number);
            Sandbox {
                warm_pool_id: Some(POOL),
                observed: Observed::Started,
                desired: Desired::Started,
                network_applied: Some(new.network.clone()),
                resources_applied: Some(new.resources),
                snapshot: pool.snapshot.clone(),
                region: pool.region.clone(),
                ..new
            }
        })
        .collect();
    for row in &rows {
        house.store.sandbox_insert(row).await.unwrap();
    }
    let image = rows.first().unwrap().image.clone();
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let (store, wanted) = (house.store.clone(), wanted(&house, &pool, &image));
            tokio::spawn(async move { store.warm_pool_take(&wanted).await.unwrap() })
        })
        .collect();
    let mut taken = Vec::new();
    for one in asking {
        taken.extend(one.await.unwrap().map(|row| row.id));
    }
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), 4);
    // Another image, region or size is another matter.
    for other in [
        Sandbox { image: "other".to_owned(), ..wanted(&house, &pool, &image) },
        Sandbox { region: "us".to_owned(), ..wanted(&house, &pool, &image) },
    ] {
        assert_eq!(house.store.warm_pool_take(&other).await.unwrap(), None);
    }
}
