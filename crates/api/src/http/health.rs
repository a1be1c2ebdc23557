//! Whether the server answers, and whether what it needs does.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use daytona_wire::api::health::{Health, PartStatus, Readiness};

use crate::state::ApiState;

/// Answers as long as the process lives.
#[utoipa::path(get, operation_id = "HealthController_live", path = "/health", tag = "health", security(()), responses((status = 200, body = Health)))]
pub(crate) async fn live() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

/// Asks the database and the runner.
#[utoipa::path(get, operation_id = "HealthController_check", path = "/health/ready", tag = "health", security(()), responses(
    (status = 200, body = Readiness),
    (status = 503, body = Readiness, description = "Something that is needed is down")
))]
pub(crate) async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<Readiness>) {
    let database = state.store.check().await;
    let runner = state.runner.snapshot(&state.settings.default_snapshot).await;
    if let Err(error) = &database {
        tracing::warn!(error = error as &dyn std::error::Error, "the database is down");
    }
    if let Err(error) = &runner {
        tracing::warn!(error = error as &dyn std::error::Error, "the runner is down");
    }
    let readiness = readiness([("database", database.is_ok()), ("runner", runner.is_ok())]);
    let status = if readiness.error.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

fn readiness(parts: [(&str, bool); 2]) -> Readiness {
    let statuses = |wanted: &[bool]| -> BTreeMap<_, _> {
        let chosen = parts.iter().filter(|(_, up)| wanted.contains(up));
        chosen.map(|(part, up)| ((*part).to_owned(), part_status(*up))).collect()
    };
    let status = if parts.iter().all(|(_, up)| *up) { "ok" } else { "error" };
    Readiness {
        status: status.to_owned(),
        info: statuses(&[true]),
        error: statuses(&[false]),
        details: statuses(&[true, false]),
    }
}

fn part_status(up: bool) -> PartStatus {
    PartStatus { status: if up { "up" } else { "down" }.to_owned() }
}
