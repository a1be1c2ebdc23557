//! Users: who one is.

use axum::Json as Answer;
use daytona_wire::api::user as wire;
use daytona_wire::error::ErrorBody;

use crate::caller::LoggedIn;
use crate::view;

/// Returns who logged in. A key stands for its organisation and gets 401.
#[utoipa::path(get, operation_id = "getAuthenticatedUser", path = "/users/me", tag = "users",
    responses((status = 200, body = wire::User), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn me(LoggedIn(user): LoggedIn) -> Answer<wire::User> {
    Answer(view::user::user(user))
}
