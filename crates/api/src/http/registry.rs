//! Registries: list, add, get, change, delete; and where clients may push.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use daytona_wire::api::registry as wire;
use daytona_wire::error::ErrorBody;

use crate::caller::{RegistryDeleter, RegistryWriter, Uploader};
use crate::callers::Caller;
use crate::error::ApiError;
use crate::request::{Json, Query, Segments};
use crate::state::ApiState;
use crate::{registry, view};

/// Lists the organisation's registries.
#[utoipa::path(get, operation_id = "listRegistries", path = "/docker-registry", tag = "docker-registry",
    responses((status = 200, body = Vec<wire::DockerRegistry>), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
) -> Result<Answer<Vec<wire::DockerRegistry>>, ApiError> {
    let known = state.store.registry_list(caller.organization_id).await?;
    Ok(Answer(known.into_iter().map(view::registry::registry).collect()))
}

/// Adds a registry. What is pulled from its host for this organisation is asked for with its user and password.
#[utoipa::path(post, operation_id = "createRegistry", path = "/docker-registry", tag = "docker-registry",
    request_body = wire::CreateDockerRegistry,
    responses((status = 201, body = wire::DockerRegistry), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    RegistryWriter(caller): RegistryWriter,
    Json(asked): Json<wire::CreateDockerRegistry>,
) -> Result<(StatusCode, Answer<wire::DockerRegistry>), ApiError> {
    let created = registry::create(&state, &caller, asked).await?;
    Ok((StatusCode::CREATED, Answer(view::registry::registry(created))))
}

/// Returns a registry.
#[utoipa::path(get, operation_id = "getRegistry", path = "/docker-registry/{id}", tag = "docker-registry",
    params(("id" = String, Path, description = "Id")),
    responses((status = 200, body = wire::DockerRegistry), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<wire::DockerRegistry>, ApiError> {
    let found = registry::find(&state, &caller, segments.get("id")).await?;
    Ok(Answer(view::registry::registry(found)))
}

/// Changes a registry.
#[utoipa::path(patch, operation_id = "updateRegistry", path = "/docker-registry/{id}", tag = "docker-registry",
    params(("id" = String, Path, description = "Id")), request_body = wire::UpdateDockerRegistry,
    responses((status = 200, body = wire::DockerRegistry), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    RegistryWriter(caller): RegistryWriter,
    segments: Segments,
    Json(asked): Json<wire::UpdateDockerRegistry>,
) -> Result<Answer<wire::DockerRegistry>, ApiError> {
    let written = registry::update(&state, &caller, segments.get("id"), asked).await?;
    Ok(Answer(view::registry::registry(written)))
}

/// Deletes a registry. Images that were pulled from it stay.
#[utoipa::path(delete, operation_id = "deleteRegistry", path = "/docker-registry/{id}", tag = "docker-registry",
    params(("id" = String, Path, description = "Id")),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    RegistryDeleter(caller): RegistryDeleter,
    segments: Segments,
) -> Result<StatusCode, ApiError> {
    registry::delete(&state, &caller, segments.get("id")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells where images may be pushed, and with which password.
#[utoipa::path(get, operation_id = "getTransientPushAccess", path = "/docker-registry/registry-push-access", tag = "docker-registry",
    params(("regionId" = Option<String>, Query, description = "The region, by id or name")),
    responses((status = 200, body = wire::RegistryPushAccessDto), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn push_access(
    State(state): State<ApiState>,
    Uploader(_caller): Uploader,
    query: Query,
) -> Result<Answer<wire::RegistryPushAccessDto>, ApiError> {
    let registry = registry::push_registry(&state, query.text("regionId"))?;
    Ok(Answer(view::registry::push_access(registry, state.clock.now())))
}
