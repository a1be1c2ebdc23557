//! Creates that a warm pool answers.

use store::StoreError;
use types::sandbox::Sandbox;

use crate::error::ApiError;
use crate::sandbox::row;
use crate::state::ApiState;

/// Takes a sandbox that is what `wanted` is to be out of a pool, if there is one, and makes it that one.
pub(crate) async fn take(state: &ApiState, wanted: &Sandbox) -> Result<Option<Sandbox>, ApiError> {
    let is_plain = wanted.env.is_empty() && wanted.user.is_empty() && wanted.linked_id.is_none();
    let is_plain = is_plain && wanted.volumes.is_empty() && wanted.preparation.is_none();
    if !is_plain {
        return Ok(None);
    }
    let taken = state.store.warm_pool_take(wanted).await.map_err(|error| match error {
        StoreError::Taken { key, .. } => ApiError::NameTaken { name: key },
        error => error.into(),
    })?;
    let Some(taken) = taken else { return Ok(None) };
    state.engine.refill();
    if taken.name != taken.id.to_string()
        && let Err(error) = state.runner.rename(taken.id, &taken.name).await
    {
        // It is known by its id to those that are linked to it, until it is started again.
        tracing::warn!(sandbox.id = %taken.id, error = &error as &dyn std::error::Error, "cannot rename a sandbox");
    }
    // A network policy of its own is in force before the caller has it.
    row::settle_for_good(state, taken).await.map(Some)
}
