//! What holds for every request, whatever it asks.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use testkit::TestApi;

#[tokio::test]
async fn the_content_type_of_a_body_is_not_asked_for() {
    let api = TestApi::start().await.unwrap();
    let types = ["application/json", "application/x-www-form-urlencoded", "text/plain", "nonsense", ""];
    for content_type in types.map(Some).into_iter().chain([None]) {
        let mut request =
            Request::post("/api/sandbox").header("authorization", format!("Bearer {}", api.key));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = api.send(request.body(Body::from(r#"{"labels": {"a": "b"}}"#)).unwrap()).await;
        assert_eq!(answer.json()["labels"], json!({"a": "b"}), "{content_type:?}");
        let empty = Request::post("/api/sandbox").header("authorization", format!("Bearer {}", api.key));
        let empty = empty.header("content-type", content_type.unwrap_or("application/json"));
        assert_eq!(
            api.send(empty.body(Body::empty()).unwrap()).await.status,
            200,
            "{content_type:?} and nothing"
        );
    }
}

#[tokio::test]
async fn the_version_is_on_every_response() {
    let api = TestApi::start_with(|settings| settings.version = "9.8.7".to_owned()).await.unwrap();
    for (method, path, status) in [
        ("GET", "/api/config", 200),
        ("GET", "/api/sandbox", 200),
        ("GET", "/api/sandbox/nope", 404),
        ("GET", "/api/nope", 404),
        ("GET", "/api/runners", 501),
        ("PATCH", "/api/config", 404),
        ("OPTIONS", "/api/sandbox", 200),
    ] {
        let answer = api.call(method, path, Value::Null).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.headers["x-daytona-api-version"], "9.8.7", "{method} {path}");
    }
    let anonymous = api.call_as("", "GET", "/api/sandbox", Value::Null).await;
    assert_eq!(
        (anonymous.status.as_u16(), anonymous.headers["x-daytona-api-version"].to_str().unwrap()),
        (401, "9.8.7")
    );
}

#[tokio::test]
async fn any_origin_is_reflected() {
    let api = TestApi::start().await.unwrap();
    let preflight = Request::options("/api/sandbox")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "authorization,x-daytona-source");
    let answer = api.send(preflight.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://app.example");
    assert_eq!(answer.headers["access-control-allow-headers"], "authorization,x-daytona-source");
    assert!(answer.headers["access-control-allow-methods"].to_str().unwrap().contains("PUT"));
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    for (path, status) in [("/api/sandbox", 401), ("/api/nope", 404), ("/api/config", 200)] {
        let request = Request::get(path).header("origin", "https://app.example").body(Body::empty()).unwrap();
        let answer = api.send(request).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["access-control-allow-origin"], "https://app.example", "{path}");
    }
}

#[tokio::test]
async fn a_failure_has_the_whole_body() {
    let api = TestApi::start().await.unwrap();
    let answer = api.call("DELETE", "/api/sandbox/no%2Fpe?x=1", Value::Null).await;
    let expected = json!({
        "statusCode": 404,
        "error": "Not Found",
        "message": "Sandbox with ID or name no/pe not found",
        "code": "NOT_FOUND",
        "source": "DAYTONA_API",
        "path": "/api/sandbox/no%2Fpe?x=1",
        "method": "DELETE",
        "timestamp": "2026-11-22T04:13:40.000Z",
    });
    assert_eq!(answer.json(), expected);
}
