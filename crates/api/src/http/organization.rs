//! Organisations: those one belongs to.

use axum::Json as Answer;
use axum::extract::State;
use daytona_wire::api::organization as wire;
use daytona_wire::error::ErrorBody;

use crate::caller::LoggedIn;
use crate::error::ApiError;
use crate::state::ApiState;
use crate::view;

/// Lists the organisations of whoever logged in, the personal one first. A key stands for its organisation and gets 401.
#[utoipa::path(get, operation_id = "listOrganizations", path = "/organizations", tag = "organizations",
    responses((status = 200, body = Vec<wire::Organization>), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    LoggedIn(user): LoggedIn,
) -> Result<Answer<Vec<wire::Organization>>, ApiError> {
    let listed = state.store.organization_list_of(&user.id).await?;
    let shown = listed.into_iter().map(|one| view::organization::organization(one, &state.settings));
    Ok(Answer(shown.collect()))
}
