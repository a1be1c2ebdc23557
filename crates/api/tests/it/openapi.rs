//! The committed document is what is built.

use serde_json::Value;
use testkit::TestApi;

#[test]
fn the_committed_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/api.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let current = api::openapi_json();
    if committed != current {
        let fresh = concat!(env!("CARGO_TARGET_TMPDIR"), "/api.json");
        std::fs::write(fresh, &current).unwrap();
        panic!(
            "openapi/api.json is stale: run `cargo x fix`, or copy {fresh} over it, and review the difference"
        );
    }
}

#[tokio::test]
async fn the_document_is_served() {
    let api = TestApi::start().await.unwrap();
    let served = api.call_as("", "GET", "/api/openapi.json", Value::Null).await;
    assert_eq!(
        (served.status.as_u16(), served.headers["content-type"].to_str().unwrap()),
        (200, "application/json")
    );
    assert_eq!(served.body, api::openapi_json().into_bytes());
}
