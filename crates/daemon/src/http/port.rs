//! Ports that are listened on, and the way to them.

use std::sync::Arc;

use axum::Router;
use utoipa::OpenApi;

use crate::daemon::Daemon;

/// What is answered here.
pub fn routes() -> Router<Arc<Daemon>> {
    Router::new()
}

/// The description of it.
#[derive(Debug, OpenApi)]
#[openapi(paths())]
pub struct Document;
