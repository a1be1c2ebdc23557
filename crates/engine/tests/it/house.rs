//! What every test of the engine starts from.

use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, Settings};
use store::Store;
use tempfile::TempDir;
use testkit::{FakeRunner, TestClock, app, sample};
use types::sandbox::Sandbox;
use types::{Clock, OrganizationId, SandboxId};

/// Longer than anything takes; a test that waits so long has failed.
pub(crate) const SOON: Duration = Duration::from_secs(20);
const TENANT: OrganizationId = OrganizationId::from_u128(1);

pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) runner: Arc<FakeRunner>,
    pub(crate) clock: Arc<TestClock>,
    _directory: TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        let (store, directory) = app::store().await.unwrap();
        let clock = Arc::new(TestClock::default());
        let owner = sample::user("ada", clock.now());
        store.user_insert(&owner).await.unwrap();
        store.organization_insert(&sample::organization(TENANT, &owner)).await.unwrap();
        Self { store, runner: Arc::default(), clock, _directory: directory }
    }

    /// Starts an engine whose loops leave the test alone.
    pub(crate) async fn engine(&self) -> Engine {
        self.engine_with(Settings { scan_period: Duration::from_hours(1), ..Settings::default() }).await
    }

    pub(crate) async fn engine_with(&self, settings: Settings) -> Engine {
        let runner = Arc::<FakeRunner>::clone(&self.runner);
        let clock = Arc::<TestClock>::clone(&self.clock);
        Engine::start(self.store.clone(), runner, clock, &settings).await
    }

    pub(crate) fn sandbox(&self, number: u128) -> Sandbox {
        sample::sandbox(SandboxId::from_u128(number), TENANT, self.clock.now())
    }

    pub(crate) async fn insert(&self, sandbox: Sandbox) -> Sandbox {
        self.store.sandbox_insert(&sandbox).await.unwrap();
        sandbox
    }

    /// Asks for a sandbox and waits until it rests.
    pub(crate) async fn settled(&self, engine: &Engine, number: u128) -> Sandbox {
        engine.settle(self.insert(self.sandbox(number)).await, SOON).await.unwrap().unwrap()
    }

    pub(crate) async fn read(&self, sandbox: &Sandbox) -> Option<Sandbox> {
        self.store.sandbox_get(sandbox.id).await.unwrap()
    }
}

/// Waits until `reached` holds; fails the test when it does not soon.
pub(crate) async fn eventually(what: &str, reached: impl AsyncFn() -> bool) {
    let wait = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, wait).await.is_ok(), "never came true: {what}");
}
