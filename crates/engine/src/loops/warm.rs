//! Keeps true: every warm pool has as many sandboxes ready as it is to have.
//!
//! They are made one at a time, and while nobody waits for a sandbox of his own: a pool is there to make creates fast, so
//! its filling must not make them slow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use store::StoreError;
use tokio::time::Instant;
use tracing::{error, info, warn};
use types::quota::Quota;
use types::sandbox::{Desired, Intervals, Observed, Sandbox};
use types::snapshot::SnapshotState;
use types::warm_pool::WarmPool;
use types::{Random, SandboxId, WarmPoolId};

use crate::driver::Driver;
use crate::loops::sandbox::Keeper;
use crate::warm::{Change, Origin, plan};

/// How often pools are looked at without a hint.
const PERIOD: Duration = Duration::from_secs(10);
/// How long one sandbox may take before the next is begun.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the filling gives way to creates before it takes its turn.
const COURTESY: Duration = Duration::from_secs(2);
/// How often it looks whether they are done.
const COURTESY_STEP: Duration = Duration::from_millis(5);
/// How long a pool is left alone after a failure; after each one more, twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// What filling needs beside what the engine has.
#[derive(Debug, Clone)]
pub(crate) struct Filling {
    pub(crate) random: Arc<dyn Random>,
    pub(crate) quota: Quota,
}

/// When a pool that failed is tried again.
#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    pause: Duration,
}

/// Fills and drains pools until the shutdown.
pub(crate) async fn keep(driver: Driver<Keeper>, filling: Filling) {
    let mut resting = HashMap::new();
    loop {
        if let Err(error) = look(&driver, &filling, &mut resting).await {
            error!(error = &error as &dyn std::error::Error, "cannot keep the warm pools");
        }
        let keeper = driver.reconciler();
        tokio::select! {
            () = keeper.stopping.cancelled() => return,
            () = keeper.taken.notified() => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn look(
    driver: &Driver<Keeper>,
    filling: &Filling,
    resting: &mut HashMap<WarmPoolId, Rest>,
) -> Result<(), StoreError> {
    let keeper = driver.reconciler();
    for lost in keeper.store.warm_pool_lost().await? {
        remove(driver, lost).await?;
    }
    let pools = keeper.store.warm_pool_list_all().await?;
    resting.retain(|id, _| pools.iter().any(|pool| pool.id == *id));
    for pool in pools {
        let id = pool.id;
        let is_resting = resting.get(&id).is_some_and(|rest| Instant::now() < rest.until);
        if keep_one(driver, filling, pool, is_resting).await? {
            resting.remove(&id);
        } else if !is_resting {
            let pause = resting.get(&id).map_or(FIRST_PAUSE, |rest| (rest.pause * 2).min(LONGEST_PAUSE));
            resting.insert(id, Rest { until: Instant::now() + pause, pause });
        }
    }
    Ok(())
}

/// Brings one pool nearer to what it is to be. Returns whether nothing stood in the way.
async fn keep_one(
    driver: &Driver<Keeper>,
    filling: &Filling,
    pool: WarmPool,
    is_resting: bool,
) -> Result<bool, StoreError> {
    let keeper = driver.reconciler();
    let found = origin(keeper, &pool).await;
    let members = keeper.store.warm_pool_members(pool.id).await?;
    let Change { remove: leaving, make, failure } = plan(pool.size, found.as_ref().ok(), &members);
    for member in members.into_iter().filter(|member| leaving.contains(&member.id)) {
        remove(driver, member).await?;
    }
    let (origin, mut trouble) = match found {
        Ok(origin) => (Some(origin), failure),
        Err(reason) => (None, Some(reason)),
    };
    if trouble.is_none() && !is_resting {
        for _ in 0..make {
            let Some(origin) = &origin else { break };
            let Some(made) = make_one(driver, filling, &pool, origin).await? else { break };
            if let Err(reason) = made {
                trouble = Some(reason);
                break;
            }
        }
    }
    // Whether it is well is only seen when it is tried.
    if trouble.is_some() || !is_resting {
        note(keeper, &pool, origin.as_ref(), trouble.clone()).await?;
    }
    Ok(trouble.is_none() && !(is_resting && make > 0))
}

/// Writes why a pool is not full, and what its sandboxes may use, where that is news.
async fn note(
    keeper: &Keeper,
    pool: &WarmPool,
    origin: Option<&Origin>,
    trouble: Option<String>,
) -> Result<(), StoreError> {
    let resources = origin.map_or(pool.resources, |origin| origin.resources);
    if (&trouble, resources) == (&pool.error_reason, pool.resources) {
        return Ok(());
    }
    if let Some(reason) = &trouble {
        warn!(warm_pool.id = %pool.id, reason, "a warm pool is not full");
    }
    let updated_at = keeper.clock.now();
    let noted = WarmPool { error_reason: trouble, resources, updated_at, ..pool.clone() };
    keeper.store.warm_pool_note(&noted).await
}

/// Finds what a pool's sandboxes are made from now, or says why there is nothing.
async fn origin(keeper: &Keeper, pool: &WarmPool) -> Result<Origin, String> {
    let reason =
        |error: &dyn std::error::Error| format!("cannot look up snapshot {}: {error}", pool.snapshot);
    match keeper.store.snapshot_find(pool.organization_id, &pool.snapshot).await {
        Err(error) => return Err(reason(&error)),
        Ok(Some(saved)) if saved.state == SnapshotState::Active => {
            return Ok(Origin { image: saved.image, resources: saved.resources });
        }
        Ok(Some(saved)) => return Err(format!("Snapshot {} is {}", saved.name, saved.state.as_str())),
        Ok(None) => {}
    }
    match keeper.runner.snapshot(&pool.snapshot).await {
        Ok(Some(general)) => Ok(Origin { image: general.image, resources: general.resources }),
        Ok(None) => Err(format!("Snapshot {} not found", pool.snapshot)),
        Err(error) => Err(reason(&error)),
    }
}

/// Makes one sandbox and waits for it. Returns why that failed, and `None` when there is no more to do now: the pool was
/// changed, or the engine stops.
async fn make_one(
    driver: &Driver<Keeper>,
    filling: &Filling,
    pool: &WarmPool,
    origin: &Origin,
) -> Result<Option<Result<(), String>>, StoreError> {
    let keeper = driver.reconciler();
    give_way(keeper).await;
    let current = keeper.store.warm_pool_get(pool.id).await?;
    if current.is_none_or(|current| current.size != pool.size) || keeper.stopping.is_cancelled() {
        return Ok(None);
    }
    let id = SandboxId::random(filling.random.as_ref());
    let new = Sandbox::new(id, pool.organization_id, filling.random.as_ref(), keeper.clock.now());
    let sandbox = Sandbox {
        snapshot: pool.snapshot.clone(),
        region: pool.region.clone(),
        image: origin.image.clone(),
        resources: origin.resources,
        // Until somebody has it, time does nothing to it.
        intervals: Intervals { auto_stop: 0, auto_pause: 0, auto_archive: 0, auto_delete: -1 },
        warm_pool_id: Some(pool.id),
        ..new
    };
    match keeper.store.sandbox_admit(&sandbox, &filling.quota).await {
        Ok(()) => {}
        Err(error @ StoreError::Quota { .. }) => return Ok(Some(Err(error.to_string()))),
        Err(error) => return Err(error),
    }
    driver.wake(id, Some(sandbox));
    let settled = match driver.wait(id, PATIENCE).await {
        Some(settled) => Some(settled),
        None => keeper.store.sandbox_get(id).await?,
    };
    let Some(settled) = settled else { return Ok(Some(Err("it was deleted".to_owned()))) };
    Ok(Some(match settled.observed {
        Observed::Started => {
            info!(sandbox.id = %id, warm_pool.id = %pool.id, "a sandbox waits in its pool");
            Ok(())
        }
        Observed::Error => {
            let reason = settled.error_reason.clone().unwrap_or_default();
            remove(driver, settled).await?;
            Err(reason)
        }
        _ => Err("it takes long to start".to_owned()),
    }))
}

/// Waits while sandboxes are made that somebody asked for, but not for ever.
async fn give_way(keeper: &Keeper) {
    let until = Instant::now() + COURTESY;
    while keeper.permits.is_starting() && Instant::now() < until && !keeper.stopping.is_cancelled() {
        tokio::time::sleep(COURTESY_STEP).await;
    }
}

/// Asks a sandbox of a pool to go, unless somebody took it just now.
async fn remove(driver: &Driver<Keeper>, member: Sandbox) -> Result<(), StoreError> {
    let keeper = driver.reconciler();
    let mut current = Some(member);
    while let Some(member) = current.filter(|member| member.warm_pool_id.is_some()) {
        let id = member.id;
        if member.desired == Desired::Destroyed {
            return Ok(());
        }
        let leaving = Sandbox { desired: Desired::Destroyed, updated_at: keeper.clock.now(), ..member };
        if let Some(written) = keeper.store.sandbox_update_desired(leaving).await? {
            driver.wake(id, Some(written));
            return Ok(());
        }
        current = keeper.store.sandbox_get(id).await?;
    }
    Ok(())
}
