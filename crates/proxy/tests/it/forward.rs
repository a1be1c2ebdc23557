//! What reaches the daemon, and what comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::house::{Ending, House, RUNNING, eventually};

/// Answers with what it was asked.
async fn mirror(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers: Vec<String> = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let body = body.collect().await.expect("a body").to_bytes();
    let seen = json!({
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    axum::Json(seen).into_response()
}

fn headers_of(seen: &Value) -> Vec<&str> {
    seen["headers"].as_array().expect("headers").iter().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn a_request_passes_without_its_credentials() {
    let house = House::with_daemon(Router::new().fallback(mirror)).await;
    let headers =
        "x-mine: 1\r\nx-daytona-source: sdk-python\r\ncookie: daytona-sandbox-auth-x=secret; mine=1\r\n";
    let answer = house.call("DELETE", "/git/branches?x=%2F&y=a/b", headers, "{\"name\":\"b\"}").await;
    assert_eq!(answer.status, 200);
    let seen = answer.json();
    assert_eq!(seen["method"], "DELETE");
    assert_eq!(seen["uri"], "/git/branches?x=%2F&y=a/b");
    assert_eq!(seen["body"], "{\"name\":\"b\"}");
    let headers = headers_of(&seen);
    for header in [
        "x-mine: 1",
        "x-daytona-source: sdk-python",
        "cookie: mine=1",
        "host: localhost",
        "x-forwarded-host: d.example",
        "content-length: 12",
    ] {
        assert!(headers.contains(&header), "{header} in {headers:?}");
    }
    assert!(!seen.to_string().contains("good") && !seen.to_string().contains("secret"), "{seen}");
    assert_eq!(house.touches(), 1);
}

#[tokio::test]
async fn a_chunked_body_arrives_whole() {
    let house = House::with_daemon(Router::new().fallback(mirror)).await;
    let request = format!(
        "POST /toolbox/{RUNNING}/env HTTP/1.1\r\nhost: a\r\nauthorization: Bearer good\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    );
    let answer = house.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""body":"abcde""#), "{answer}");
}

#[tokio::test]
async fn skipping_activity_is_obeyed_and_not_told() {
    let house = House::with_daemon(Router::new().fallback(mirror)).await;
    let answer = house.call("GET", "/version", "X-Daytona-Skip-Last-Activity-Update: true\r\n", "").await;
    assert_eq!(house.touches(), 0);
    assert!(!headers_of(&answer.json()).iter().any(|header| header.starts_with("x-daytona-skip")));
}

#[tokio::test]
async fn answers_are_cleaned() {
    let router = Router::new().fallback(async || {
        let mut headers = HeaderMap::new();
        headers.insert("location", "/elsewhere?x=1".parse().expect("a value"));
        headers.insert("set-cookie", "session=stolen".parse().expect("a value"));
        headers.insert("x-other", "kept".parse().expect("a value"));
        (StatusCode::FOUND, headers)
    });
    let answer = House::with_daemon(router).await.call("GET", "/x", "", "").await;
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), Some(format!("/toolbox/{RUNNING}/elsewhere?x=1").as_str()));
    assert_eq!((answer.header("set-cookie"), answer.header("x-other")), (None, Some("kept")));
}

#[tokio::test]
async fn pages_of_any_origin_may_call() {
    let house = House::with_daemon(Router::new().fallback(mirror)).await;
    let preflight = format!(
        "OPTIONS /toolbox/{RUNNING}/files HTTP/1.1\r\nhost: a\r\norigin: https://page.example\r\nconnection: close\r\n\
         access-control-request-method: POST\r\naccess-control-request-headers: authorization\r\n\r\n"
    );
    let answer = crate::house::Answer::read(&house.raw(preflight.as_bytes()).await);
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://page.example"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization"));
    assert_eq!(house.touches(), 0, "a preflight does not reach the sandbox");
    let answer = house.call("GET", "/files", "origin: https://page.example\r\n", "").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://page.example"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let answer =
        house.call("GET", "/x", "origin: https://p.example\r\nx-daytona-disable-cors: true\r\n", "").await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

/// Serves on the house's socket and counts the connections.
fn counted(house: &House, connections: &Arc<AtomicUsize>) -> Ending<()> {
    let listener = house.daemon_listener();
    let connections = Arc::clone(connections);
    let router = Router::new().route("/{*any}", any(mirror));
    Ending(tokio::spawn(async move {
        let mut serving = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            let io = hyper_util::rt::TokioIo::new(stream);
            serving.spawn(async move {
                hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
            });
        }
    }))
}

#[tokio::test]
async fn connections_to_the_daemon_are_used_again() {
    let house = House::open().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let _daemon = counted(&house, &connections);
    for _ in 0..50 {
        assert_eq!(house.call("POST", "/x", "", "body").await.status, 200);
    }
    let made = connections.load(Ordering::SeqCst);
    assert!(made <= 3, "{made} connections for 50 requests in a row");
}

#[tokio::test]
async fn a_restarted_daemon_is_found_again() {
    let house = House::open().await;
    let connections = Arc::new(AtomicUsize::new(0));
    for round in 1..=3 {
        let daemon = counted(&house, &connections);
        assert_eq!(house.call("POST", "/x", "", "body").await.status, 200, "round {round}");
        drop(daemon);
        eventually("the old connection is dropped", || {
            house.tasks.running().iter().all(|name| *name != "sandbox connection")
        })
        .await;
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn shutdown_lets_a_running_request_end() {
    let entered = Arc::new(tokio::sync::Notify::new());
    let enter = Arc::clone(&entered);
    let router = Router::new().fallback(async move || {
        enter.notify_one();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        "late"
    });
    let house = House::with_daemon(router).await;
    let (answer, left) = tokio::join!(house.call("GET", "/slow", "", ""), async {
        entered.notified().await;
        house.tasks.finish(std::time::Duration::from_mins(1)).await
    });
    assert_eq!((answer.status, answer.body.as_str()), (200, "late"));
    assert!(left.is_empty(), "{left:?}");
}
