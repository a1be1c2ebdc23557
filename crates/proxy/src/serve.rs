//! Phase 7: the phases in a row, as an axum router.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::routing::any;
use service::Tasks;
use service::field::Chain;
use tracing::{debug, warn};
use types::Clock;

use crate::activity::{Activity, during};
use crate::authorize::{Admission, authorize};
use crate::cors::Cors;
use crate::dial::Pool;
use crate::directory::Directory;
use crate::error::{ProxyError, Side};
use crate::header;
use crate::locate::locate;
use crate::relay::relay;
use crate::target::{Target, target};
use crate::wake::Wakes;

/// What the proxy works with. Clones share the connections.
#[derive(Debug, Clone)]
pub struct ProxyState {
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    pool: Pool,
    wakes: Wakes,
}

impl ProxyState {
    /// Makes a proxy with no connections yet.
    pub fn new(directory: Arc<dyn Directory>, clock: Arc<dyn Clock>, tasks: Tasks) -> Self {
        let pool = Pool::new(tasks.clone());
        let wakes = Wakes::new(tasks.clone());
        Self { directory, clock, tasks, pool, wakes }
    }
}

/// Routes everything under `/toolbox`; merge it into a router that serves HTTP/1.1 with upgrades.
pub fn router(state: ProxyState) -> Router {
    let toolbox = any(handle);
    Router::new()
        .route("/toolbox", toolbox.clone())
        .route("/toolbox/", toolbox.clone())
        .route("/toolbox/{*rest}", toolbox)
        .with_state(state)
}

async fn handle(State(state): State<ProxyState>, request: Request) -> Response<Body> {
    let cors = Cors::of(&request);
    let method = request.method().clone();
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let outcome = match cors.preflight() {
        Some(answer) => Ok(answer),
        None => phases(&state, request).await,
    };
    let mut response = outcome.unwrap_or_else(|error| {
        log(&error);
        error.answer(&method, &path, state.clock.now())
    });
    cors.allow(response.headers_mut());
    response
}

async fn phases(state: &ProxyState, request: Request) -> Result<Response<Body>, ProxyError> {
    let target = target(request.method(), request.uri(), request.headers())?;
    let (directory, now) = (&state.directory, state.clock.now());
    let Admission { grant, path } =
        authorize(&**directory, request.method(), request.headers(), &target, now).await?;
    let counts = !header::says_true(request.headers(), &header::SKIP_ACTIVITY);
    if grant.is_asleep && !counts {
        // What is no use of a sandbox is no reason to wake it.
        return Err(ProxyError::NotRunning { state: "paused".to_owned() });
    }
    let mut activity = counts.then(|| Activity::start(Arc::clone(directory), grant.sandbox_id));
    during(&mut activity, state.wakes.wake(directory, grant)).await?;
    let target = Target { path, ..target };
    let location = locate(&**directory, grant);
    let answer = relay(&state.pool, &state.tasks, &location, &target, request, activity);
    if counts { state.wakes.beside(directory, grant.sandbox_id, answer).await } else { answer.await }
}

/// A client's mistakes are its own; the others concern whoever runs this server.
fn log(error: &ProxyError) {
    match error.side() {
        Side::Client => debug!(error = %Chain(error), "refused a call to a sandbox"),
        Side::Sandbox => warn!(error = %Chain(error), "a sandbox did not answer a call"),
        Side::Us => warn!(error = %Chain(error), "could not check a call to a sandbox"),
    }
}
