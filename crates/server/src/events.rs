//! What the events ask, answered from the control plane's rows.

use std::sync::Arc;

use api::callers::Callers;
use api::error::ApiError;
use async_trait::async_trait;
use axum::Router;
use events::{Changes, Directory, EventsState, Refusal};
use serde_json::Value;
use service::Tasks;
use service::field::Chain;
use service::settings::EventSettings;
use store::Store;
use tracing::warn;
use types::sandbox::Sandbox;
use types::snapshot::{SavedSnapshot, SnapshotState};
use types::{OrganizationId, Random, SandboxId};

/// How many rows are read at once.
const PAGE: u32 = 500;

/// Knows keys by the callers that the API knows, and sandboxes by their rows.
#[derive(Debug)]
pub(crate) struct Listened {
    pub(crate) store: Store,
    pub(crate) callers: Arc<Callers>,
    pub(crate) settings: api::Settings,
}

/// Starts to tell of sandboxes, and routes the sockets that hear of them; routes none when that is turned off.
pub(crate) fn serve(
    settings: &EventSettings,
    listened: Listened,
    random: Arc<dyn Random>,
    tasks: &Tasks,
) -> Router {
    if settings.disabled {
        return Router::new();
    }
    let store = &listened.store;
    let changes = Changes { sandboxes: store.changes(), snapshots: store.snapshot_changes() };
    let bounds = events::Settings { ping_interval: settings.ping_interval, ..events::Settings::default() };
    events::router(EventsState::start(bounds, Arc::new(listened), random, changes, tasks.clone()))
}

#[async_trait]
impl Directory for Listened {
    async fn authenticate(
        &self,
        token: &str,
        wanted: Option<OrganizationId>,
    ) -> Result<OrganizationId, Refusal> {
        match self.callers.authenticate(token, wanted).await {
            Ok(caller) => Ok(caller.organization_id),
            Err(ApiError::NoMember) => Err(Refusal::Unauthorized),
            Err(error) if error.is_refusal_of_credentials() => Err(Refusal::Unauthorized),
            // The log knows already.
            Err(ApiError::Judge(_)) => Err(Refusal::Unavailable),
            Err(error) => {
                warn!("cannot check who listens to events: {}", Chain(&error));
                Err(Refusal::Unavailable)
            }
        }
    }

    async fn sandboxes(&self, after: Option<SandboxId>) -> Result<Vec<Sandbox>, Refusal> {
        self.store.sandbox_page_of_all(after, PAGE).await.map_err(|error| {
            warn!("cannot read the sandboxes that events are about: {}", Chain(&error));
            Refusal::Unavailable
        })
    }

    async fn snapshots(&self) -> Result<Vec<SavedSnapshot>, Refusal> {
        let mut found = Vec::new();
        for state in SnapshotState::ALL {
            let listed = self.store.snapshot_list_in(state).await;
            found.extend(listed.map_err(|error| {
                warn!("cannot read the snapshots that events are about: {}", Chain(&error));
                Refusal::Unavailable
            })?);
        }
        Ok(found)
    }

    fn show_snapshot(&self, snapshot: &SavedSnapshot) -> Value {
        serde_json::to_value(api::show_snapshot(snapshot.clone(), &self.settings)).unwrap_or_default()
    }

    fn show(&self, sandbox: &Sandbox) -> Value {
        // What is shown is made of texts, numbers and truths, so there is nothing that JSON could lack.
        serde_json::to_value(api::show(sandbox.clone(), &self.settings)).unwrap_or_default()
    }
}
