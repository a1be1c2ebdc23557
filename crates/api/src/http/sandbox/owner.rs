//! Whose a sandbox is, and what its owner may use.

use axum::Json as Answer;
use axum::extract::State;
use daytona_wire::api::organization as wire;
use daytona_wire::error::ErrorBody;

use crate::callers::Caller;
use crate::error::ApiError;
use crate::request::Segments;
use crate::state::ApiState;
use crate::{sandbox, view};

/// Returns the organisation that a sandbox belongs to.
#[utoipa::path(get, operation_id = "getOrganizationBySandboxId", path = "/sandbox/{sandboxId}/organization", tag = "sandbox",
    params(("sandboxId" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::Organization), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn organization(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<wire::Organization>, ApiError> {
    let found = sandbox::find(&state, &caller, segments.sandbox()).await?;
    let owner = state.store.organization_get(found.organization_id).await?;
    // Gone between the two questions, and its sandboxes with it.
    let owner =
        owner.ok_or_else(|| ApiError::SandboxNotFound { reference: segments.sandbox().to_owned() })?;
    Ok(Answer(view::organization::organization(owner, &state.settings)))
}

/// Returns what the sandboxes of a sandbox's organisation may use together in its region.
#[utoipa::path(get, operation_id = "getRegionQuotaBySandboxId", path = "/sandbox/{sandboxId}/region-quota", tag = "sandbox",
    params(("sandboxId" = String, Path, description = "Id or name")),
    responses((status = 200, body = wire::RegionQuota), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn region_quota(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<wire::RegionQuota>, ApiError> {
    let found = sandbox::find(&state, &caller, segments.sandbox()).await?;
    Ok(Answer(view::organization::region_quota(found.organization_id, &state.settings)))
}
