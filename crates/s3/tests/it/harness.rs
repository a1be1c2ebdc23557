//! An endpoint on a free port, with a clock that tests move.

use std::path::Path;
use std::sync::{Arc, Mutex};

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use s3::credential::{Credential, Issuer};
use s3::serve::{Parts, router};
use s3::store::Store;
use types::clock::Timestamp;
use types::{Clock, OrganizationId, SystemRandom};

/// The bucket of every test.
pub(crate) const BUCKET: &str = "daytona";
/// What an organisation may keep.
pub(crate) const QUOTA_BYTES: u64 = 64 << 20;

/// A clock that runs, and can be put forward.
#[derive(Debug)]
pub(crate) struct Ahead(Mutex<i64>);

impl Ahead {
    pub(crate) fn put(&self, seconds: i64) {
        *self.0.lock().unwrap() += seconds;
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        let now = types::SystemClock.now();
        Timestamp::from_second(now.as_second() + *self.0.lock().unwrap()).unwrap()
    }
}

/// A running endpoint.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) store: Arc<Store>,
    pub(crate) issuer: Issuer,
    pub(crate) clock: Arc<Ahead>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Endpoint {
    pub(crate) async fn start(directory: &Path) -> Self {
        Self::start_before(directory, None).await
    }

    /// Starts one that keeps its objects in `bucket`.
    pub(crate) async fn start_before(directory: &Path, bucket: Option<Arc<dyn ObjectStore>>) -> Self {
        let clock = Arc::new(Ahead(Mutex::new(0)));
        let issuer = Issuer::new([3; 32]);
        let random = Arc::new(SystemRandom);
        let store = Arc::new(Store::open(directory, bucket, QUOTA_BYTES, clock.clone(), random).unwrap());
        let router = router(Parts {
            store: store.clone(),
            issuer: issuer.clone(),
            bucket: BUCKET.to_owned(),
            region: "us-east-1".to_owned(),
            clock: clock.clone(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self { url, store, issuer, clock, server }
    }

    pub(crate) fn credential(&self, organization: OrganizationId) -> Credential {
        self.issuer.issue(organization, self.clock.now(), &SystemRandom)
    }

    pub(crate) fn client(&self, organization: OrganizationId) -> AmazonS3 {
        self.client_with(&self.credential(organization))
    }

    pub(crate) fn client_with(&self, credential: &Credential) -> AmazonS3 {
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        // A host without certificates can still speak plainly.
        let options = ClientOptions::new().with_allow_http(true).with_no_system_certificates(true);
        let _ = rustls::crypto::ring::default_provider().install_default();
        AmazonS3Builder::new()
            .with_endpoint(&self.url)
            .with_bucket_name(BUCKET)
            .with_region("us-east-1")
            .with_access_key_id(&credential.access_key)
            .with_secret_access_key(&credential.secret)
            .with_token(&credential.session_token)
            .with_client_options(options)
            .with_retry(retry)
            .build()
            .unwrap()
    }
}

pub(crate) fn organization() -> OrganizationId {
    OrganizationId::from_u128(0x1234)
}

/// Bytes that differ everywhere.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0_u64..)
        .flat_map(|number| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
        .take(length)
        .collect()
}
