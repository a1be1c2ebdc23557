//! Warm pools: list, create, resize, delete.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use daytona_wire::api::warm_pool as wire;
use daytona_wire::error::ErrorBody;

use crate::caller::{Deleter, Writer};
use crate::callers::Caller;
use crate::error::ApiError;
use crate::request::{Json, Segments};
use crate::state::ApiState;
use crate::view::warm_pool::pool;
use crate::warm_pool;

/// Lists the organisation's warm pools.
#[utoipa::path(get, operation_id = "listWarmPools", path = "/warm-pools", tag = "warm-pools",
    responses((status = 200, body = Vec<wire::WarmPool>), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
) -> Result<Answer<Vec<wire::WarmPool>>, ApiError> {
    let counted = warm_pool::list(&state, &caller).await?;
    Ok(Answer(counted.into_iter().map(|(found, ready)| pool(found, ready)).collect()))
}

/// Makes a warm pool. It fills after the answer.
#[utoipa::path(post, operation_id = "createWarmPool", path = "/warm-pools", tag = "warm-pools",
    request_body = wire::CreateWarmPool,
    responses((status = 201, body = wire::WarmPool), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    Json(asked): Json<wire::CreateWarmPool>,
) -> Result<(StatusCode, Answer<wire::WarmPool>), ApiError> {
    let (made, ready) = warm_pool::create(&state, &caller, &asked).await?;
    Ok((StatusCode::CREATED, Answer(pool(made, ready))))
}

/// Changes how many sandboxes a warm pool keeps ready.
#[utoipa::path(patch, operation_id = "updateWarmPool", path = "/warm-pools/{id}", tag = "warm-pools",
    params(("id" = String, Path, description = "Id")), request_body = wire::UpdateWarmPool,
    responses((status = 200, body = wire::WarmPool), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    Writer(caller): Writer,
    segments: Segments,
    Json(asked): Json<wire::UpdateWarmPool>,
) -> Result<Answer<wire::WarmPool>, ApiError> {
    let (resized, ready) = warm_pool::resize(&state, &caller, segments.get("id"), &asked).await?;
    Ok(Answer(pool(resized, ready)))
}

/// Deletes a warm pool and what waits in it.
#[utoipa::path(delete, operation_id = "deleteWarmPool", path = "/warm-pools/{id}", tag = "warm-pools",
    params(("id" = String, Path, description = "Id")),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    Deleter(caller): Deleter,
    segments: Segments,
) -> Result<StatusCode, ApiError> {
    warm_pool::delete(&state, &caller, segments.get("id")).await?;
    Ok(StatusCode::NO_CONTENT)
}
