//! The endpoint as a router: one bucket, in the path of addresses.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use types::Clock;

use crate::access::Doorkeeper;
use crate::credential::Issuer;
use crate::protocol::Endpoint;
use crate::store::Store;

/// The longest document that a request may hold: one that names 10,000 parts is half of it.
const DOCUMENT_BYTES: usize = 4 << 20;

/// What an endpoint is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where objects are.
    pub store: Arc<Store>,
    /// Whose credentials are good.
    pub issuer: Issuer,
    /// The one bucket.
    pub bucket: String,
    /// The region that is told.
    pub region: String,
    /// Tells when credentials are too old.
    pub clock: Arc<dyn Clock>,
}

/// Serves `/<bucket>` and everything below it.
pub fn router(parts: Parts) -> Router {
    let Parts { store, issuer, bucket, region, clock } = parts;
    let doorkeeper = Doorkeeper { issuer, bucket: bucket.clone(), clock };
    let mut config = S3Config::default();
    config.xml_max_body_size = DOCUMENT_BYTES;
    let mut builder = S3ServiceBuilder::new(Endpoint { store, bucket: bucket.clone(), region });
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.set_auth(doorkeeper.clone());
    builder.set_access(doorkeeper);
    let service: S3Service = builder.build();
    let serve = move |request: Request| {
        let service = service.clone();
        async move { answer(service, request).await }
    };
    Router::new()
        .route(&format!("/{bucket}"), axum::routing::any(serve.clone()))
        .route(&format!("/{bucket}/"), axum::routing::any(serve.clone()))
        .route(&format!("/{bucket}/{{*key}}"), axum::routing::any(serve))
        .layer(middleware::from_fn(gate))
}

async fn answer(service: S3Service, request: Request) -> Response {
    match service.call(request.map(s3s::Body::http_body_unsync)).await {
        Ok(response) => response.map(axum::body::Body::new),
        // It names what is wrong with a request that no answer could be made for.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Refuses the ways in that credentials with a session token never use: unsigned, signed as long ago, by a form.
async fn gate(request: Request, next: Next) -> Response {
    if request.method() != Method::OPTIONS && !is_signed(&request) {
        return refused(request.method());
    }
    next.run(request).await
}

fn is_signed(request: &Request) -> bool {
    let text = |headers: &HeaderMap, name| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase()
    };
    let is_form = text(request.headers(), header::CONTENT_TYPE).starts_with("multipart/form-data");
    let by_header = text(request.headers(), header::AUTHORIZATION).starts_with("aws4-hmac-sha256");
    let by_query = request.uri().query().is_some_and(|query| query.contains("X-Amz-Signature="));
    !is_form && (by_header || by_query)
}

fn refused(method: &Method) -> Response {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied: \
                sign requests (AWS4-HMAC-SHA256) with credentials of object-storage/push-access</Message></Error>";
    let body = if method == Method::HEAD { "" } else { text };
    (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}
