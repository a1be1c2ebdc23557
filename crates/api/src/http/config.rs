//! What a client asks for before anything else.

use axum::Json;
use axum::extract::State;
use daytona_wire::api::config::DaytonaConfiguration;

use crate::state::ApiState;
use crate::view;

/// Returns what a client must know of this deployment.
#[utoipa::path(get, operation_id = "ConfigController_getConfig", path = "/config", tag = "config", security(()), responses((status = 200, body = DaytonaConfiguration)))]
pub(crate) async fn get(State(state): State<ApiState>) -> Json<DaytonaConfiguration> {
    Json(view::config::configuration(&state.settings))
}
