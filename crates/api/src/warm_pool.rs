//! Warm pools: what is asked of them, and what is taken out of them.

use daytona_wire::api::warm_pool::{CreateWarmPool, UpdateWarmPool};
use store::StoreError;
use types::WarmPoolId;
use types::warm_pool::{LARGEST, WarmPool};

use crate::callers::Caller;
use crate::error::ApiError;
use crate::state::ApiState;
use crate::{limits, snapshot};

/// A pool, and how many of its sandboxes can be taken.
pub(crate) type Counted = (WarmPool, u32);

/// Makes a pool; its sandboxes are made after the answer.
pub(crate) async fn create(
    state: &ApiState,
    caller: &Caller,
    asked: &CreateWarmPool,
) -> Result<Counted, ApiError> {
    let size = size(asked.pool, 1, state)?;
    let region = limits::region(asked.target.as_deref(), &state.settings)?;
    let snapshot = snapshot::resolve(state, caller, &asked.snapshot).await?;
    let now = state.clock.now();
    let pool = WarmPool {
        id: WarmPoolId::random(state.random.as_ref()),
        organization_id: caller.organization_id,
        snapshot: snapshot.name,
        region,
        size,
        resources: snapshot.resources,
        error_reason: None,
        created_at: now,
        updated_at: now,
    };
    state.store.warm_pool_insert(&pool).await.map_err(|error| match error {
        StoreError::Taken { key, .. } => ApiError::WarmPoolTaken { snapshot: key },
        error => error.into(),
    })?;
    state.engine.refill();
    Ok((pool, 0))
}

/// Lists the organisation's pools, oldest first.
pub(crate) async fn list(state: &ApiState, caller: &Caller) -> Result<Vec<Counted>, ApiError> {
    let mut counted = Vec::new();
    for pool in state.store.warm_pool_list(caller.organization_id).await? {
        counted.push(count(state, pool).await?);
    }
    Ok(counted)
}

/// Changes how many sandboxes a pool keeps ready.
pub(crate) async fn resize(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
    asked: &UpdateWarmPool,
) -> Result<Counted, ApiError> {
    let size = size(asked.pool, 0, state)?;
    let pool = find(state, caller, reference).await?;
    let resized = state.store.warm_pool_resize(pool.id, size, state.clock.now()).await?;
    let resized = resized.ok_or_else(|| not_found(reference))?;
    state.engine.refill();
    count(state, resized).await
}

/// Deletes a pool; what waits in it goes after the answer.
pub(crate) async fn delete(state: &ApiState, caller: &Caller, reference: &str) -> Result<(), ApiError> {
    let pool = find(state, caller, reference).await?;
    state.store.warm_pool_delete(pool.id).await?;
    state.engine.refill();
    Ok(())
}

async fn find(state: &ApiState, caller: &Caller, reference: &str) -> Result<WarmPool, ApiError> {
    let id: WarmPoolId = reference.parse().map_err(|_| not_found(reference))?;
    let found = state.store.warm_pool_get(id).await?;
    let found = found.filter(|pool| pool.organization_id == caller.organization_id);
    found.ok_or_else(|| not_found(reference))
}

async fn count(state: &ApiState, pool: WarmPool) -> Result<Counted, ApiError> {
    let ready = state.store.warm_pool_count_ready(pool.id).await?;
    Ok((pool, ready))
}

fn not_found(reference: &str) -> ApiError {
    ApiError::WarmPoolNotFound { reference: reference.to_owned() }
}

/// Reads how many sandboxes a pool is to keep: a whole number from `least`, within the organisation's quota.
fn size(asked: f64, least: u32, state: &ApiState) -> Result<u32, ApiError> {
    let most = state.settings.quota.sandboxes.map_or(LARGEST, |quota| quota.min(LARGEST));
    // Few enough to be compared one by one, and no number needs to be cut.
    (least..=most)
        .find(|size| f64::from(*size).total_cmp(&asked).is_eq())
        .ok_or_else(|| ApiError::invalid(format!("pool must be a whole number from {least} to {most}")))
}
