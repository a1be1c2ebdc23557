//! The real router, engine and store over a fake runner: a server without a socket.

use std::sync::Arc;
use std::time::Duration;

use api::telemetry::Telemetry;
use api::{ApiState, Callers, Parts, People, Settings};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use engine::Engine;
use identity::Verifier;
use serde_json::Value;
use service::Tasks;
use store::Store;
use tempfile::TempDir;
use tower::ServiceExt as _;
use types::api_key::Permission;
use types::{ApiKeyId, Clock, OrganizationId, Random, SystemRandom};

use crate::clock::TestClock;
use crate::fake_runner::FakeRunner;
use crate::issuer::Issuer;
use crate::sample;

/// How long a test waits for what must happen before it fails.
const SOON: Duration = Duration::from_secs(20);
const LONGEST_ANSWER_BYTES: usize = 16 << 20;

/// A server in one process, with one tenant and its key.
#[derive(Debug)]
pub struct TestApi {
    /// Its routes.
    pub router: Router,
    /// Its rows.
    pub store: Store,
    /// Its engine.
    pub engine: Engine,
    /// Its host.
    pub runner: Arc<FakeRunner>,
    /// Its time.
    pub clock: Arc<TestClock>,
    /// Who is known.
    pub callers: Arc<Callers>,
    /// What sandboxes used.
    pub telemetry: Arc<Telemetry>,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The tenant's key, which may do everything.
    pub key: String,
    /// Removed at the end.
    _directory: TempDir,
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads the body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns a field of the body as text; empty when it has none of that name.
    pub fn text(&self, field: &str) -> String {
        self.json().get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// Opens a database in a directory of its own.
pub async fn store() -> std::io::Result<(Store, TempDir)> {
    let directory = tempfile::tempdir()?;
    let store = Store::open(&directory.path().join("daytona.db")).await.map_err(std::io::Error::other)?;
    Ok((store, directory))
}

impl TestApi {
    /// Starts a server with these settings changed.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> std::io::Result<Self> {
        Self::start_for(change, None).await
    }

    /// Starts a server that takes the tokens of a login provider.
    pub async fn start_with_login(issuer: &Issuer) -> std::io::Result<Self> {
        Self::start_for(|_| (), Some(issuer.settings())).await
    }

    async fn start_for(
        change: impl FnOnce(&mut Settings),
        login: Option<identity::Settings>,
    ) -> std::io::Result<Self> {
        let (store, directory) = store().await?;
        let clock = Arc::new(TestClock::default());
        let runner = Arc::new(FakeRunner::default());
        let shared_clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&clock);
        let engine = Engine::start(
            store.clone(),
            Arc::<FakeRunner>::clone(&runner),
            Arc::clone(&shared_clock),
            &engine::Settings::default(),
        )
        .await;
        let people = login.map(|settings| people(settings, &store, &shared_clock)).transpose()?;
        let callers = Arc::new(Callers::new(store.clone(), Arc::clone(&shared_clock), people));
        let telemetry = Arc::<Telemetry>::default();
        let mut settings = Settings::at("http://localhost:3000");
        FakeRunner::SNAPSHOT.clone_into(&mut settings.default_snapshot);
        change(&mut settings);
        let router = api::router(ApiState::new(Parts {
            store: store.clone(),
            engine: engine.clone(),
            runner: Arc::<FakeRunner>::clone(&runner),
            clock: shared_clock,
            random: Arc::new(SystemRandom) as Arc<dyn Random>,
            settings,
            callers: Arc::clone(&callers),
            telemetry: Arc::clone(&telemetry),
        }));
        let organization_id = OrganizationId::random(&SystemRandom);
        let mut app = Self {
            router,
            store,
            engine,
            runner,
            clock,
            callers,
            telemetry,
            organization_id,
            key: String::new(),
            _directory: directory,
        };
        app.key = app.tenant(organization_id, &Permission::ALL).await?;
        Ok(app)
    }

    /// Starts a server.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_with(|_| ()).await
    }

    /// Adds a user, a personal organisation and a key; returns the key's text.
    pub async fn tenant(&self, id: OrganizationId, permissions: &[Permission]) -> std::io::Result<String> {
        let owner = sample::user(&id.to_string(), self.clock.now());
        let organization = sample::organization(id, &owner);
        self.store.user_insert(&owner).await.map_err(std::io::Error::other)?;
        self.store.organization_insert(&organization).await.map_err(std::io::Error::other)?;
        self.key_for(&organization, permissions).await
    }

    /// Adds a key of the first tenant; returns its text.
    pub async fn key_with(&self, permissions: &[Permission]) -> std::io::Result<String> {
        let organization =
            self.store.organization_get(self.organization_id).await.map_err(std::io::Error::other)?;
        let organization = organization.ok_or_else(|| std::io::Error::other("the first tenant is gone"))?;
        self.key_for(&organization, permissions).await
    }

    async fn key_for(
        &self,
        organization: &types::organization::Organization,
        permissions: &[Permission],
    ) -> std::io::Result<String> {
        let text = format!("dtn_{}", types::random::hex_token(&SystemRandom, 32));
        let key = sample::api_key(ApiKeyId::random(&SystemRandom), &text, organization, permissions);
        self.store.api_key_insert(&key).await.map_err(std::io::Error::other)?;
        Ok(text)
    }

    /// Sends a request with the first tenant's key and, unless null, a JSON body.
    pub async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.call_as(&self.key, method, path, body).await
    }

    /// Sends a request with this key; none when it is empty.
    pub async fn call_as(&self, key: &str, method: &str, path: &str, body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        match request.body(body) {
            Ok(request) => self.send(request).await,
            Err(error) => not_sent(&error.to_string()),
        }
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        match self.router.clone().oneshot(request).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let body = to_bytes(body, LONGEST_ANSWER_BYTES).await.map(Vec::from).unwrap_or_default();
                Answer { status: parts.status, headers: parts.headers, body }
            }
            Err(never) => match never {},
        }
    }

    /// Waits until the host has as many sandboxes as this; tells whether it came to that.
    pub async fn host_has(&self, sandboxes: usize) -> bool {
        let reached = async {
            while self.runner.len() != sandboxes {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(SOON, reached).await.is_ok()
    }
}

fn people(settings: identity::Settings, store: &Store, clock: &Arc<dyn Clock>) -> std::io::Result<People> {
    let verifier = Verifier::new(settings, Arc::clone(clock), Tasks::new()).map_err(std::io::Error::other)?;
    Ok(People::new(verifier, store.clone(), Arc::clone(clock), Arc::new(SystemRandom)))
}

/// A request that HTTP itself forbids was never sent: no status says so, so an odd one does.
fn not_sent(reason: &str) -> Answer {
    Answer { status: StatusCode::IM_A_TEAPOT, headers: HeaderMap::new(), body: reason.as_bytes().to_vec() }
}
