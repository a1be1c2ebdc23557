//! What every handler may use.

use std::ops::Deref;
use std::sync::Arc;

use engine::Engine;
use engine::port::Runner;
use store::Store;
use types::{Clock, Random};

use crate::callers::Callers;
use crate::settings::Settings;
use crate::telemetry::Telemetry;

/// What the interface is made of. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiState(Arc<Parts>);

/// The parts, as the server composes them.
#[derive(Debug)]
pub struct Parts {
    /// The rows.
    pub store: Store,
    /// Makes rows real.
    pub engine: Engine,
    /// Asked for snapshots and for its health; never told to act.
    pub runner: Arc<dyn Runner>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// What the deployment says.
    pub settings: Settings,
    /// Who holds which key; shared with the proxy.
    pub callers: Arc<Callers>,
    /// What sandboxes used.
    pub telemetry: Arc<Telemetry>,
}

impl ApiState {
    /// Wraps the parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for ApiState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
