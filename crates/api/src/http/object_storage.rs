//! Object storage: how clients get in, to upload what a build needs.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::HeaderMap;
use daytona_wire::api::object_storage::StorageAccess;
use daytona_wire::error::ErrorBody;

use crate::caller::Uploader;
use crate::error::ApiError;
use crate::object_storage::Way;
use crate::state::ApiState;
use crate::view;

/// Returns credentials that open, for an hour, what lies below the organisation's id in the bucket.
#[utoipa::path(get, operation_id = "getPushAccess", path = "/object-storage/push-access", tag = "object-storage",
    responses((status = 200, body = StorageAccess), (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn push_access(
    State(state): State<ApiState>,
    Uploader(caller): Uploader,
    headers: HeaderMap,
) -> Result<Answer<StorageAccess>, ApiError> {
    let uploads = state.settings.uploads.as_ref().ok_or(ApiError::NoObjectStorage)?;
    let client = headers.get("x-daytona-source").and_then(|client| client.to_str().ok());
    let grant = uploads.grant(caller.organization_id, Way::of(client));
    Ok(Answer(view::object_storage::access(grant, caller.organization_id)))
}
